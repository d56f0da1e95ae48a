"""What can be wrong with a ledger. No message carries what an entry holds."""

from fedgap.errors import FedgapError


class LedgerError(FedgapError):
    """A ledger cannot be read or written."""

    code = "ledger.unusable"
    remedy = "Check that the file is a fedgap ledger and that this user may read it."


class BadEntryError(LedgerError):
    """An entry is not what its author signed, not where it was written, or breaks a rule of the ledger."""

    code = "ledger.bad-entry"
    remedy = "Nothing was written. Ask for the ledger's original, or run: fedgap ledger verify."

    def __init__(self, fault: str, cause: str) -> None:
        super().__init__(cause)
        self.fault = fault


class DamagedLedgerError(LedgerError):
    """A ledger is not what its own last checkpoint says."""

    code = "ledger.damaged"
    remedy = "Do not write to it. Run: fedgap ledger verify; then restore the last whole copy, which loses nothing."


class LedgerInUseError(LedgerError):
    """Another process writes to this ledger."""

    code = "ledger.in-use"
    remedy = "End the other fedgap process, or wait for it. Reading is possible at any time."


class LedgerFullError(LedgerError):
    """There is no room for another entry; every entry before it is safe."""

    code = "ledger.disk-full"
    remedy = "Free some space; then run the command again: it goes on from the last entry."


class LedgerReadOnlyError(LedgerError):
    """The ledger or its folder cannot be written."""

    code = "ledger.read-only"
    remedy = "Make the file and its folder writable for this user, or write to a copy."


class LedgerVersionError(LedgerError):
    """A ledger was written by a later version of fedgap."""

    code = "ledger.newer-version"
    remedy = "Update fedgap; nothing was read or changed."


class SplitViewError(LedgerError):
    """Two checkpoints of one ledger do not extend each other: somebody was shown another history.

    Attributes:
        evidence: both, signed by the server, as JSON can hold them; whoever has the server's key can check them.
    """

    code = "ledger.split-view"
    remedy = "Keep both checkpoints: together they are the evidence. Take no part until the server has explained them."

    def __init__(self, cause: str, *, evidence: dict[str, object]) -> None:
        super().__init__(cause)
        self.evidence = evidence
