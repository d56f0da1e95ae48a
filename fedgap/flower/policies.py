"""Later versions of the funding policy at the server: proposed by its operator, approved by members, in the ledger.

    fedgap server policy   -> proposed, in the book; members see it with the manifests
    members                -> PolicyApproved, signed at the site once a person there has decided
    between two rounds     -> tau members have signed and its period has not begun: these, and PolicySigned

What is in force is what the ledger holds; the book has a copy, which whoever asks is shown.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from fedgap.crypto.codec import pack, unpack
from fedgap.flower.book import Book
from fedgap.flower.enrolment import PolicyNotice
from fedgap.funding import Policy
from fedgap.funding.amendment import version_name
from fedgap.ids import OrgId
from fedgap.ledger import Signed
from fedgap.records import PolicyApproved, PolicySigned, Record, is_record_signed, write_record
from fedgap.records.values import Number
from fedgap.secagg.manifest import Manifest

PROPOSED, IN_FORCE = "policy-proposed", "policies-in-force"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A version after the first: its number, its canonical bytes, and from when it applies."""

    KIND: ClassVar[str] = "policy-version/1"

    version: Number
    policy: bytes
    from_period: Number

    @property
    def rule(self) -> Policy:
        """What it says.

        Raises:
            BadPolicyError: nothing that can be read.
        """
        return Policy.of(self.policy)

    @property
    def signed(self) -> PolicySigned:
        """Its record."""
        return PolicySigned(version=self.version, policy=self.policy, from_period=self.from_period)

    def approved(self, organisation: OrgId) -> PolicyApproved:
        """The record that a member signs who goes along with it."""
        return PolicyApproved(
            version=self.version,
            policy=self.rule.digest,
            from_period=self.from_period,
            organisation=organisation,
        )

    def name(self, origin: bytes) -> bytes:
        """32 bytes that name it in the federation with this first manifest."""
        return version_name(origin, version=self.version, policy=self.rule, from_period=self.from_period)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterVersions:
    """Every version in force after the first, in order."""

    KIND: ClassVar[str] = "later-policies/1"

    versions: tuple[PolicyVersion, ...]


class PolicyLedger(Protocol):
    """What is needed of the ledger; `fedgap.flower.server_ledger` has it."""

    policies: list[PolicySigned]

    @property
    def origin(self) -> bytes:
        """Digest of the first manifest."""
        ...

    def add(self, *facts: Record | Signed) -> None:
        """Append."""
        ...


@dataclass(frozen=True, slots=True)
class Policies:
    """Versions in the book."""

    book: Book

    def in_force(self) -> tuple[PolicyVersion, ...]:
        """Give the later versions that were in the ledger when a server looked last."""
        content = self.book.kept(IN_FORCE)
        return () if content is None else unpack(LaterVersions, content).versions

    def proposed(self) -> PolicyVersion | None:
        """Give the version that waits for approvals."""
        content = self.book.kept(PROPOSED)
        return None if content is None else unpack(PolicyVersion, content)

    def propose(self, version: PolicyVersion) -> None:
        """Show a version to the members; signatures under another one count nothing for it."""
        self.book.keep(PROPOSED, pack(version))

    def withdraw(self) -> None:
        """Propose nothing."""
        self.book.drop(PROPOSED)

    def approvals(self, version: PolicyVersion, manifest: Manifest, *, origin: bytes) -> list[Signed]:
        """Give what members have signed who go along with a version, in the order of the roster; all is checked."""
        signatures = dict(self.book.signatures(version.name(origin)))
        found = []
        for member in manifest.members:
            record, signature = version.approved(member.id), signatures.get(member.public)
            if signature and is_record_signed(member.public, signature, write_record(record), origin=origin):
                found.append(Signed(record=record, author=member.public, signature=signature))
        return found

    def take(self, ledger: PolicyLedger, manifest: Manifest, *, first: int) -> str:
        """Put the proposed version into force if it may be; between two rounds.

        Args:
            ledger: it is written there.
            manifest: in force; tau of its members must have approved.
            first: the first period of which no round has begun.

        Returns:
            what was done, in words; nothing if nothing was.

        Raises:
            LedgerError: it cannot be written; nothing was.
        """
        found, said = self.proposed(), ""
        known = [(record.version, record.policy, record.from_period) for record in ledger.policies]
        if found is not None and (found.version, found.policy, found.from_period) in known:
            self.withdraw()  # a crash kept the book from hearing of it
        elif found is not None and found.version != len(known) + 1:
            self.withdraw()
            said = f"version {found.version} of the funding policy was dropped: there is one of this number already"
        elif found is not None and found.from_period < first:
            self.withdraw()
            said = f"version {found.version} of the funding policy was dropped: not approved before its period began"
        elif found is not None:
            approvals = self.approvals(found, manifest, origin=ledger.origin)
            if len(approvals) >= manifest.tau:
                ledger.add(*approvals, found.signed)
                self.withdraw()
                said = f"version {found.version} of the funding policy applies from period {found.from_period}"
        self._copy(ledger)
        return said

    def notices(self, *, origin: bytes) -> tuple[PolicyNotice, ...]:
        """Give what members are shown: versions in force, then the proposed one, with the keys that have signed it."""
        proposed = self.proposed()
        shown = [(version, True) for version in self.in_force()]
        shown += [] if proposed is None else [(proposed, False)]
        return tuple(
            PolicyNotice(
                version=version.version,
                policy=version.policy.hex(),
                from_period=version.from_period,
                in_force=in_force,
                approved=tuple(key.hex() for key, _ in self.book.signatures(version.name(origin))),
            )
            for version, in_force in shown
        )

    def _copy(self, ledger: PolicyLedger) -> None:
        versions = tuple(
            PolicyVersion(version=record.version, policy=record.policy, from_period=record.from_period)
            for record in ledger.policies[1:]
        )
        if versions != self.in_force():
            self.book.keep(IN_FORCE, pack(LaterVersions(versions=versions)))
