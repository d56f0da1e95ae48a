"""THE LEDGER: what happened, signed by whom it concerns, in an order that nobody can change unseen.

    tree.py        RFC 6962: one hash over all entries, short proofs
    entry.py       record, author, signature; the server signs at a place
    story.py       what may follow what
    chain.py       the checks of one entry against all before it
    checkpoint.py  the signed head; kept, co-signed and compared by every organisation
    verify.py      THE CHECKS: the first bad entry, or none
    proof.py       this entry is in it; it only grew
    store.py       the SQLite file, written by one process at a time; reading.py: read by anybody

The format is written down in docs/ledger.md, for whoever writes a second verifier.
"""

from fedgap.ledger.chain import Chain
from fedgap.ledger.checkpoint import Checkpoint, watch
from fedgap.ledger.entry import Entry, Signed
from fedgap.ledger.errors import (
    BadEntryError,
    DamagedLedgerError,
    LedgerError,
    LedgerFullError,
    LedgerInUseError,
    LedgerReadOnlyError,
    LedgerVersionError,
    SplitViewError,
)
from fedgap.ledger.verify import Fault, Trust, Verification, verify

__all__ = [
    "BadEntryError",
    "Chain",
    "Checkpoint",
    "DamagedLedgerError",
    "Entry",
    "Fault",
    "LedgerError",
    "LedgerFullError",
    "LedgerInUseError",
    "LedgerReadOnlyError",
    "LedgerVersionError",
    "Signed",
    "SplitViewError",
    "Trust",
    "Verification",
    "verify",
    "watch",
]
