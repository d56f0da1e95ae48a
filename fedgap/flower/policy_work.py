"""What an operator does to change the funding policy from a later period on; the running server need not stop.

The new version is only proposed here: a server that runs shows it to the members, and writes it into the ledger between
two rounds once a quorum has approved it. Until then, and if they do not, the version in force goes on.
"""

from dataclasses import dataclass
from pathlib import Path

from fedgap.config.policy import load_policy
from fedgap.errors import FedgapError, UsageError
from fedgap.flower.charter import read_policy
from fedgap.flower.home import Home
from fedgap.flower.policies import Policies, PolicyVersion
from fedgap.flower.roster import Roster
from fedgap.flower.sums import Sums
from fedgap.funding import NoPolicyError, Policy
from fedgap.funding.amendment import changes, check_amendment
from fedgap.ids import OrgId
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.periods import Periods


class NotFoundedError(FedgapError):
    """No manifest is in force, so nobody has signed the first policy yet."""

    code = "server.not-founded"
    remedy = "Change the policy's own file instead: what the members sign is what stands there then."
    exit_status = 2


class AlreadyProposedError(FedgapError):
    """Another version waits for the members."""

    code = "server.policy-waits"
    remedy = "Take it back first: fedgap server policy --withdraw."
    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A version that is proposed, for people.

    Attributes:
        version, from_period: which, and from when.
        digest: what a member approves: `fedgap client approve DIGEST`.
        changes: against the version before, in words.
        needed: how many of the members must approve.
        unapproved: who has not yet.
    """

    version: int
    from_period: int
    digest: str
    changes: tuple[str, ...]
    needed: int
    unapproved: tuple[OrgId, ...]


def propose(home: Home, file: Path, *, from_period: int | None) -> Proposal:
    """Propose a new version of the policy to the members; the same one again changes nothing.

    Args:
        home: the server's folder.
        file: the new policy.toml.
        from_period: from when; None: from the first period that will not have begun with the next round.

    Raises:
        ConfigError: the file has problems.
        NotFoundedError, NoPolicyError, AlreadyProposedError: nothing can be proposed now.
        LatePolicyError, BadAmendmentError: it cannot follow the version in force.
    """
    home.require()
    new, book = Policy.of_config(load_policy(file)), home.book()
    manifest, origin = _manifests(home)
    earlier, rounds = _earlier(home), home.config().training.rounds
    first = Periods(rounds, manifest.periods).next(min(Sums(home.state / "sums").count + 1, rounds))
    start = first if from_period is None else from_period
    policies = Policies(book)
    waiting = policies.proposed()
    proposal = PolicyVersion(version=len(earlier) + 1, policy=new.data, from_period=start)
    if waiting is not None and waiting != proposal:
        raise AlreadyProposedError(f"Version {waiting.version}, from period {waiting.from_period}, waits already.")
    check_amendment(earlier, new, from_period=start, first=first, periods=manifest.periods)
    policies.propose(proposal)
    return _described(policies, proposal, earlier[-1], manifest, origin)


def withdraw(home: Home) -> None:
    """Propose nothing any more.

    Raises:
        UsageError: nothing is proposed; what is in the ledger stays.
    """
    home.require()
    policies = Policies(home.book())
    if policies.proposed() is None:
        raise UsageError("No version of the policy waits for the members.", remedy="What is in the ledger stays.")
    policies.withdraw()


def proposed(home: Home) -> Proposal | None:
    """Describe the version that waits for the members; None if none does."""
    policies = Policies(home.book())
    waiting = policies.proposed()
    if waiting is None:
        return None
    manifest, origin = _manifests(home)
    return _described(policies, waiting, _earlier(home)[-1], manifest, origin)


def _described(
    policies: Policies, version: PolicyVersion, before: Policy, manifest: Manifest, origin: bytes
) -> Proposal:
    approved = {one.author for one in policies.approvals(version, manifest, origin=origin)}
    return Proposal(
        version=version.version,
        from_period=version.from_period,
        digest=version.name(origin).hex(),
        changes=changes(before, version.rule),
        needed=manifest.tau,
        unapproved=tuple(member.id for member in manifest.members if member.public not in approved),
    )


def _manifests(home: Home) -> tuple[Manifest, bytes]:
    """Give the manifest in force and the digest of the first."""
    versions = Roster(home.book(), home.identity().public).versions()
    if not versions:
        raise NotFoundedError("The members have not signed the first policy yet.")
    return versions[-1].manifest, versions[0].manifest.digest


def _earlier(home: Home) -> list[Policy]:
    """Every version in force, oldest first."""
    first = read_policy(home.policy(home.config()))
    if first is None:
        raise NoPolicyError("The federation began without a policy, so there is none to change.")
    return [first, *(version.rule for version in Policies(home.book()).in_force())]
