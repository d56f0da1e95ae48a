"""One entry: the bytes of a record, who made it, and that author's signature.

An organisation (and a funder) signs its record for one federation. The server signs its record *at its place*: with the
position and the root over all entries before. So every entry of the server is a checkpoint of everything before it, and
whatever is changed, dropped, added or moved shows at the next one.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from fedgap.crypto import Identity, statement
from fedgap.ledger.errors import BadEntryError
from fedgap.records import Record, write_record

_SIGNATURE_AT, _RECORD_AT = 32, 96


class Entry(NamedTuple):
    """What one row of the ledger holds; a tuple, because a verifier makes one for each of them.

    Attributes:
        record: canonical bytes (`fedgap.records`).
        author: Ed25519 public key of whoever made it.
        signature: the author's, over the statement of `said`.
    """

    record: bytes
    author: bytes
    signature: bytes

    @property
    def body(self) -> bytes:
        """The stored bytes: author, signature, record; the leaf of the tree is their hash."""
        return self.author + self.signature + self.record

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Read stored bytes.

        Raises:
            BadEntryError: they are no entry.
        """
        if type(body) is not bytes or len(body) <= _RECORD_AT:
            raise BadEntryError("malformed", "It is not a key, a signature and a record.")
        return cls(record=body[_RECORD_AT:], author=body[:_SIGNATURE_AT], signature=body[_SIGNATURE_AT:_RECORD_AT])


class Place(NamedTuple):
    """Where an entry stands: in which ledger, behind which entries.

    Attributes:
        origin: digest of the federation's first manifest.
        position: from 0.
        before: root over all entries before it.
    """

    origin: bytes
    position: int
    before: bytes


def said(record: bytes, place: Place, *, by_server: bool) -> bytes:
    """Give the statement an entry's author signs."""
    if by_server:
        return statement("entry", place.origin, place.position, place.before, record)
    return statement("record", place.origin, record)


def server_entry(record: bytes, place: Place, server: Identity) -> Entry:
    """Sign a record of the server at its place."""
    signature = server.sign("entry", place.origin, place.position, place.before, record)
    return Entry(record=record, author=server.public, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A record that somebody other than the server signed, on its way into the ledger."""

    record: Record
    author: bytes
    signature: bytes

    @classmethod
    def by(cls, identity: Identity, record: Record, *, origin: bytes) -> Self:
        """Sign a record as the organisation it names, or as the funder."""
        data = write_record(record)
        return cls(record=record, author=identity.public, signature=identity.sign("record", origin, data))

    def entry(self) -> Entry:
        """As the ledger holds it."""
        return Entry(record=write_record(self.record), author=self.author, signature=self.signature)
