"""The ledger of a deployed server: written as things happen, and taken up again after a crash where it stands.

What happened is durable elsewhere first (sums, journal, book), so whatever a crash kept out of the ledger is written
when the server starts again, and nothing is written twice. A round is one transaction, and so is a settlement.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from fedgap.crypto import Identity, encode
from fedgap.crypto.canonical import decode
from fedgap.crypto.codec import pack
from fedgap.funding import Policy
from fedgap.ids import OrgId
from fedgap.ledger import Entry, Signed
from fedgap.ledger.reading import is_blank
from fedgap.ledger.shown import show
from fedgap.ledger.store import Ledger
from fedgap.ledger.tree import leaf_hash
from fedgap.records import (
    AggregateReleased,
    Approval,
    CheckpointCosigned,
    ContributionEstimated,
    CostClaimed,
    DirectionCommitted,
    ManifestSigned,
    MemberChanged,
    PolicySigned,
    Record,
    Roster,
    UtilityObserved,
    is_record_signed,
    read_record,
    write_record,
)
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.storage import FolderJournal

Fact = Record | Signed

SHOWN = "ledger-shown"
"""Under which name the journal keeps the sizes of the checkpoints that were shown."""


class ServerLedger:
    """The ledger's file, and what is in it as far as the server needs to know.

    Attributes:
        released: the last round whose sum is in it.
        directed: the last direction in it: round and slot.
        observed: the last round whose utility is in it; -1 before the first.
        estimated: periods that are settled.
        policies: every version in it, in order.
        claimed: who claimed costs, by period and organisation.
        cosigned: size of the last checkpoint that each organisation co-signed.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        versions: Sequence[SignedManifest],
        journal: FolderJournal,
        *,
        policy: Policy | None,
    ) -> None:
        """Open the ledger, or make it with the founding manifest and the policy.

        Raises:
            LedgerError: it cannot be used.
        """
        self.released, self.observed, self.directed = 0, -1, (0, 0)
        self.estimated: set[int] = set()
        self.claimed: set[tuple[int, OrgId]] = set()
        self.cosigned: dict[OrgId, int] = {}
        self._journal, self._leaves = journal, list[bytes]()
        self.policies, self._version = list[PolicySigned](), 0
        founding = _signed(versions[0]) if is_blank(path) else None
        self._ledger = Ledger(path, identity, founding=founding)
        self._follow()
        if policy is not None and not self.policies:
            self.add(PolicySigned(version=1, policy=policy.data, from_period=1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ledger.close()

    @property
    def origin(self) -> bytes:
        """Digest of the first manifest: organisations sign their records for it."""
        return self._ledger.origin

    def add(self, *facts: Fact) -> None:
        """Append these, all or none.

        Raises:
            LedgerError: they cannot be written; nothing was.
        """
        if facts:
            self._ledger.append(*facts)
            self._follow()

    def take(self, versions: Iterable[SignedManifest], *, until: bytes | None = None) -> None:
        """Write down manifests that came into force since, up to the one of this digest."""
        for signed in versions:
            if signed.manifest.version > self._version:
                before = self._ledger.roster
                record = _signed(signed)
                self.add(record, *_changes(before, Roster.of(record.manifest)))
            if signed.manifest.digest == until:
                return

    def show(self) -> bytes:
        """Give what members are asked to co-sign: the checkpoint, and that it extends what they may have kept."""
        sizes = self._sizes()
        if self._ledger.size not in sizes:
            oldest = min((self.cosigned.get(m.id, 0) for m in self._ledger.roster.members), default=0)
            kept = tuple(size for size in sizes if size >= oldest)
            self._journal.put(SHOWN, encode((*kept, self._ledger.size)))
        return pack(show(self._ledger.checkpoint, self._leaves, [*sizes, *self.cosigned.values()]))

    def cosignatures(self, manifest: Manifest, signatures: dict[int, bytes]) -> list[Signed]:
        """Make records of co-signatures that came for checkpoints that were shown; others are left out.

        Args:
            manifest: names the seats.
            signatures: by seat.
        """
        found = []
        for seat, signature in sorted(signatures.items()):
            member = manifest.members[seat]
            for size in reversed(self._sizes()):
                if size <= self.cosigned.get(member.id, 0):
                    break
                root = self._ledger.root_at(size)
                record = CheckpointCosigned(organisation=member.id, size=size, root=root or bytes(32))
                if is_record_signed(member.public, signature, write_record(record), origin=self.origin):
                    found.append(Signed(record=record, author=member.public, signature=signature))
                    break
        return found

    def directions(self, found: Callable[[int], list[DirectionCommitted]]) -> list[DirectionCommitted]:
        """List the certified directions that are not in it yet, in order; `found` gives those of a round."""
        records = [record for round_ in range(max(1, self.directed[0]), self.released + 1) for record in found(round_)]
        return [record for record in records if (record.round, record.slot) > self.directed]

    def _sizes(self) -> tuple[int, ...]:
        if not self._journal.has(SHOWN):
            return ()
        sizes = decode(self._journal.get(SHOWN))
        return tuple(size for size in sizes if isinstance(size, int)) if isinstance(sizes, tuple) else ()

    def _follow(self) -> None:
        """Read what was appended."""
        for _, body in self._ledger.bodies(len(self._leaves)):
            self._leaves.append(leaf_hash(body))
            self._tell(read_record(Entry.of(body).record))

    def _tell(self, record: Record) -> None:
        match record:
            case ManifestSigned():
                self._version = Roster.of(record.manifest).version
            case PolicySigned():
                self.policies.append(record)
            case AggregateReleased():
                self.released = record.round
            case DirectionCommitted():
                self.directed = (record.round, record.slot)
            case UtilityObserved():
                self.observed = record.round
            case ContributionEstimated():
                self.estimated.add(record.period)
            case CostClaimed():
                self.claimed.add((record.period, record.organisation))
            case CheckpointCosigned():
                self.cosigned[record.organisation] = max(record.size, self.cosigned.get(record.organisation, 0))
            case _:
                pass


def _signed(signed: SignedManifest) -> ManifestSigned:
    approvals = tuple(Approval(public=one.public, signature=one.signature) for one in signed.approvals)
    return ManifestSigned(manifest=pack(signed.manifest), approvals=approvals)


def _changes(before: Roster, now: Roster) -> list[MemberChanged]:
    """What a version changed, organisation by organisation."""
    old, new = ({member.id: member for member in roster.members} for roster in (before, now))
    found: list[tuple[OrgId, str]] = [(org, "left") for org in old if org not in new]
    for org, member in new.items():
        if org not in old:
            found.append((org, "joined"))
            continue
        was = old[org]
        pairs = (
            ("key", was.public, member.public),
            ("weight", was.weight, member.weight),
            ("name", was.name, member.name),
        )
        found += [(org, what) for what, a, b in pairs if a != b]
    return [
        MemberChanged(organisation=org, version=now.version, change=change, manifest=now.digest)
        for org, change in found
    ]
