"""Every message of a settlement, in the order they are sent (see `fedgap.secagg.messages` for those of a round).

    close      after the last round: commitments not certified yet                <- certified
    agenda     which rounds and directions will be opened, by their digests       <- endorsement of exactly this list
    reveal     the period's rounds, their directions and certificates, the rows   <- answer, one number for each peer
    challenge  a peer's signed answer that contradicts ours                       <- opening, that one edge's secrets
    statement  all answers and what follows from them                             <- reaction: confirmed or objected

The server signs one body for each context below, so two are proof against it; a member signs one answer a period.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from fedgap.crypto import BadSignatureError, Identity, digest, is_signed
from fedgap.secagg.certificates import Listing, direction_digest, hide
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.evaluation import Row
from fedgap.secagg.messages import EVERYBODY, Outcome, Sealed, Voice
from fedgap.secagg.wire import Between, Count, Exactly, Hash, Positive, Seat, Signature, kind_within, pack, unpack

Word: TypeAlias = Annotated[int, Between(0, 2**32 - 1)]
Signed: TypeAlias = Annotated[int, Between(-(2**40), 2**40)]
Salt: TypeAlias = Annotated[bytes, Exactly(32)]

M = TypeVar("M")

NO_CERTIFICATE, CLASH, UNUSABLE = "no-certificate", "survivors-vary", "unusable-direction"
OTHER_ROSTER, NO_ROOM, AFTER_WINDOW = "other-roster", "no-room", "after-window"
"""Why a round is left out. It is credited by weight; after the window nobody is; another roster's has its own list."""


