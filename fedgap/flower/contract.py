"""The envelope: what a server and a client of fedgap put into a Flower message, and how it is read back strictly.

Every exchange is one Flower message of the type `query.fedgap` and its reply. A message holds one or two records:

    head  ConfigRecord  request: version, purpose, federation, round, attempt, stage_s
                        reply:   version, status, code
                        both:    body, if it is small: each record that is spared saves three calls over HTTP
    body  ArrayRecord   else: one array of bytes; Flower cuts it into chunks, so it may be as large as a model

The bytes of a body mean something to `fedgap.secagg` (or to `fedgap.flower.preparation`), nothing to Flower. Only codes
of errors travel, never their texts.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedgap.errors import FedgapError

VERSION = "fedgap/1"
"""Of this envelope and of the protocol in it. Two sides with different versions refuse each other."""

MESSAGE_TYPE = "query.fedgap"
"""Of every Flower message; no other type is answered."""

HEARTBEAT_S = 15.0
"""What a site tells Flower; who gave no sign of life for twice this time counts as away. So long may a site's task hold
Python's lock in one call, or a call get lost now and then."""

ROUND_PURPOSES = ("invite", "adverts", "relay", "survivors", "certificate")
"""The five exchanges of a round: the body is a packed `Sealed` for `Participant.handle`."""

STATISTICS, SHAPE, SUMS = "statistics", "shape", "sums"
"""Before the manifest: the statistics of the training rows, then their shape (`fedgap.flower.preparation`). After it:
the sums of the rounds a member has missed."""

SETTLEMENT_PURPOSES = ("close", "agenda", "reveal", "challenge", "statement")
"""The exchanges of a settlement: the body is a packed `Sealed` for `Participant.handle` too."""

CLAIM, ENDED = "claim", "ended"
"""At a settlement: what a member spent (`fedgap.flower.claims`). After the last one: the ledger's last checkpoint
(`fedgap.ledger.shown`); the answer is the member's co-signature."""

PURPOSES = (*ROUND_PURPOSES, *SETTLEMENT_PURPOSES, STATISTICS, SHAPE, SUMS, CLAIM, ENDED)

BEHIND = "flower.behind"
"""Code with which a member refuses a request that follows sums which it does not have; its body is a
packed `course.Standpoint` that says how many it has. The server then sends the others with the purpose `sums`, and the
request again."""

AFTER_SUMS = frozenset({"invite", "close", CLAIM})
"""Requests that a member answers only once it has the sums up to the one before the last."""

HEAD, BODY = "head", "body"
SMALL_BYTES = 1 << 18
"""A body up to this size travels in the head."""

_RAW = "fedgap.bytes"
_LONGEST_TEXT = 128

Status: TypeAlias = Literal["ok", "none", "refused"]


class EnvelopeError(FedgapError):
    """A Flower message holds something else than fedgap's envelope."""

    code = "flower.bad-envelope"
    remedy = "The other side runs another program or another version; nothing of the message was used."


class VersionError(FedgapError):
    """The other side speaks another version of the protocol."""

    code = "flower.version"
    remedy = "Install the same version of fedgap on both sides; `fedgap --version` tells which one is here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the server asks.

    Attributes:
        purpose: one of PURPOSES.
        federation: its id.
        round, attempt: which; 0 before the first.
        stage_s: seconds the server waits for the answer.
        body: the bytes of the message.
    """

    purpose: str
    federation: str
    round: int = 0
    attempt: int = 0
    stage_s: float
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the client answers.

    Attributes:
        status: ok (the body is the answer), none (the protocol forbids one), refused (the code says why).
        code: of the error, if refused; empty otherwise.
        body: the bytes of the answer; with `refused` usually empty.
    """

    status: Status
    code: str = ""
    body: bytes = field(default=b"", repr=False)


def answered(body: bytes | None) -> Reply:
    """Make the reply from what `Participant.handle` gave."""
    return Reply(status="none") if body is None else Reply(status="ok", body=body)


def refused(error: FedgapError, body: bytes = b"") -> Reply:
    """Make the reply that says no: the code crosses the network, the text does not."""
    return Reply(status="refused", code=error.code, body=body)


