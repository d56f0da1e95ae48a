"""The ledger of a simulated federation: the same records as in a deployment, signed with keys that come from the seed.

The entries are made while the rounds run, because members co-sign the ledger's checkpoint in every round; the file is
written when all is over. Nothing in it is a time or a measurement, so the same seed gives the same bytes.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fedgap.crypto import Identity
from fedgap.crypto.codec import Hash, pack, unpack
from fedgap.ids import OrgId
from fedgap.ledger import Chain, Checkpoint, Signed, watch
from fedgap.ledger.entry import server_entry
from fedgap.ledger.store import Ledger
from fedgap.ledger.tree import consistency_path, leaf_hash
from fedgap.records import ManifestSigned, Record, sign_record, write_record

Fact = Record | Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that goes into a ledger, in order; it can travel between processes.

    Attributes:
        server: seed of the simulated server's key; as public as the study's seed it follows from.
        founding: the first manifest.
        rest: all else.
        root: of the ledger that these give.
    """

    server: bytes = field(repr=False)
    founding: ManifestSigned
    rest: tuple[Fact, ...]
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCheckpoint:
    """What members are shown with an invitation: a checkpoint, and that the ledger only grew since the last one."""

    KIND: ClassVar[str] = "simulation/shown-checkpoint/1"

    checkpoint: Checkpoint
    path: tuple[Hash, ...]


class Book:
    """A ledger in memory while a federation runs.

    Attributes:
        records: what it holds, for whoever folds over it.
    """

    def __init__(self, founding: ManifestSigned, server: bytes) -> None:
        self._seed, self._server = server, Identity(server)
        self._founding, self._rest = founding, list[Fact]()
        self._chain, self._leaves = Chain(), list[bytes]()
        self._shown = 0
        self.records: list[Record] = []
        self._enter(founding)

    @property
    def origin(self) -> bytes:
        """Digest of the manifest."""
        return self._chain.origin

    def add(self, *facts: Fact) -> None:
        """Append records of the server, and records that others have signed.

        Raises:
            BadEntryError: one breaks a rule of the ledger.
        """
        for fact in facts:
            self._enter(fact)
            self._rest.append(fact)

    def show(self) -> bytes:
        """Give what members are asked to co-sign; the path leads from what they were shown before."""
        chain = self._chain
        head = Checkpoint.signed(origin=chain.origin, size=chain.size, root=chain.root, server=self._server)
        before, self._shown = self._shown, chain.size
        path = consistency_path(self._leaves, before) if 0 < before < chain.size else []
        return pack(ShownCheckpoint(checkpoint=head, path=tuple(path)))

    def cosigned(self, shown: bytes, org: OrgId, public: bytes, signature: bytes) -> Signed:
        """The record of a member's co-signature over what it was shown."""
        head = unpack(ShownCheckpoint, shown).checkpoint
        return Signed(record=head.cosigned(org), author=public, signature=signature)

    def facts(self) -> Facts:
        """Everything so far."""
        return Facts(server=self._seed, founding=self._founding, rest=tuple(self._rest), root=self._chain.root)

    def _enter(self, fact: Fact) -> None:
        if isinstance(fact, Signed):
            entry, record = fact.entry(), fact.record
        else:
            entry, record = server_entry(write_record(fact), self._chain.place_of(fact), self._server), fact
        self._chain.add(entry.body, signatures=False)
        self._leaves.append(leaf_hash(entry.body))
        self.records.append(record)


@dataclass(slots=True)
class Witnessing:
    """A member that keeps the last checkpoint it saw, compares the next one with it, and co-signs."""

    org: OrgId
    identity: Identity
    server: bytes
    _kept: Checkpoint | None = None

    def __call__(self, checkpoint: bytes) -> bytes:
        """Co-sign; a ledger that does not extend the one seen before is refused.

        Raises:
            LedgerError, SplitViewError: as `fedgap.ledger.watch`.
        """
        shown = unpack(ShownCheckpoint, checkpoint)
        self._kept = watch(self._kept, shown.checkpoint, server=self.server, path=shown.path)
        return sign_record(self._kept.cosigned(self.org), self.identity, origin=self._kept.origin)


def write_ledger(path: Path, facts: Facts) -> bytes:
    """Write the file of a ledger beside `path` and give its bytes; putting it in place is the caller's.

    Raises:
        LedgerError: it cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        made = Path(folder) / path.name
        with Ledger(made, Identity(facts.server), founding=facts.founding) as ledger:
            ledger.append(*facts.rest)
        return made.read_bytes()
