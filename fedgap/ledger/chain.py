"""Entries one after another: each checked against all before it, in one pass, with some 100 bytes of memory for each.

What is remembered of an entry is its hash (so that none comes twice) and the root behind it (so that a co-signed
checkpoint can be compared).
"""

from fedgap.crypto import digest, is_fresh_statement
from fedgap.ledger.entry import Entry, Place, said
from fedgap.ledger.errors import BadEntryError
from fedgap.ledger.story import IsSigned, Story
from fedgap.ledger.tree import EMPTY, Tree, leaf_hash
from fedgap.records import BadRecordError, ManifestSigned, Record, read_record

_HASH_BYTES = 32


class Chain:
    """The entries so far.

    Attributes:
        origin: digest of the first manifest; empty before the first entry.
        root: over them.
        story: what they say.
        anchored: how many entries the server's last signature among them covers.
    """

    def __init__(self, is_signed: IsSigned = is_fresh_statement) -> None:
        """Begin with no entry.

        Args:
            is_signed: tells whether a key signed a statement; `Batch` answers later.
        """
        self.origin = b""
        self.anchored = 0
        self.story = Story(self.root_at, is_signed)
        self._is_signed = is_signed
        self._tree = Tree()
        self._seen: set[bytes] = set()
        self._roots = bytearray(EMPTY)
        self.root = EMPTY

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._tree.size

    def root_at(self, size: int) -> bytes | None:
        """Root over the first so many entries, None if there are not as many."""
        return bytes(self._roots[_HASH_BYTES * size : _HASH_BYTES * (size + 1)]) if 0 < size <= self.size else None

    def place_of(self, record: Record) -> Place:
        """Where a record stands if it comes next; the first one names the ledger.

        Raises:
            BadEntryError: it would be the first and is no manifest.
        """
        if self.size:
            return Place(self.origin, self.size, self.root)
        if not isinstance(record, ManifestSigned):
            raise BadEntryError("no-manifest", "A ledger begins with a manifest, and this is none.")
        return Place(digest("manifest", record.manifest), 0, EMPTY)

    def require_next(self, position: int) -> None:
        """Do nothing if the next entry has this number.

        Raises:
            BadEntryError: it has another one.
        """
        if position != self.size:
            raise BadEntryError("missing-entry", f"The next entry says that it is number {position}.")

    def add(self, body: bytes, *, signatures: bool = True) -> Record:
        """Check the stored bytes of the next entry and add it.

        Args:
            body: what `Entry.body` wrote.
            signatures: whether to check the author's signature; every other check is made anyway.

        Raises:
            BadEntryError: something is wrong with it; nothing was added.
        """
        entry = Entry.of(body)
        try:
            record = read_record(entry.record)
        except BadRecordError as error:
            raise BadEntryError("malformed", error.cause) from error
        place = self.place_of(record)
        leaf = leaf_hash(body)
        if leaf in self._seen:
            raise BadEntryError("repeated", "The same entry is already in the ledger.")
        by_server = self.story.is_by_server(record, entry.author)
        if signatures and not self._is_signed(
            entry.author, entry.signature, said(entry.record, place, by_server=by_server)
        ):
            where = " at this place behind these entries" if by_server else ""
            raise BadEntryError("bad-signature", f"Its author did not sign it{where}.")
        self.story.tell(record, entry.author)
        self.origin = place.origin
        self._seen.add(leaf)
        self._tree.append(leaf)
        self.root = self._tree.root
        self._roots += self.root
        if by_server:
            self.anchored = self.size
        return record


class Batch:
    """Says yes to every signature and checks a few hundred at once: a processor does either work faster in a row.

    Attributes:
        holds: whether every signature checked so far is valid. What was said yes to is believed only if this is so
            after `flush`; else the entries are read again, one signature at a time.
    """

    def __init__(self, most: int = 512) -> None:
        self.holds = True
        self._most = most
        self._waiting: list[tuple[bytes, bytes, bytes]] = []

    def __call__(self, public: bytes, signature: bytes, said: bytes) -> bool:
        """Put a signature on the list."""
        self._waiting.append((public, signature, said))
        if len(self._waiting) >= self._most:
            self.flush()
        return self.holds

    def flush(self) -> None:
        """Check what waits."""
        self.holds = self.holds and all(is_fresh_statement(*one) for one in self._waiting)
        self._waiting.clear()
