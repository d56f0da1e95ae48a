"""Reading a ledger's file without ever writing to it or to its folder, and checking all that it holds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from fedgap.ledger.chain import Batch, Chain
from fedgap.ledger.checkpoint import Checkpoint
from fedgap.ledger.describe import described
from fedgap.ledger.errors import BadEntryError, DamagedLedgerError, LedgerError
from fedgap.ledger.schema import (
    ENTRIES,
    FIRST_ROW,
    MAX_BODY_BYTES,
    explained,
    foreign_content,
    require_known_version,
    stored_head,
)
from fedgap.ledger.tree import leaf_hash, root_of
from fedgap.ledger.verify import Fault, Trust, Verification, verify
from fedgap.records import BadRecordError


class StoredLedger:
    """A ledger that is only read."""

    def __init__(self, path: Path) -> None:
        """Open it for reading.

        Raises:
            LedgerError: it is not there or not readable.
            DamagedLedgerError: it is no SQLite database.
            LedgerVersionError: a later version of fedgap wrote it.
        """
        if not path.is_file():
            raise LedgerError(f"There is no ledger at {path}.", remedy="Check the path.")
        self.path = path
        self._is_whole = not Path(f"{path}-wal").exists()
        mode = "mode=ro&immutable=1" if self._is_whole else "mode=ro"
        with explained(path):
            self._database = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None)
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BODY_BYTES)
            try:
                self._database.execute("PRAGMA trusted_schema = OFF")
                require_known_version(self._database)
                self._database.execute("BEGIN")  # one state of the file, whatever a writer adds meanwhile
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    @property
    def head(self) -> Checkpoint | None:
        """The stored checkpoint, None if it is missing or malformed."""
        try:
            return stored_head(self._database)
        except (DamagedLedgerError, sqlite3.DatabaseError):
            return None

    def copy_to(self, other: sqlite3.Connection) -> None:
        """Copy every page into another database."""
        self._database.execute("COMMIT")  # SQLite copies from a connection that reads nothing itself
        self._database.backup(other)

    def bodies(self, first: int = FIRST_ROW) -> Iterator[tuple[int, bytes]]:
        """Read every entry, or those from a position on: (position, stored bytes).

        Raises:
            BadEntryError: the file cannot be read any further.
        """
        try:
            for row in self._database.execute(ENTRIES, (first,)):  # noqa: UP028 - would close the cursor at the end,
                yield row  # which fails where a reader that had enough has closed the database before
        except sqlite3.Error as error:
            raise BadEntryError("unreadable", f"The file cannot be read from here on ({error}).") from error

    def body(self, position: int) -> bytes:
        """Give the stored bytes of one entry, empty if there is none."""
        with explained(self.path):
            row = self._database.execute("SELECT body FROM entry WHERE position = ?", (position,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def described(self, first: int = FIRST_ROW) -> Iterator[dict[str, Any]]:
        """Give every entry as JSON can hold it, or those from a position on.

        Raises:
            BadEntryError: one cannot be read.
        """
        for position, body in self.bodies(first):
            try:
                yield described(body, position)
            except BadRecordError as error:
                raise BadEntryError("malformed", f"Entry {position} is malformed: {error.cause}") from error

    def required_head(self) -> Checkpoint:
        """Give the stored checkpoint.

        Raises:
            DamagedLedgerError: it is missing or malformed.
        """
        if (head := self.head) is None:
            raise DamagedLedgerError("The ledger's checkpoint is missing or malformed.")
        return head

    def leaves(self) -> tuple[list[bytes], Checkpoint]:
        """Hash every entry; give the hashes with the checkpoint that covers them.

        Raises:
            DamagedLedgerError: the checkpoint is not over these entries.
        """
        leaves, head = [leaf_hash(body) for _, body in self.bodies()], self.required_head()
        if (head.size, head.root) != (len(leaves), root_of(leaves)):
            raise DamagedLedgerError("The ledger is not what its checkpoint says.")
        return leaves, head

    def foreign(self) -> str | None:
        """Say what the file holds beside entries and a checkpoint, None if nothing."""
        try:
            cause = foreign_content(self._database)
            pages, page_bytes = (
                self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
            )
        except sqlite3.Error as error:
            return f"The file is damaged ({error})."
        size = self.path.stat().st_size
        if cause is None and self._is_whole and size != pages * page_bytes:
            return f"The file has {size} bytes; its database has {pages * page_bytes}."
        return cause


def is_blank(path: Path) -> bool:
    """Tell whether nothing was ever written there, as when a process was killed while it made the ledger.

    Raises:
        LedgerError: it is something that cannot be read.
    """
    if not path.exists():
        return True
    with explained(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
        return database.execute("SELECT 1 FROM sqlite_schema").fetchone() is None


def copy_ledger(path: Path, to: Path) -> None:
    """Copy a ledger as it is at one moment, whatever a writer adds meanwhile.

    Raises:
        LedgerError: it cannot be read, or the copy cannot be written.
    """
    with StoredLedger(path) as stored, explained(to), closing(sqlite3.connect(to)) as copy:
        stored.copy_to(copy)


def verify_file(path: Path, trust: Trust, *, chain: Chain | None = None) -> Verification:
    """Check a ledger's file: every entry, the checkpoint, and that there is nothing else in it.

    Args:
        path: the file; a `-wal` beside it is read too.
        trust: what the reader knows from elsewhere.
        chain: an empty one that the caller wants to look at afterwards.

    Raises:
        LedgerError: it cannot be read at all.
    """
    with StoredLedger(path) as stored:
        batch = Batch()
        found = verify(stored.bodies(), stored.head, trust=trust, chain=Chain(batch) if chain is None else chain)
        batch.flush()
        if not batch.holds:
            found = verify(stored.bodies(), stored.head, trust=trust)
        if found.fault is None and (cause := stored.foreign()) is not None:
            fault = Fault(position=None, since=None, code="foreign-content", cause=cause)
            return replace(found, fault=fault)
    return found
