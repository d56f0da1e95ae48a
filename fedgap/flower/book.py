"""The operator's book: who was invited, who enrolled with which keys, who signed which manifest. One SQLite file.

The running server and the commands `invite`, `approve` and `revoke` work on it at the same time; each change is one
transaction, durable when it returns. Of a one-time code only a hash is kept.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from fedgap.crypto import digest, is_signed
from fedgap.crypto.canonical import Value
from fedgap.errors import FedgapError
from fedgap.flower.enrolment import EnrolRequest, InviteExpiredError, InviteUsedError
from fedgap.ids import OrgId
from fedgap.storage import DamagedFileError, StorageError

Standing: TypeAlias = Literal["invited", "waiting", "approved", "revoked"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invite (
  code BLOB PRIMARY KEY, organisation TEXT NOT NULL, expires_s INTEGER NOT NULL, confirm INTEGER NOT NULL,
  request BLOB);
CREATE TABLE IF NOT EXISTS organisation (
  id TEXT PRIMARY KEY, standing TEXT NOT NULL, public BLOB, node_public TEXT, statistics BLOB, shape BLOB);
CREATE TABLE IF NOT EXISTS approval (
  manifest BLOB NOT NULL, public BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (manifest, public));
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, content BLOB NOT NULL);
"""


class UnknownOrganisationError(FedgapError):
    """An organisation is not in the book, or not at the point where this can be done."""

    code = "server.unknown-organisation"
    remedy = "`fedgap server status` lists the organisations; invite it first with `fedgap server invite`."
    exit_status = 2