def write_request(request: Request) -> RecordDict:
    """Put a request into the records of a Flower message."""
    head: dict[str, int | float | str] = {
        "version": VERSION,
        "purpose": request.purpose,
        "federation": request.federation,
        "round": request.round,
        "attempt": request.attempt,
        "stage_s": float(request.stage_s),
    }
    return _write(head, request.body)


def read_request(content: RecordDict) -> Request:
    """Read a request.

    Raises:
        VersionError: of another version.
        EnvelopeError: not a request at all.
    """
    head = _head(content)
    request = Request(
        purpose=_text(head, "purpose"),
        federation=_text(head, "federation"),
        round=_count(head, "round"),
        attempt=_count(head, "attempt"),
        stage_s=_seconds(head, "stage_s"),
        body=_body(content),
    )
    if request.purpose not in PURPOSES or len(head) != len(Request.__slots__):
        raise EnvelopeError("A request has an unknown purpose or unknown fields.")
    return request


def write_reply(reply: Reply) -> RecordDict:
    """Put a reply into the records of a Flower message."""
    return _write({"version": VERSION, "status": reply.status, "code": reply.code}, reply.body)


def read_reply(content: RecordDict) -> Reply:
    """Read a reply.

    Raises:
        VersionError: of another version.
        EnvelopeError: not a reply at all.
    """
    head = _head(content)
    code, status = _text(head, "code"), _text(head, "status")
    known: dict[str, Reply] = {name: Reply(status=name) for name in ("ok", "none", "refused")}
    if status not in known or (status == "refused") != bool(code) or len(head) != len(Reply.__slots__):
        raise EnvelopeError("A reply has an unknown status or unknown fields.")
    return replace(known[status], code=code, body=_body(content))


def _write(head: dict[str, int | float | str], body: bytes) -> RecordDict:
    if len(body) <= SMALL_BYTES:
        return RecordDict({HEAD: ConfigRecord({**head, BODY: body})})
    array = Array(dtype="uint8", shape=(len(body),), stype=_RAW, data=body)
    return RecordDict({HEAD: ConfigRecord(dict(head)), BODY: ArrayRecord({BODY: array})})


def _head(content: RecordDict) -> dict[str, object]:
    """Read the head if it is of our version; look at the version before anything else."""
    head = content.get(HEAD)
    if not isinstance(head, ConfigRecord):
        raise EnvelopeError("A message has no head.")
    version = head.get("version")
    if version != VERSION:
        shown = version if isinstance(version, str) and version.isprintable() else "unknown"
        raise VersionError(f"The other side speaks '{shown[:_LONGEST_TEXT]}'; this side speaks '{VERSION}'.")
    if set(content) != ({HEAD} if BODY in head else {HEAD, BODY}):
        raise EnvelopeError("A message has other records than head and body, or two bodies.")
    return {key: value for key, value in head.items() if key != BODY}


def _body(content: RecordDict) -> bytes:
    small = content[HEAD].get(BODY)
    if small is not None:
        if not isinstance(small, bytes) or len(small) > SMALL_BYTES:
            raise EnvelopeError("The body in the head of a message is not a few bytes.")
        return small
    record = content[BODY]
    if not isinstance(record, ArrayRecord) or set(record) != {BODY}:
        raise EnvelopeError("The body of a message is not one array.")
    array = record[BODY]
    if (array.stype, array.dtype, tuple(array.shape)) != (_RAW, "uint8", (len(array.data),)):
        raise EnvelopeError("The body of a message is not an array of bytes.")
    if len(array.data) <= SMALL_BYTES:
        raise EnvelopeError("A body of this size belongs into the head.")
    return array.data


def _text(head: dict[str, object], key: str) -> str:
    value = head.get(key)
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise EnvelopeError(f"The field '{key}' is no short text.")
    return value


def _count(head: dict[str, object], key: str) -> int:
    value = head.get(key)
    if type(value) is not int or not 0 <= value < 2**40:
        raise EnvelopeError(f"The field '{key}' is no count.")
    return value


def _seconds(head: dict[str, object], key: str) -> float:
    value = head.get(key)
    if type(value) is not float or not 0 < value < 1e9:  # noqa: PLR2004 - thirty years; not NaN either
        raise EnvelopeError(f"The field '{key}' is no time in seconds.")
    return value