def settling(manifest: bytes, period: int) -> bytes:
    """What every statement about the settlement of one period is bound to."""
    return digest("settling", manifest, period)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Server to all after the last round: its outcome, and every commitment that is not certified yet."""

    KIND: ClassVar[str] = "close/1"

    manifest: Hash
    outcome: Outcome
    offers: tuple[bytes, ...]
    checkpoint: bytes

    @property
    def context(self) -> bytes:
        """A run is closed once."""
        return digest("closing", self.manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaRound:
    """A round that will be opened: its D, and D_Q of each direction."""

    round: Count
    agreed: Hash
    directions: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """Server to all: what will be opened in this period.

    Members that answered over two lists would together give two numbers for one of them; so tau endorse one list first.
    """

    KIND: ClassVar[str] = "agenda/1"

    manifest: Hash
    period: Count
    rounds: tuple[AgendaRound, ...]
    left_out: tuple["LeftOut", ...]

    @property
    def context(self) -> bytes:
        """A period has one list."""
        return digest("agenda", settling(self.manifest, self.period))

    @property
    def listed(self) -> bytes:
        """Names the list; endorsements and answers are bound to it."""
        rounds = [(one.round, one.agreed, one.directions) for one in self.rounds]
        return digest("listed", settling(self.manifest, self.period), rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsement:
    """Organisation to server: its signature over the list; it endorses one in each period."""

    KIND: ClassVar[str] = "endorsement/1"

    seat: Seat
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedDirection:
    """One direction with everything that shows when it was fixed.

    Attributes:
        scale: g.
        salt: 32 random bytes.
        entries: q, int16 little-endian, 2 d bytes.
        voices: at least tau signatures over D_Q.
        witness: the witness's signature over D_Q, if the manifest names one.
    """

    scale: Positive
    salt: Salt
    entries: bytes = field(repr=False)
    voices: tuple[Voice, ...]
    witness: Signature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedRound:
    """One opened round: who stayed, and its directions, one for each opening."""

    listing: Listing
    directions: tuple[RevealedDirection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A round of the period that is not opened, and why."""

    round: Count
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """Server to all: what is opened in this period; nothing else ever is.

    Attributes:
        manifest, period: which.
        rounds: what is opened.
        left_out: the period's other rounds.
        rows: the committed rows.
        voices: at least tau endorsements of exactly this list.
    """

    KIND: ClassVar[str] = "reveal/1"

    manifest: Hash
    period: Count
    rounds: tuple[RevealedRound, ...]
    left_out: tuple[LeftOut, ...]
    rows: tuple[Row, ...] = field(repr=False)
    voices: tuple[Voice, ...] = ()

    @property
    def context(self) -> bytes:
        """A period is revealed once."""
        return settling(self.manifest, self.period)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one end of an edge says: one number for each opening; none at all means that a secret is missing."""

    peer: Seat
    values: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Organisation to server: r_ij for every peer that any listed round names beside it, in order of seats.

    Attributes:
        seat, period: who, and of which period.
        listed: digest of the list of rounds and directions that the numbers are over.
        reports: the numbers.
        signature: over settlement, seat, list and numbers.
        recorded: signatures for the ledger's records of the same, one for each opening.
    """

    KIND: ClassVar[str] = "answer/1"

    seat: Seat
    period: Count
    listed: Hash
    reports: tuple[Report, ...]
    signature: Signature
    recorded: tuple[Signature, ...] = ()

    @property
    def said(self) -> bytes:
        """Names the list and the numbers."""
        return reports_digest(self.listed, self.reports)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Server to one end of an edge: the other end's signed answer, which contradicts its own."""

    KIND: ClassVar[str] = "challenge/1"

    manifest: Hash
    period: Count
    recipient: Seat
    answer: Answer

    @property
    def context(self) -> bytes:
        """One challenge for each edge and end."""
        return digest("challenging", settling(self.manifest, self.period), self.answer.seat)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSecret:
    """The secret s_ij of one edge in one round."""

    round: Count
    secret: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Organisation to server: the secrets of one disputed edge in the listed rounds; the peer knows them anyway."""

    KIND: ClassVar[str] = "opening/1"

    seat: Seat
    peer: Seat
    secrets: tuple[RoundSecret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """<q, upload> of one member without its self masks and the masks towards who dropped: only its edges are left."""

    seat: Seat
    values: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A disputed edge that was opened: its true numbers, who lied, and the digest of the evidence."""

    low: Seat
    high: Seat
    values: tuple[Word, ...]
    liars: tuple[Seat, ...]
    evidence: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Bloc:
    """Members whose edges among themselves are not settled, with their exact sums; almost always one member."""

    seats: tuple[Seat, ...]
    values: tuple[Signed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Server to all: every number that was given, and what follows from them.

    Attributes:
        manifest, period, revision: which; the revision counts statements of this period, from 1.
        final: whether the time for answers is over.
        listed: the list of rounds and directions.
        answers, judged, bases: what the values follow from; empty bases: fewer than tau answered, weights decide.
        blocs: the values.
    """

    KIND: ClassVar[str] = "statement/1"

    manifest: Hash
    period: Count
    revision: Count
    final: bool
    listed: Hash
    answers: tuple[Answer, ...]
    judged: tuple[Judged, ...]
    bases: tuple[Base, ...]
    blocs: tuple[Bloc, ...]

    @property
    def context(self) -> bytes:
        """One body for each revision."""
        return digest("stating", settling(self.manifest, self.period), self.revision)

    @property
    def digest(self) -> bytes:
        """32 bytes that name it."""
        return digest("statement", pack(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """Organisation to server: it confirms its own number and the total, or says what is wrong.

    Attributes:
        seat: who.
        statement: digest of the Statement.
        code: empty: confirmed.
        complete: whether it could check the total too, having received every round's sum.
        signature: over the three.
        recorded: signature for the ledger's record of it.
    """

    KIND: ClassVar[str] = "reaction/1"

    seat: Seat
    statement: Hash
    code: str
    complete: bool
    signature: Signature
    recorded: Signature


SettlementMessage: TypeAlias = Close | Agenda | Reveal | Challenge | Statement
KINDS = {f"fedgap/1/{cls.KIND}": cls for cls in (Close, Agenda, Reveal, Challenge, Statement)}


def agenda_of(reveal: Reveal) -> Agenda:
    """The list that a reveal is about: every direction is hashed."""
    return Agenda(
        manifest=reveal.manifest,
        period=reveal.period,
        rounds=tuple(
            AgendaRound(
                round=opened.listing.plan.round,
                agreed=opened.listing.agreed,
                directions=tuple(
                    direction_digest(opened.listing.agreed, slot, scale=one.scale, hidden=hide(one.entries, one.salt))
                    for slot, one in enumerate(opened.directions, 1)
                ),
            )
            for opened in reveal.rounds
        ),
        left_out=reveal.left_out,
    )


def reports_digest(listed: bytes, reports: tuple[Report, ...]) -> bytes:
    """Name the numbers of an answer and the list they are over."""
    return digest("reports", listed, [(report.peer, report.values) for report in reports])


def seal_settlement(server: Identity, message: SettlementMessage) -> bytes:
    """Pack and sign a message of the server."""
    body = pack(message)
    return pack(Sealed(body=body, signature=server.sign(*_said(message, digest("body", body)))))


def is_settlement(data: bytes) -> bool:
    """Tell whether bytes look like a settlement message of the server."""
    try:
        return kind_within(data) in KINDS
    except BadMessageError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A settlement message of the server, the digest of its body, and the signature over it."""

    message: SettlementMessage
    body: bytes
    signature: bytes


def receive_settlement(server_public: bytes, data: bytes) -> Received:
    """Read a settlement message of the server, whatever its kind, and what it signed.

    Raises:
        BadMessageError: it is none.
        BadSignatureError: the server did not sign it.
    """
    sealed = unpack(Sealed, data)
    cls: Any = KINDS.get(kind_within(data))
    if cls is None:
        raise BadMessageError("The server sends no settlement message of this kind.")
    message: SettlementMessage = unpack(cls, sealed.body)
    body = digest("body", sealed.body)
    if not is_signed(server_public, sealed.signature, *_said(message, body)):
        raise BadSignatureError(f"The server did not sign this '{cls.__name__}'.")
    return Received(message=message, body=body, signature=sealed.signature)


def read_settlement(server_public: bytes, data: bytes) -> SettlementMessage:
    """Read a settlement message of the server; errors as in `receive_settlement`."""
    return receive_settlement(server_public, data).message


def recipient_of(message: SettlementMessage) -> int:
    """Whom a message is for."""
    return message.recipient if isinstance(message, Challenge) else EVERYBODY


def _said(message: SettlementMessage, body: bytes) -> tuple[str, bytes, int, bytes]:
    return f"server/{message.KIND}", message.context, recipient_of(message), body
