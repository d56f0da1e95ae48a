"""Proofs that leave the ledger: this entry is in it; this checkpoint extends that one. A few lines of code check them.

A proof is a JSON document: hexadecimal bytes, the path through the tree, and the checkpoint it leads to.
"""

from collections.abc import Sequence
from typing import Any

from fedgap.ledger.checkpoint import Checkpoint
from fedgap.ledger.entry import Entry
from fedgap.ledger.errors import BadEntryError, LedgerError
from fedgap.ledger.tree import consistency_path, inclusion_path, is_consistent, is_included, leaf_hash

INCLUSION, CONSISTENCY = "fedgap/1/inclusion-proof", "fedgap/1/consistency-proof"


def prove_entry(leaves: Sequence[bytes], position: int, body: bytes, head: Checkpoint) -> dict[str, Any]:
    """Show that an entry is in the ledger.

    Args:
        leaves: hashes of every entry that the checkpoint covers.
        position: of the entry, from 0.
        body: its stored bytes.
        head: the checkpoint.

    Raises:
        LedgerError: there is no such entry.
    """
    if not 0 <= position < len(leaves):
        raise LedgerError(f"There is no entry {position}; there are {len(leaves)}.", remedy="Entries count from 0.")
    return {
        "kind": INCLUSION,
        "position": position,
        "body": body.hex(),
        "path": [node.hex() for node in inclusion_path(leaves, position)],
        "checkpoint": head.document(),
    }


def prove_growth(leaves: Sequence[bytes], before: Checkpoint, head: Checkpoint) -> dict[str, Any]:
    """Show that the checkpoint `head`, over these leaves, extends an earlier one.

    Raises:
        LedgerError: it does not, or the earlier one covers more.
    """
    path = consistency_path(leaves, before.size) if 0 < before.size <= len(leaves) else []
    proof = {
        "kind": CONSISTENCY,
        "path": [node.hex() for node in path],
        "before": before.document(),
        "checkpoint": head.document(),
    }
    if not is_growth(proof):
        raise LedgerError(
            f"This ledger of {head.size} entries does not extend that checkpoint over {before.size}.",
            remedy="Keep both checkpoints: signed by one server, they are evidence of a split view.",
        )
    return proof


def read_entry(proof: Any, *, server: bytes) -> Entry:  # noqa: ANN401 - whatever a JSON file holds
    """Check an inclusion proof and give the entry that it is about.

    Raises:
        LedgerError: the proof does not hold, or its checkpoint is not signed by this server.
    """
    head = _checked_head(proof, server=server)
    try:
        body, path = bytes.fromhex(proof["body"]), [bytes.fromhex(node) for node in proof["path"]]
        position, entry = proof["position"], Entry.of(body)
    except (KeyError, TypeError, ValueError, BadEntryError) as error:
        raise LedgerError("This is no inclusion proof.", remedy="Ask for the proof again.") from error
    leads = type(position) is int and is_included(
        leaf_hash(body), position=position, size=head.size, path=path, root=head.root
    )
    if not leads:
        raise LedgerError("The proof does not lead to its checkpoint.", remedy="Ask for the proof again.")
    return entry


def is_growth(proof: Any) -> bool:  # noqa: ANN401 - whatever a JSON file holds
    """Tell whether a consistency proof leads from one of its checkpoints to the other; signatures are checked apart."""
    try:
        before, head = Checkpoint.of_document(proof["before"]), Checkpoint.of_document(proof["checkpoint"])
        path = [bytes.fromhex(node) for node in proof["path"]]
    except (KeyError, TypeError, ValueError, LedgerError):
        return False
    return before.origin == head.origin and is_consistent(
        before=before.size, root_before=before.root, size=head.size, root=head.root, path=path
    )


def _checked_head(proof: Any, *, server: bytes) -> Checkpoint:  # noqa: ANN401 - whatever a JSON file holds
    if not isinstance(proof, dict) or proof.get("kind") != INCLUSION:
        raise LedgerError("This is no inclusion proof.", remedy="Make one with: fedgap ledger prove.")
    head = Checkpoint.of_document(proof.get("checkpoint"))
    if not head.is_signed_by(server):
        raise LedgerError("The proof's checkpoint is not signed by this server.", remedy="Compare the server's key.")
    return head