class KeyTakenError(FedgapError):
    """Two organisations show one key."""

    code = "enrol.key-taken"
    remedy = "Every organisation makes its own keys: join again from an empty folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """An organisation in the book.

    Attributes:
        org: its id.
        standing: invited, waiting (for the operator), approved, revoked.
        public: Ed25519 key; None before it enrolled.
        node_public: its node's key, one line.
        statistics, shape: its packed answers before the first round, None until it gave them.
    """

    org: OrgId
    standing: Standing
    public: bytes | None = None
    node_public: str | None = None
    statistics: bytes | None = field(default=None, repr=False)
    shape: bytes | None = field(default=None, repr=False)


class Book:
    """The book in a file.

    Raises:
        DamagedFileError: the file is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        new = not path.exists()
        with self._open() as book:
            book.executescript(_SCHEMA)
        if new:
            path.chmod(0o600)

    def invite(self, org: OrgId, code: bytes, *, expires_s: int, confirm: bool) -> None:
        """Note that an organisation may enrol once with this code; a code it was given before is void from now on.

        Args:
            org: which.
            code: 16 random bytes.
            expires_s: until when, seconds since 1970.
            confirm: whether the operator has to approve it, after comparing fingerprints.
        """
        with self._open() as book:
            book.execute("DELETE FROM invite WHERE organisation = ? AND request IS NULL", (org,))
            row = (_hash(code), org, expires_s, int(confirm))
            book.execute("INSERT INTO invite (code, organisation, expires_s, confirm) VALUES (?, ?, ?, ?)", row)
            book.execute("INSERT OR IGNORE INTO organisation (id, standing) VALUES (?, 'invited')", (org,))

    def enrol(self, request: EnrolRequest, *, now_s: float) -> Standing:
        """Take an organisation's keys, against its code; the same request again gives the same answer.

        Raises:
            InviteUsedError: no such code, another organisation's, or used with other keys.
            InviteExpiredError: too late.
            KeyTakenError: another organisation, or this one before it was revoked, has this key.
        """
        org, code = OrgId(request.organisation), _hash(bytes.fromhex(request.code))
        said = digest("enrolled", request.organisation, bytes.fromhex(request.public), request.node_public)
        with self._open() as book:
            found = book.execute(
                "SELECT organisation, expires_s, confirm, request FROM invite WHERE code = ?", (code,)
            ).fetchone()
            if found is None or found[0] != org or found[3] not in {None, said}:
                raise InviteUsedError("The code is unknown, or was used with other keys.")
            if found[3] == said:
                return self._standing(book, org)
            if now_s >= found[1]:
                raise InviteExpiredError("The code is no longer valid.")
            public = bytes.fromhex(request.public)
            taken = "SELECT 1 FROM organisation WHERE (public = ? OR node_public = ?)"
            if book.execute(taken, (public, request.node_public)).fetchone():
                raise KeyTakenError("One of the keys is in use already.")
            standing: Standing = "waiting" if found[2] else "approved"
            row = (standing, public, request.node_public, org)
            book.execute(
                "UPDATE organisation SET standing = ?, public = ?, node_public = ?, statistics = NULL, shape = NULL"
                " WHERE id = ?",
                row,
            )
            book.execute("UPDATE invite SET request = ? WHERE code = ?", (said, code))
            return standing

    def approve(self, org: OrgId) -> None:
        """Let an organisation that enrolled take part.

        Raises:
            UnknownOrganisationError: it has not enrolled.
        """
        self._move(org, "approved", ("waiting", "approved"))

    def revoke(self, org: OrgId) -> None:
        """Let an organisation take part no longer, and void its codes.

        Raises:
            UnknownOrganisationError: there is none of this id.
        """
        self._move(org, "revoked", ("invited", "waiting", "approved", "revoked"))
        with self._open() as book:
            book.execute("DELETE FROM invite WHERE organisation = ? AND request IS NULL", (org,))

    def organisations(self) -> tuple[Enrolled, ...]:
        """List everybody, in name order."""
        with self._open(writes=False) as book:
            rows = book.execute(
                "SELECT id, standing, public, node_public, statistics, shape FROM organisation ORDER BY id"
            ).fetchall()
        names = ("org", "standing", "public", "node_public", "statistics", "shape")
        return tuple(Enrolled(**dict(zip(names, row, strict=True))) for row in rows)

    def prepared(self, org: OrgId, *, statistics: bytes | None = None, shape: bytes | None = None) -> None:
        """Keep an organisation's answers from before the first round; None leaves what is there."""
        change = "UPDATE organisation SET statistics = COALESCE(?, statistics), shape = COALESCE(?, shape) WHERE id = ?"
        with self._open() as book:
            book.execute(change, (statistics, shape, org))

    def sign(self, manifest: bytes, public: bytes, signature: bytes, *, said: Sequence[Value] = ()) -> bool:
        """Keep a signature under a manifest's digest, or under another name of what was `said`; tell if it is valid."""
        label, *words = said or ("manifest", manifest)
        if not is_signed(public, signature, str(label), *words):
            return False
        with self._open() as book:
            book.execute("INSERT OR REPLACE INTO approval VALUES (?, ?, ?)", (manifest, public, signature))
        return True

    def signatures(self, manifest: bytes) -> list[tuple[bytes, bytes]]:
        """List keys and signatures under a manifest's digest."""
        with self._open(writes=False) as book:
            rows = book.execute(
                "SELECT public, signature FROM approval WHERE manifest = ? ORDER BY public", (manifest,)
            ).fetchall()
        return [(bytes(public), bytes(signature)) for public, signature in rows]

    def keep(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        with self._open() as book:
            book.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, content))

    def kept(self, name: str) -> bytes | None:
        """Give back what was kept under a name."""
        with self._open(writes=False) as book:
            row = book.execute("SELECT content FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def drop(self, name: str) -> None:
        """Keep nothing under a name."""
        with self._open() as book:
            book.execute("DELETE FROM kept WHERE name = ?", (name,))

    def copy_to(self, path: Path) -> None:
        """Write a whole copy, also while others change the book."""
        path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path)) as book, closing(sqlite3.connect(path)) as copy:
            book.backup(copy)

    def _move(self, org: OrgId, to: Standing, known: tuple[Standing, ...]) -> None:
        with self._open() as book:
            if self._standing(book, org) not in known:
                raise UnknownOrganisationError(f"The organisation '{org}' has not enrolled.")
            book.execute("UPDATE organisation SET standing = ? WHERE id = ?", (to, org))

    def _standing(self, book: sqlite3.Connection, org: OrgId) -> Standing:
        row = book.execute("SELECT standing FROM organisation WHERE id = ?", (org,)).fetchone()
        if row is None:
            raise UnknownOrganisationError(f"There is no organisation '{org}'.")
        standing: Standing = row[0]
        return standing

    @contextmanager
    def _open(self, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing if an error leaves it. One that only reads waits for nobody."""
        try:
            book = sqlite3.connect(self._path, timeout=30, isolation_level="IMMEDIATE")
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} cannot be opened.") from error
        try:
            book.execute("PRAGMA journal_mode = WAL")
            book.execute("PRAGMA synchronous = FULL")
            book.execute("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")
            yield book
            book.commit()
        except sqlite3.OperationalError as error:
            raise StorageError(f"{self._path} cannot be written ({error}).") from error
        except sqlite3.DatabaseError as error:
            raise DamagedFileError(f"{self._path} is damaged.") from error
        finally:
            book.close()


def _hash(code: bytes) -> bytes:
    """What is kept of a one-time code; looking it up takes the same time whatever it is."""
    return digest("invite-code", code)
