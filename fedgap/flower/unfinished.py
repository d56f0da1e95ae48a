"""What a site with new keys still answers with the ones before: the last exchange of a round that it is in.

The server may wait for exactly this answer: with too few members to unmask, a round is held, and nothing goes on, not
even a roster with the new keys. The answer reveals the sum and nothing else, and the same request gets the same bytes.
"""

from fedgap.crypto import Identity, Rand
from fedgap.flower.approvals import NewKeyError
from fedgap.ids import OrgId
from fedgap.secagg.encoding import Contribution
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Outcome
from fedgap.secagg.participant import Participant, Vault
from fedgap.secagg.transcript import Plan


class Retired:
    """The application of keys that are no longer used: no plan and no training (`participant.Application`)."""

    def plan(self, invited: Plan, previous: Outcome | None) -> Plan:
        """Refuse to begin a round."""
        del invited, previous
        raise NewKeyError("This site has new keys; it begins no round with those before.")

    def train(self, plan: Plan) -> Contribution:
        """Refuse to train."""
        del plan
        raise NewKeyError("This site has new keys; it trains no more with those before.")


def unfinished(
    manifest: Manifest, org: OrgId, earlier: Identity | None, vault: Vault, rand: Rand
) -> Participant | None:
    """Give who can unmask a round under a manifest that names the earlier key; None if it names another one."""
    if earlier is None or earlier.public not in {member.public for member in manifest.members}:
        return None
    me = Me(manifest, manifest.seat_of(org), earlier)
    return Participant(me, vault, Retired(), rand=rand, simulation=False)
