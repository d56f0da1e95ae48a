"""The ledger's file: an SQLite database that is only ever appended to, by one process at a time.

An append is one transaction: the entries and the new checkpoint, or neither; it is on disk when it returns (WAL,
synchronous=FULL). Readers never wait and never write. This module and `reading.py` are this package's
shell; the rest is pure.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from fedgap.crypto import Identity, codec
from fedgap.ledger.chain import Chain
from fedgap.ledger.checkpoint import Checkpoint
from fedgap.ledger.entry import Signed, server_entry
from fedgap.ledger.errors import (
    BadEntryError,
    DamagedLedgerError,
    LedgerError,
    LedgerInUseError,
    LedgerReadOnlyError,
)
from fedgap.ledger.schema import (
    ENTRIES,
    FIRST_ROW,
    MAX_BODY_BYTES,
    SCHEMA,
    SETTINGS,
    explained,
    foreign_content,
    require_known_version,
    stored_head,
)
from fedgap.records import ManifestSigned, Record, Roster, write_record


class Ledger:
    """A ledger that this process writes to.

    Attributes:
        path: its file.
        server: the key that signs entries and checkpoints.
    """

    def __init__(self, path: Path, server: Identity, *, founding: ManifestSigned | None = None) -> None:
        """Open a ledger for writing, or make it.

        Args:
            path: its file; `path`-wal and `path`-lock stand beside it while it is open.
            server: the key of the manifest's server.
            founding: the first manifest, if the ledger is to be made; must be None if it has entries.

        Raises:
            LedgerInUseError: another process writes to it.
            LedgerReadOnlyError, LedgerFullError: the file system does not let us.
            DamagedLedgerError: it is not what its last checkpoint says.
            LedgerError: there is none and no `founding`, or there is one and `founding`.
        """
        self.path, self.server = path, server
        if founding is None and not path.exists():
            raise LedgerError(f"There is no ledger at {path}.", remedy="Check the path, or start a federation.")
        self._lock = _locked(path)
        try:
            with explained(path):
                self._database = _writable(path)
            self._chain = Chain()
            self._begin(founding)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write."""
        if hasattr(self, "_database"):
            self._database.close()
        _unlock(self.path, self._lock)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._chain.size

    @property
    def origin(self) -> bytes:
        """Digest of the first manifest: organisations sign their records for it."""
        return self._chain.origin

    @property
    def roster(self) -> Roster:
        """The manifest in force."""
        return self._chain.story.roster

    def root_at(self, size: int) -> bytes | None:
        """Root over the first so many entries, None if there are not as many."""
        return self._chain.root_at(size)

    @property
    def checkpoint(self) -> Checkpoint:
        """The signed head over everything written so far."""
        chain = self._chain
        return Checkpoint.signed(origin=chain.origin, size=chain.size, root=chain.root, server=self.server)

    def append(self, *facts: Record | Signed) -> Checkpoint:
        """Add records: the server's are signed here, others come signed. All of them, or none.

        Returns:
            The checkpoint that covers them; everything is on disk.

        Raises:
            BadEntryError: one of them is not signed or breaks a rule; nothing was written.
            LedgerFullError, LedgerInUseError, LedgerError: nothing was written; it may be tried again.
        """
        try:
            with explained(self.path), self._transaction():
                for fact in facts:
                    self._add(fact)
                return self._write_head()
        except BaseException:
            self._reload()
            raise

    def hand_over(self, record: ManifestSigned, server: Identity) -> Checkpoint:
        """Add the manifest that gives the server a new key; everything from here on is signed with it.

        Raises:
            BadEntryError: the members have not approved it; nothing was written.
        """
        before, self.server = self.server, server
        try:
            return self.append(record)
        except BaseException:
            self.server = before
            self._reload()
            raise

    def bodies(self, first: int = FIRST_ROW) -> Iterator[tuple[int, bytes]]:
        """Read every entry again, or those from a position on: (position, stored bytes)."""
        return iter(self._database.execute(ENTRIES, (first,)))

    def _begin(self, founding: ManifestSigned | None) -> None:
        if founding is not None:
            with explained(self.path):
                if self._database.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None:
                    raise LedgerError(f"There is already something at {self.path}.", remedy="Choose another file.")
                with self._transaction():
                    for statement in (*SETTINGS, *SCHEMA):
                        self._database.execute(statement)
                    self._add(founding)
                    self._write_head()
            return
        with explained(self.path):
            require_known_version(self._database)
            self._reload()
        if self.server.public != self.roster.server:
            raise LedgerError(
                "The key given is not that of this ledger's server.", remedy="Use the key file of the server."
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _add(self, fact: Record | Signed) -> None:
        if isinstance(fact, Signed):
            entry = fact.entry()
        else:
            data = write_record(fact)
            place = self._chain.place_of(fact)
            entry = server_entry(data, place, self.server)
        position = self._chain.size
        self._chain.add(entry.body, signatures=isinstance(fact, Signed))
        self._database.execute("INSERT INTO entry VALUES (?, ?)", (position, entry.body))

    def _write_head(self) -> Checkpoint:
        head = self.checkpoint
        self._database.execute("INSERT OR REPLACE INTO head VALUES (0, ?)", (codec.pack(head),))
        return head

    def _reload(self) -> None:
        """Read what is on disk; it must be what its checkpoint says."""
        chain = Chain()
        try:
            if (cause := foreign_content(self._database)) is not None:
                raise DamagedLedgerError(cause)
            for position, body in self.bodies():
                chain.require_next(position)
                chain.add(body, signatures=False)
            head = stored_head(self._database)
        except (BadEntryError, sqlite3.DatabaseError) as error:
            raise DamagedLedgerError(f"Entry {chain.size} of {self.path} is not readable.") from error
        if head is None or (head.size, head.root, head.origin) != (chain.size, chain.root, chain.origin):
            raise DamagedLedgerError(f"{self.path} is not what its last checkpoint says.")
        if not head.is_signed_by(chain.story.roster.server):
            raise DamagedLedgerError(f"The checkpoint of {self.path} is not signed by its server.")
        self._chain = chain


def _writable(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=10)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BODY_BYTES)
    for setting in ("trusted_schema = OFF", "journal_mode = WAL", "synchronous = FULL", "cell_size_check = ON"):
        database.execute(f"PRAGMA {setting}")
    return database


def _locked(path: Path) -> IO[str]:
    """Take the lock of a ledger: a file beside it that is gone when nobody writes."""
    name = Path(f"{path}-lock")
    while True:
        try:
            lock = name.open("w")
        except OSError as error:
            raise LedgerReadOnlyError(f"{path} cannot be written ({error.strerror}).") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if name.exists() and os.path.samestat(os.fstat(lock.fileno()), name.stat()):
                return lock
        except BlockingIOError as error:
            lock.close()
            raise LedgerInUseError(f"Another process writes to {path}.") from error
        lock.close()  # whoever had it before us removed it meanwhile


def _unlock(path: Path, lock: IO[str]) -> None:
    if not lock.closed:
        Path(f"{path}-lock").unlink(missing_ok=True)
        lock.close()
