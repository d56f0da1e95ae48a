"""What an organisation is shown of a growing ledger: its checkpoint, and proofs that it only grew since earlier ones.

Organisations were shown different checkpoints last, since some were away, and all get the same message; so it holds one
path for each size that somebody may have kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedgap.crypto.codec import Count, Hash
from fedgap.ledger.checkpoint import Checkpoint, watch
from fedgap.ledger.errors import LedgerError
from fedgap.ledger.tree import consistency_path


class NoProofError(LedgerError):
    """A checkpoint comes without what shows that it extends the one that was kept; it is not co-signed."""

    code = "ledger.no-proof"
    remedy = "Ask the operator; a server restored from an old backup shows this. `fedgap ledger verify` tells more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """That the ledger of so many entries became the present one by growing only."""

    before: Count
    path: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCheckpoint:
    """A checkpoint with its proofs, by size."""

    KIND: ClassVar[str] = "shown-checkpoint/1"

    checkpoint: Checkpoint
    growths: tuple[Growth, ...]


def show(head: Checkpoint, leaves: Sequence[bytes], sizes: Iterable[int]) -> ShownCheckpoint:
    """Make what is shown.

    Args:
        head: over all of the leaves.
        leaves: hashes of all entries.
        sizes: of the checkpoints that somebody may have kept.
    """
    earlier = sorted({size for size in sizes if 0 < size < head.size})
    growths = (Growth(before=size, path=tuple(consistency_path(leaves, size))) for size in earlier)
    return ShownCheckpoint(checkpoint=head, growths=tuple(growths))


def compare(kept: Checkpoint | None, shown: ShownCheckpoint, *, server: bytes) -> Checkpoint:
    """Compare what is shown with the checkpoint that was kept; give the one to keep now.

    Raises:
        LedgerError: it is not signed by the server, or of another federation.
        NoProofError: nothing shows that it extends the kept one.
        SplitViewError: it does not extend the kept one.
    """
    seen = shown.checkpoint
    paths = {growth.before: growth.path for growth in shown.growths}
    if kept is not None and kept.size < seen.size and kept.origin == seen.origin and kept.size not in paths:
        raise NoProofError(f"Nothing shows that the ledger of {seen.size} entries extends the kept one of {kept.size}.")
    return watch(kept, seen, server=server, path=paths.get(0 if kept is None else kept.size, ()))
