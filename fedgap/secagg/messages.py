"""Every message of a round, in the order they are sent. The dataclass is the format (see `fedgap.secagg.wire`).

Organisations sign what they say under a label for the exchange; the first two values of each signed statement are its
context and whom it is by or for, and one key signs at most one statement for each label and such pair. The server
signs the hash of each message body the same way. Two different ones are proof (see `fedgap.secagg.evidence`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from fedgap.crypto import SIGNATURE_BYTES, BadSignatureError, Identity, Pieces, digest, digester, is_signed, statement
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.transcript import Advert, Plan, Survivor
from fedgap.secagg.wire import Exactly, Hash, Seat, Signature, pack, pieces, unpack

EVERYBODY = -1
"""The recipient of a message that all members get alike."""

LETTER_BYTES = 80
"""Two shares of 32 bytes and the seal."""

ROW_BYTES = 96 + LETTER_BYTES
Row: TypeAlias = Annotated[bytes, Exactly(ROW_BYTES)]
"""What a dealer says to one holder: C_ij | hash of the self-mask share | hash of the mask-key share | sealed letter.

In its row to itself the commitment to its self mask has the place of C_ij.
"""

SLIP_BYTES = 32 + LETTER_BYTES
Slip: TypeAlias = Annotated[bytes, Exactly(SLIP_BYTES)]
"""What of a row travels on to its holder, which computes the rest: hash of the first 96 bytes | sealed letter."""

_row_head = digester("row-head", 96)

M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A member's signature over an agreement D."""

    seat: Seat
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a round gave: the sum, who is in it, and the signatures that certify who is in it.

    Attributes:
        plan: the round.
        t2: its second transcript.
        survivors: U, with roots and signatures of their uploads.
        voices: at least tau signatures over D.
        total: the sum X, uint32 little-endian.
        signature: the server's, over D and the Merkle root of X.
    """

    KIND: ClassVar[str] = "outcome/1"

    plan: Plan
    t2: Hash
    survivors: tuple[Survivor, ...]
    voices: tuple[Voice, ...]
    total: bytes
    signature: Signature


# --- exchange 1: advertise (the answer is an Advert) ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """Server to all: the plan of the round, and what the last round gave.

    Attributes:
        plan: of the attempt.
        previous: what the last round gave; None before the first.
        offers: packed commitments to directions that are not certified yet (see `fedgap.secagg.certificates`).
        checkpoint: of the ledger, opaque here; empty if there is none to co-sign.
    """

    KIND: ClassVar[str] = "invite/1"
    RECIPIENT: ClassVar[int] = EVERYBODY

    plan: Plan
    previous: Outcome | None
    offers: tuple[bytes, ...] = ()
    checkpoint: bytes = b""

    @property
    def sid(self) -> bytes:
        """The attempt."""
        return self.plan.sid


# --- exchange 2: share ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Adverts:
    """Server to all: everybody's one-time keys, in order of seats."""

    KIND: ClassVar[str] = "adverts/1"

    sid: Hash
    adverts: tuple[Advert, ...]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Organisation to server: one row for each seat in Adverts, own seat included.

    Attributes:
        seat: the dealer.
        rows: in order of the seats in Adverts.
        signatures: one of 64 bytes for each row, over T1, both seats and the row's slip.
    """

    KIND: ClassVar[str] = "shares/1"

    seat: Seat
    rows: tuple[Row, ...]
    signatures: bytes

    @cached_property
    def slips(self) -> tuple[bytes, ...]:
        """What of each row travels on."""
        return tuple(slip(row) for row in self.rows)

    def signature(self, position: int) -> bytes:
        """The signature over the row for the seat at this position of Adverts."""
        return self.signatures[SIGNATURE_BYTES * position : SIGNATURE_BYTES * (position + 1)]

    def signed(self, t1: bytes, seats: Sequence[int]) -> tuple[tuple[bytes, bytes], ...]:
        """List what the dealer says to the seats in Adverts: statement and signature of each row."""
        return tuple(
            (statement("row", t1, (self.seat, seat), said), self.signature(position))
            for position, (seat, said) in enumerate(zip(seats, self.slips, strict=True))
        )


def slip(row: bytes) -> bytes:
    """Shorten a row to what its holder needs: the hash of the three names at its beginning, and the letter."""
    return slip_head(row[:96]) + row[96:]


def slip_head(names: bytes) -> bytes:
    """Hash C_ij and the hashes of both shares, which a holder can compute from what the letter holds; 32 bytes."""
    return _row_head(names)


# --- exchange 3: upload ---


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayEntry:
    """What one dealer says to the recipient, signed by the dealer over T1, both seats and the slip."""

    seat: Seat
    signature: Signature
    slip: Slip


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Server to one organisation: what every dealer said to it.

    Attributes:
        sid: the attempt.
        recipient: its seat.
        position: of the recipient in Adverts, and of its column among the leaves.
        count: how many are in Adverts.
        t1: the transcript the dealers signed.
        dealt: the root over all columns (see `fedgap.secagg.dealt`).
        path: the neighbours from the recipient's column to that root.
        entries: in order of seats; the recipient's own is among them.
    """

    KIND: ClassVar[str] = "relay/1"

    sid: Hash
    recipient: Seat
    position: Seat
    count: Seat
    t1: Hash
    dealt: Hash
    path: tuple[Hash, ...]
    entries: tuple[RelayEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Organisation to server: the masked vector; the signature is over T2, its length and its Merkle root."""

    KIND: ClassVar[str] = "upload/1"

    seat: Seat
    signature: Signature
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """Whose row does not fit, and why.

    `letter`: it does not open, or holds no shares. `commitment`: the names signed beside the letter are not those of
    what it holds and of the edge (C_ij is not C_ji, or a hash is not that of its share).
    """

    seat: Seat
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Organisation to server, instead of an upload."""

    KIND: ClassVar[str] = "complaint/1"

    seat: Seat
    accusations: tuple[Accusation, ...]
    signature: Signature


# --- exchange 4: agree ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """Server to all who uploaded: who stayed."""

    KIND: ClassVar[str] = "survivors/1"

    sid: Hash
    t2: Hash
    survivors: tuple[Survivor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agree:
    """Organisation to server: its signature over D."""

    KIND: ClassVar[str] = "agree/1"

    seat: Seat
    signature: Signature


# --- exchange 5: unmask ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Server to all in U: at least tau signatures over D."""

    KIND: ClassVar[str] = "certificate/1"

    sid: Hash
    agreement: Hash
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmask:
    """Organisation to server: one share for each seat that shared, of 32 bytes, in their order.

    A survivor's is the share of its self mask, another's that of its mask key: the format has no room for both.
    """

    KIND: ClassVar[str] = "unmask/1"

    seat: Seat
    shares: bytes = field(repr=False)
    signature: Signature


# --- what the server signs ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A message of the server with its signature.

    Attributes:
        body: the packed message.
        signature: over kind, attempt, recipient and hash of the body.
        receipt: with exchange 4, the server's signature that it got the recipient's upload.
    """

    KIND: ClassVar[str] = "sealed/1"

    body: bytes
    signature: Signature
    receipt: Signature | None = None


ServerMessage: TypeAlias = Invite | Adverts | Relay | Survivors | Certificate


def seal(server: Identity, message: ServerMessage, *, receipt: bytes | None = None) -> bytes:
    """Pack and sign a message of the server."""
    return pack(sealed(server, message, receipt=receipt))


def sealed(server: Identity, message: ServerMessage, *, receipt: bytes | None = None) -> Sealed:
    """Sign a message of the server; its bytes stay where they are until `pack` copies them, once, into the result."""
    body: Any = pieces(message)  # an invitation holds a whole sum
    signature = server.sign(*_server_statement(message, body))
    return Sealed(body=body, signature=signature, receipt=receipt)


def unseal(server_public: bytes, cls: type[M], data: bytes) -> M:
    """Read a message of the server.

    Raises:
        BadMessageError: it is not one of this class.
        BadSignatureError: the server did not sign it.
    """
    wanted: Any = cls
    message: M = _unseal(server_public, wanted, data)
    return message


@lru_cache(maxsize=1)
def _unseal(server_public: bytes, cls: Any, data: bytes) -> Any:  # noqa: ANN401 - the class decides
    """Read a message once, though first its kind and then its content is looked at, by one member after another."""
    sealed = unpack(Sealed, data)
    message = unpack(cls, sealed.body)
    if not isinstance(message, ServerMessage):
        raise BadMessageError(f"The server does not send '{cls.__name__}'.")
    if not is_signed(server_public, sealed.signature, *_server_statement(message, sealed.body)):
        raise BadSignatureError(f"The server did not sign this '{cls.__name__}'.")
    return message


def forget_read() -> None:
    """Let go of the message that was read last, which holds a whole sum if it is an invitation."""
    _unseal.cache_clear()


def server_context(message: ServerMessage) -> tuple[str, bytes, int]:
    """Label, attempt and recipient: the server signs one message for each such triple.

    An invitation's attempt is named by manifest, round and attempt alone, so that two plans for one attempt contradict
    each other.
    """
    label = f"server/{message.KIND}"
    if isinstance(message, Invite):
        plan = message.plan
        return label, digest("attempt", plan.manifest, plan.round, plan.attempt), EVERYBODY
    return label, message.sid, message.recipient if isinstance(message, Relay) else EVERYBODY


def _server_statement(message: ServerMessage, body: bytes | Pieces) -> tuple[str, bytes, int, bytes]:
    return *server_context(message), digest("body", body)
