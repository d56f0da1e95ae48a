"""What somebody could do to a ledger's file: without any key, with the server's key, and beside the entries."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fedgap.crypto import Identity, codec
from fedgap.ledger import Chain, Checkpoint, Entry
from fedgap.ledger.entry import server_entry
from fedgap.ledger.reading import StoredLedger
from fedgap.ledger.schema import SCHEMA, SETTINGS

Rows = list[bytes]


def rows_of(path: Path) -> tuple[Rows, Checkpoint]:
    """Stored bytes of every entry, and the checkpoint."""
    with StoredLedger(path) as stored:
        return [body for _, body in stored.bodies()], stored.required_head()


def write_rows(path: Path, rows: Rows, head: Checkpoint | None, *, more: tuple[str, ...] = ()) -> Path:
    """Write a file with these entries, whatever they are, and run more SQL on it."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in ("BEGIN", *SETTINGS, *SCHEMA):
            database.execute(statement)
        database.executemany("INSERT INTO entry VALUES (?, ?)", list(enumerate(rows)))
        if head is not None:
            database.execute("INSERT INTO head VALUES (0, ?)", (codec.pack(head),))
        database.execute("COMMIT")
        for statement in more:
            database.execute(statement)
    return path


def changed(rows: Rows, rng: random.Random) -> Rows:
    """One bit of one entry."""
    at = rng.randrange(len(rows))
    body = bytearray(rows[at])
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return [*rows[:at], bytes(body), *rows[at + 1 :]]


def dropped(rows: Rows, rng: random.Random) -> Rows:
    """One entry is left out, those behind it move up."""
    at = rng.randrange(len(rows))
    return rows[:at] + rows[at + 1 :]


def swapped(rows: Rows, rng: random.Random) -> Rows:
    """Two entries change places."""
    one, other = sorted(rng.sample(range(len(rows)), 2))
    return [*rows[:one], rows[other], *rows[one + 1 : other], rows[one], *rows[other + 1 :]]


def doubled(rows: Rows, rng: random.Random) -> Rows:
    """One entry is there again, later."""
    at = rng.randrange(len(rows))
    to = rng.randrange(at + 1, len(rows) + 1)
    return [*rows[:to], rows[at], *rows[to:]]


def cut_off(rows: Rows, rng: random.Random) -> Rows:
    """The last entries are gone."""
    return rows[: rng.randrange(len(rows))]


def forged(rows: Rows, rng: random.Random) -> Rows:
    """An entry is signed again by somebody with a key of their own."""
    at = rng.randrange(len(rows))
    forger, chain = Identity(bytes([7]) * 32), Chain()
    for body in rows[:at]:
        chain.add(body, signatures=False)
    record = Entry.of(rows[at]).record
    signature = forger.sign("record", chain.origin, record)
    keep = rng.random() < 0.5
    author = Entry.of(rows[at]).author if keep else forger.public
    return [*rows[:at], Entry(record=record, author=author, signature=signature).body, *rows[at + 1 :]]


WITHOUT_KEYS: dict[str, Callable[[Rows, random.Random], Rows]] = {
    "changed": changed,
    "dropped": dropped,
    "swapped": swapped,
    "doubled": doubled,
    "cut-off": cut_off,
    "forged": forged,
}


def rewritten(rows: Rows, server: Identity, *, without: int) -> tuple[Rows, Checkpoint]:
    """The server leaves out an entry and signs everything behind it anew."""
    chain, kept = Chain(), []
    for at, body in enumerate(rows):
        if at == without:
            continue
        entry = Entry.of(body)
        if entry.author == server.public and chain.size:
            place = chain.place_of(None)  # type: ignore[arg-type]  # only the first record's place depends on it
            entry = server_entry(entry.record, place, server)
        chain.add(entry.body)
        kept.append(entry.body)
    return kept, Checkpoint.signed(origin=chain.origin, size=chain.size, root=chain.root, server=server)


BESIDE: dict[str, tuple[str, ...]] = {
    "a-table": ("CREATE TABLE note (text)",),
    "a-view": ("CREATE VIEW note AS SELECT * FROM entry",),
    "an-index": ("CREATE INDEX quick ON entry (body)",),
    "a-trigger": ("CREATE TRIGGER hide AFTER INSERT ON entry BEGIN SELECT 1; END",),
    "a-column": ("ALTER TABLE entry ADD COLUMN note TEXT",),
    "a-version": ("PRAGMA user_version = 0",),
    "an-encoding-of-pages": ("PRAGMA auto_vacuum = 1", "VACUUM"),
    "left-over-pages": ("CREATE TABLE a (b)", "INSERT INTO a VALUES (zeroblob(20000))", "DROP TABLE a"),
    "an-entry-before-the-first": ("INSERT INTO entry VALUES (-1, x'6d696e65')",),
    "an-entry-far-behind": ("INSERT INTO entry VALUES (4611686018427387904, x'6d696e65')",),
    "no-checkpoint": ("DELETE FROM head",),
    "a-malformed-checkpoint": ("UPDATE head SET checkpoint = x'00'",),
    "statistics": ("ANALYZE",),
}
"""SQL that puts something into the file that no ledger has."""
