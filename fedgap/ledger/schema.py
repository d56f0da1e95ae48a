"""What a ledger's database holds, and nothing else: two tables, their rows, and the settings of the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fedgap.crypto import BadBytesError, codec
from fedgap.ledger.checkpoint import Checkpoint
from fedgap.ledger.errors import (
    DamagedLedgerError,
    LedgerError,
    LedgerFullError,
    LedgerInUseError,
    LedgerReadOnlyError,
    LedgerVersionError,
)

MAX_BODY_BYTES = 64 * 2**20
"""No entry is longer; a file that says otherwise is not read."""

FORMAT = 1
"""Version of the file, SQLite's `user_version`."""

APPLICATION: Final = int.from_bytes(b"fedg", "big")
"""What names the file a ledger, SQLite's `application_id`."""

SCHEMA: Final = (
    "CREATE TABLE entry (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
    "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 0), checkpoint BLOB NOT NULL) STRICT",
)

ENTRIES: Final = "SELECT position, body FROM entry WHERE position >= ? ORDER BY position"

FIRST_ROW: Final = -(2**63)
"""SQLite has no lower position: nothing hides before entry 0."""

SETTINGS: Final = (f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {FORMAT}")

_EXPECTED: Final = {
    "application_id": APPLICATION,
    "user_version": FORMAT,
    "encoding": "UTF-8",
    "auto_vacuum": 0,
    "default_cache_size": -2000,
    "freelist_count": 0,
}


def require_known_version(database: sqlite3.Connection) -> None:
    """Refuse what a later version wrote, and what is no ledger.

    Raises:
        LedgerVersionError, DamagedLedgerError: it is one of these.
    """
    name, version = (database.execute(f"PRAGMA {key}").fetchone()[0] for key in ("application_id", "user_version"))
    if name != APPLICATION:
        raise DamagedLedgerError("This is an SQLite database, but no fedgap ledger.")
    if version > FORMAT:
        raise LedgerVersionError(f"The ledger has format {version}; this fedgap reads up to {FORMAT}.")


def foreign_content(database: sqlite3.Connection) -> str | None:
    """Say what does not belong into a ledger's file, None if nothing.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    found = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
    expected = [("table", sql.split()[2], sql.split()[2], sql) for sql in SCHEMA]
    if found != expected:
        return "The file has other tables, columns or indexes than a ledger."
    for setting, value in _EXPECTED.items():
        row = database.execute(f"PRAGMA {setting}").fetchone()
        if row is None or row[0] != value:
            return f"The file's setting '{setting}' is not that of a ledger."
    if database.execute("SELECT count(*) FROM head").fetchone()[0] != 1:
        return "The file has no checkpoint, or more than one."
    report = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return None if report == "ok" else f"The file's structure is damaged ({report})."


def stored_head(database: sqlite3.Connection) -> Checkpoint | None:
    """Read the stored checkpoint, None if there is none.

    Raises:
        DamagedLedgerError: it is malformed.
        sqlite3.DatabaseError: the file is damaged.
    """
    rows = database.execute("SELECT checkpoint FROM head WHERE id = 0").fetchall()
    try:
        return codec.unpack(Checkpoint, rows[0][0]) if rows else None
    except (BadBytesError, TypeError) as error:
        raise DamagedLedgerError("The ledger's checkpoint is malformed.") from error


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Turn SQLite's errors about a file into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        match code:
            case sqlite3.SQLITE_FULL:
                raise LedgerFullError(f"There is no room left to write {path}.") from error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise LedgerInUseError(f"Another process holds {path}.") from error
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                raise LedgerReadOnlyError(f"{path} cannot be opened ({error}).") from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                raise DamagedLedgerError(f"{path} is no ledger, or it is damaged ({error}).") from error
            case _:
                raise LedgerError(
                    f"{path} cannot be used ({error}).", remedy="Check the disk; then try again."
                ) from error
