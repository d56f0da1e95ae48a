"""A checkpoint: how many entries there are and their root, signed by the server; kept and compared by everybody.

The server sends one with every invitation. An organisation keeps the last one it saw and co-signs it; one that does not
extend the kept one is a rewritten or split history, and the two together are the evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from fedgap.crypto import BadBytesError, Identity, codec, is_signed
from fedgap.crypto.codec import Count, Hash, Signature
from fedgap.ids import OrgId
from fedgap.ledger.errors import LedgerError, SplitViewError
from fedgap.ledger.tree import is_consistent
from fedgap.records import CheckpointCosigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed tree head.

    Attributes:
        origin: digest of the federation's first manifest: which ledger.
        size: entries it covers.
        root: over them.
        signature: the server's.
    """

    KIND: ClassVar[str] = "checkpoint/1"

    origin: Hash
    size: Count
    root: Hash
    signature: Signature

    @classmethod
    def signed(cls, *, origin: bytes, size: int, root: bytes, server: Identity) -> Self:
        """Sign a head as the server."""
        return cls(origin=origin, size=size, root=root, signature=server.sign("checkpoint", origin, size, root))

    def is_signed_by(self, server: bytes) -> bool:
        """Tell whether this server's key signed it."""
        return is_signed(server, self.signature, "checkpoint", self.origin, self.size, self.root)

    def cosigned(self, organisation: OrgId) -> CheckpointCosigned:
        """Make the record with which an organisation says that it saw this; sign it with `sign_record`."""
        return CheckpointCosigned(organisation=organisation, size=self.size, root=self.root)

    def document(self) -> dict[str, Any]:
        """As JSON can hold it, digests in hexadecimal."""
        return {
            "origin": self.origin.hex(),
            "size": self.size,
            "root": self.root.hex(),
            "signature": self.signature.hex(),
        }

    @classmethod
    def of_document(cls, document: Any) -> Self:  # noqa: ANN401 - whatever a JSON file holds
        """Read what `document` gave.

        Raises:
            LedgerError: it is something else.
        """
        try:
            origin, root, signature = (bytes.fromhex(document[name]) for name in ("origin", "root", "signature"))
            size = document["size"]
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise LedgerError("This is no checkpoint.", remedy="Use what `fedgap ledger export` wrote.") from error
        found = cls(origin=origin, size=size, root=root, signature=signature)
        try:
            return codec.unpack(cls, codec.pack(found))
        except (BadBytesError, TypeError) as error:
            raise LedgerError("This is no checkpoint.", remedy="Use what `fedgap ledger export` wrote.") from error


def watch(kept: Checkpoint | None, seen: Checkpoint, *, server: bytes, path: Sequence[bytes] = ()) -> Checkpoint:
    """Compare the checkpoint a server shows with the last one that was kept; give the one to keep now.

    Args:
        kept: the last one; None at the first sight.
        seen: the new one.
        server: the server's key, from the manifest.
        path: what shows that the ledger only grew in between (`consistency_path`), from the server.

    Raises:
        LedgerError: the new one is not signed, or belongs to another ledger.
        SplitViewError: it does not extend the kept one; nothing is replaced.
    """
    if not seen.is_signed_by(server):
        raise LedgerError("A checkpoint is not signed by the server.", remedy="It was changed on its way; ask again.")
    if kept is None:
        return seen
    if seen.origin != kept.origin:
        raise LedgerError(
            "A checkpoint belongs to the ledger of another federation.", remedy="Ask the server for the right one."
        )
    older, newer = sorted((kept, seen), key=lambda checkpoint: checkpoint.size)
    extends = is_consistent(
        before=older.size, root_before=older.root, size=newer.size, root=newer.root, path=tuple(path)
    )
    if not extends or seen.size < kept.size:
        raise SplitViewError(
            f"A checkpoint over {seen.size} entries does not extend the one over {kept.size} that was kept.",
            evidence={"server": server.hex(), "kept": kept.document(), "seen": seen.document()},
        )
    return seen
