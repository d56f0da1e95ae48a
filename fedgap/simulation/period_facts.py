"""What the settlement of a simulated period puts on record: answers, values, verdicts, and who confirmed.

A period in which nothing is opened has values too, by weight or nothing at all, so that money always has a rule to
follow; their standing and flags say so.
"""

from collections.abc import Mapping
from fractions import Fraction

from fedgap.crypto import digest
from fedgap.ids import OrgId
from fedgap.ledger import Signed
from fedgap.records import ContributionEstimated, OpeningAnswered
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.valuation import Settlement, member_records, server_records
from fedgap.simulation.ledger_of import Fact

BY_WEIGHT, VERIFIED = "by-weight", "verified"
WINDOW_CLOSED, NOTHING_OPENED = "window-closed", "nothing-opened"


def settled_facts(
    manifest: Manifest, settled: Settlement, intervals: Mapping[OrgId, tuple[Fraction, Fraction]]
) -> list[Fact]:
    """List the records of a settlement, in the order in which they are made.

    Args:
        manifest: names the organisations and their keys.
        settled: what was opened.
        intervals: of each value, where there are two openings.
    """
    keys = {member.id: member.public for member in manifest.members}
    said = [
        Signed(record=record, author=keys[record.organisation], signature=signature)
        for record, signature in member_records(manifest, settled)
    ]
    answers = [one for one in said if isinstance(one.record, OpeningAnswered)]
    reactions = [one for one in said if not isinstance(one.record, OpeningAnswered)]
    return [*answers, *server_records(settled, intervals), *reactions]


def window_closed(manifest: Manifest, period: int) -> list[ContributionEstimated]:
    """Values of a period after the window closed: nothing counts any more, and nothing is opened."""
    return _estimates(manifest, period, Fraction(0), VERIFIED, WINDOW_CLOSED)


def by_weight(manifest: Manifest, period: int, gain: Fraction) -> list[ContributionEstimated]:
    """Values of a period in which nothing could be opened: its gain, split by weight."""
    return _estimates(manifest, period, gain, BY_WEIGHT, NOTHING_OPENED)


def weight_shares(manifest: Manifest) -> dict[OrgId, Fraction]:
    """Each organisation's share of the roster's weight."""
    total = sum(member.weight for member in manifest.members)
    return {member.id: Fraction(member.weight, total) for member in manifest.members}


def _estimates(
    manifest: Manifest, period: int, gain: Fraction, standing: str, flag: str
) -> list[ContributionEstimated]:
    name = digest("not-opened", manifest.digest, period, flag)
    return [
        ContributionEstimated(
            period=period,
            organisation=org,
            value=gain * share,
            weight=share,
            standing=standing,
            flags=(flag,),
            statement=name,
        )
        for org, share in weight_shares(manifest).items()
    ]
