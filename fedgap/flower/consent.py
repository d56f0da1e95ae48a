"""Which later versions of the funding policy this site goes along with: a person decides on each, by its digest.

A version that is proposed is signed once a person here has approved it. One that came into force without that is not
forced upon the site: it takes no part in rounds of the periods to which it applies, until a person approves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fedgap.config.section import printable
from fedgap.crypto import Identity
from fedgap.errors import FedgapError
from fedgap.flower.approvals import NeedsApprovalError
from fedgap.flower.charter import read_policy
from fedgap.flower.desk import Desk
from fedgap.flower.enrolment import ApproveRequest, ManifestReply, PolicyNotice
from fedgap.flower.membership import SiteFolder
from fedgap.flower.policies import PolicyVersion
from fedgap.funding import Policy
from fedgap.funding.amendment import BadAmendmentError, changes, check_amendment
from fedgap.ids import OrgId
from fedgap.records import sign_record
from fedgap.secagg.periods import Periods


@dataclass(slots=True, kw_only=True)
class Consent:
    """Looks at later policies for one site.

    Attributes:
        folder: knows what a person approved.
        org, identity: who signs.
        origin: digest of the federation's first manifest.
        periods: of the run.
    """

    folder: SiteFolder
    org: OrgId
    identity: Identity
    origin: bytes
    periods: Periods
    _unapproved: dict[int, FedgapError] = field(default_factory=dict)

    def look(self, reply: ManifestReply, desk: Desk, *, applied: int) -> list[FedgapError]:
        """Sign the proposed version if a person approved it; remember versions in force that nobody here approved.

        Args:
            reply: what the server shows.
            desk: takes signatures.
            applied: rounds whose sums are known here.

        Returns:
            what waits for a person, or is wrong.
        """
        approved = set(self.folder.membership().manifests)
        self._unapproved, waiting, earlier = {}, list[FedgapError](), list(self._first(reply))
        for at, notice in enumerate(reply.policies, 2):
            try:
                version = self._read(notice, earlier, at, first=1 if notice.in_force else self.periods.next(applied))
                name = version.name(self.origin)
                if name.hex() not in approved:
                    raise _asks(notice, earlier[-1], version.rule, name)
            except FedgapError as error:
                waiting.append(error)
                if notice.in_force:
                    self._unapproved[notice.from_period] = error
                if not isinstance(error, NeedsApprovalError):
                    break
            else:
                if not notice.in_force and self.identity.public.hex() not in notice.approved:
                    self._sign(version, name, desk)
            earlier.append(version.rule)
        return waiting

    def check(self, round_: int) -> None:
        """Let a round through unless a policy applies to its period that nobody here approved.

        Raises:
            NeedsApprovalError, FundingError: one does.
        """
        period = self.periods.of(round_)
        for first in sorted(self._unapproved):
            if first <= period:
                raise self._unapproved[first]

    def _first(self, reply: ManifestReply) -> Iterator[Policy]:
        """The version that the manifest names; it was approved with the manifest."""
        first = read_policy(reply.policy)
        if first is not None:
            yield first

    def _read(self, notice: PolicyNotice, earlier: list[Policy], at: int, *, first: int) -> PolicyVersion:
        if notice.version != at or not earlier:
            raise BadAmendmentError("A version of the funding policy does not follow the one before it.")
        data, from_period = bytes.fromhex(notice.policy), notice.from_period
        version = PolicyVersion(version=at, policy=data, from_period=from_period)
        check_amendment(earlier, version.rule, from_period=from_period, first=first, periods=self.periods.count)
        return version

    def _sign(self, version: PolicyVersion, name: bytes, desk: Desk) -> None:
        signature = sign_record(version.approved(self.org), self.identity, origin=self.origin)
        desk.approve(ApproveRequest(organisation=self.org, manifest=name.hex(), signature=signature.hex()))


def _asks(notice: PolicyNotice, before: Policy, version: Policy, name: bytes) -> NeedsApprovalError:
    what = printable("; ".join(changes(before, version)))
    state = "is in force" if notice.in_force else "waits for your approval"
    cause = f"Version {notice.version} of the funding policy, from period {notice.from_period}, {state}: {what}."
    return NeedsApprovalError(cause, digest=name.hex())
