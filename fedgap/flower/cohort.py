"""The members of a federation over Flower: asked all at once, heard as they answer, never waited for beyond a deadline.

A member that is dead, slow, lying or of another version is a member that did not answer. Uploads are handed on one by
one and freed, so the server holds one at a time, however many there are.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from flwr.app import RecordDict

from fedgap.crypto import BadBytesError, codec
from fedgap.errors import InterruptedRunError
from fedgap.flower import contract
from fedgap.flower.contract import (
    AFTER_SUMS,
    BEHIND,
    SHAPE,
    STATISTICS,
    SUMS,
    EnvelopeError,
    Reply,
    Request,
    VersionError,
)
from fedgap.flower.course import Standpoint
from fedgap.flower.superlink import SMALL_BYTES, Arrived
from fedgap.ids import FederationId
from fedgap.secagg.errors import UnseenListError
from fedgap.secagg.recall import Invitations, Recalled

LOOK_S = 0.25
"""How often the server looks at the clock, and whether it is to stop, while no answer comes."""

TRAINING = "relay"
"""The exchange in which members train."""

LARGE = frozenset({TRAINING, STATISTICS, SHAPE})
"""What is answered with an upload, or with statistics of tables that may be wide; all other answers are small."""

UNSEEN = UnseenListError.code
"""Code with which a member refuses a short invitation that it cannot put together; it is sent the whole one then."""

TOLD_EVERY_S, TOLD_BYTES = 3.0, 16 << 20
"""How often it is said how far answers have come, and of which size on."""

_GRACE_S = 2.0
_OFFLINE = 5


class Mailbox(Protocol):
    """What a cohort needs of Flower; `fedgap.flower.superlink.SuperLink` has it."""

    @property
    def calls(self) -> int:
        """How many calls of nodes were answered so far."""
        ...

    @property
    def last_s(self) -> float:
        """When the last piece of an answer came, as `time.monotonic` tells."""
        ...

    def send(self, node: int, content: RecordDict, *, ttl_s: float, group: str, most_bytes: int) -> str | None:
        """Leave a message for a node; give its id, or None if there is no such node."""
        ...

    def receive(self, messages: Iterable[str], *, most_bytes: int) -> Iterator[Arrived]:
        """Give the answers that are there, each once."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until something has come since `receive` was begun, at most so long."""
        ...

    def arrived_bytes(self, message: str) -> int:
        """Tell how much of the answer to a message is here."""
        ...

    def withdraw(self, messages: Iterable[str]) -> None:
        """Forget messages."""
        ...


Heard: TypeAlias = Callable[[int, str, str], None]
"""Told what became of a request: the seat, its purpose, and `asked`, `ok`, `none`, or the code of what went wrong."""


def _unheard(seat: int, purpose: str, what: str) -> None:
    del seat, purpose, what


def _unasked(purpose: str, seats: Collection[int]) -> None:
    del purpose, seats


Through: TypeAlias = Callable[[int, str, int, int], None]
"""Told how far a large answer has come: seat, purpose, bytes so far, bytes that it has at most."""


def _untold(seat: int, purpose: str, done: int, total: int) -> None:
    del seat, purpose, done, total


def _untimed(purpose: str, seconds: float) -> None:
    del purpose, seconds


def _nothing() -> None:
    pass


def _undelayed(seconds: float) -> None:
    del seconds


@dataclass(slots=True, kw_only=True)
class FlowerCohort:
    """Members by seat, each at its node (see `fedgap.rounds.Cohort`).

    Attributes:
        mailbox: Flower.
        federation: stands in every message.
        nodes: the node of each seat that may be asked.
        stage_s: how long an exchange waits.
        upload_bytes: the largest upload.
        sum_of: the packed `Outcome` of a round that a member has missed.
        brings_sum: whether the invitation holds the last sum; else every member is behind and is sent it.
        asking: told before seats are asked, so that what must be durable by then can be written.
        heard: for the status page, and for whoever measures how long each seat is waited for.
        through: for people who wait for large uploads; told every few seconds.
        ready: called before members are invited; waits until enough of them are connected, and gives their nodes.
        stopped: tells whether the server is to stop.
        took: told how long each exchange took.
        beside: called once members have been asked to train, to do what can be done meanwhile.
        delayed: told how many seconds all had already answered when that was done.
        number: round and attempt that messages carry.
        up, down: bytes that came and went.
    """

    mailbox: Mailbox
    federation: FederationId
    nodes: Mapping[int, int]
    stage_s: float
    upload_bytes: int
    sum_of: Callable[[int], bytes]
    brings_sum: bool = True
    asking: Callable[[str, Collection[int]], None] = _unasked
    heard: Heard = _unheard
    through: Through = _untold
    ready: Callable[[], Mapping[int, int]] | None = None
    stopped: Callable[[], bool] = bool
    took: Callable[[str, float], None] = _untimed
    beside: Callable[[], None] = _nothing
    delayed: Callable[[float], None] = _undelayed
    look_s: float = LOOK_S
    number: tuple[int, int] = (0, 0)
    up: int = 0
    down: int = 0
    _calls_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._calls_before = self.mailbox.calls

    @property
    def calls(self) -> int:
        """How many calls of nodes were answered since this cohort was made."""
        return self.mailbox.calls - self._calls_before

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask each seat with its sealed request; give what comes back in time."""
        purpose = purpose_of(next(iter(requests.values()))) if requests else ""
        if purpose == "invite" and self.ready is not None:
            self.nodes = self.ready()
        yield from self.ask(purpose, requests)

    def ask(self, purpose: str, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask each seat for one purpose; give the bodies of the answers that say ok."""
        self.asking(purpose, requests.keys())
        began = time.monotonic()
        try:
            yield from _Exchange(self, purpose, began + self.stage_s).run(requests)
        finally:
            self.took(purpose, time.monotonic() - began)

    @property
    def most_bytes(self) -> int:
        """The largest answer that is read."""
        return max(SMALL_BYTES, self.upload_bytes + SMALL_BYTES)


def purpose_of(sealed: bytes) -> str:
    """Read which exchange a sealed request belongs to, without copying it: an invitation may hold a whole sum."""
    kind = codec.kind_within(sealed).removeprefix("fedgap/1/")
    return "invite" if kind == Recalled.KIND else kind.partition("/")[0]


@dataclass(slots=True)
class _Exchange:
    """One exchange: who was asked what, and what is still out."""

    cohort: FlowerCohort
    purpose: str
    end: float
    out: dict[str, tuple[int, str]] = field(default_factory=dict)
    contents: dict[tuple[str, int], RecordDict] = field(default_factory=dict)
    missing: dict[int, list[int]] = field(default_factory=dict)
    whole: dict[int, bytes] = field(default_factory=dict)
    told: float = field(init=False)

    def __post_init__(self) -> None:
        self.told = time.monotonic()

    def run(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Send everything, then look for answers until all are here or the time is over."""
        cohort = self.cohort
        for seat, body in requests.items():
            self._send(seat, self.purpose, body)
        self.contents.clear()
        try:
            is_beside = self.purpose == TRAINING
            if is_beside:
                cohort.beside()
            ended_s = time.monotonic()
            while self.out and time.monotonic() < self.end:
                if cohort.stopped():
                    raise InterruptedRunError(
                        "The server was stopped.", remedy="Run it again: it goes on after the last finished round."
                    )
                came = False
                for arrived in cohort.mailbox.receive(list(self.out), most_bytes=cohort.most_bytes):
                    came = True
                    yield from self._take(arrived, requests)
                    del arrived
                self._tell()
                if is_beside and not self.out:
                    cohort.delayed(max(0.0, ended_s - cohort.mailbox.last_s))
                is_beside = False
                if self.out and not came:
                    cohort.mailbox.wait(cohort.look_s)
            for seat, purpose in self.out.values():
                cohort.heard(seat, purpose, "too-late")
        finally:
            cohort.mailbox.withdraw(list(self.out))

    def _tell(self) -> None:
        """Say every few seconds how far large answers have come."""
        if time.monotonic() - self.told < TOLD_EVERY_S:
            return
        self.told = time.monotonic()
        for name, (seat, purpose) in self.out.items():
            done, total = self.cohort.mailbox.arrived_bytes(name), self.cohort.upload_bytes
            if purpose == TRAINING and done > SMALL_BYTES and total > TOLD_BYTES:
                self.cohort.through(seat, purpose, min(done, total), total)

    def _send(self, seat: int, purpose: str, body: bytes) -> None:
        cohort, left_s = self.cohort, self.end - time.monotonic()
        node = cohort.nodes.get(seat)
        if node is None or left_s <= 0:
            return cohort.heard(seat, purpose, "not-connected")
        key = (purpose, id(body))  # most requests are one object for all seats: its chunks are hashed once
        if key not in self.contents:
            request = Request(
                purpose=purpose,
                federation=cohort.federation,
                round=cohort.number[0],
                attempt=cohort.number[1],
                stage_s=left_s,
                body=body,
            )
            self.contents[key] = contract.write_request(request)
        name = cohort.mailbox.send(
            node,
            self.contents[key],
            ttl_s=left_s + _GRACE_S,
            group=str(cohort.number[0]),
            most_bytes=cohort.most_bytes if purpose in LARGE else SMALL_BYTES,
        )
        if name is None:
            return cohort.heard(seat, purpose, "not-connected")
        self.out[name] = (seat, purpose)
        cohort.down += len(body)
        return cohort.heard(seat, purpose, "asked")

    def _take(self, arrived: Arrived, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Look at one answer; a good one is given on, a member that is behind gets the sums it lacks."""
        if arrived.message not in self.out:
            return
        seat, purpose = self.out.pop(arrived.message)
        reply = self._reply(seat, purpose, arrived)
        if reply is None:
            return
        self.cohort.up += len(reply.body)
        self.cohort.heard(seat, purpose, reply.code or reply.status)
        if purpose == SUMS != self.purpose and reply.status == "ok":
            self._next_sum(seat, self.whole.get(seat, requests[seat]))
        elif reply.code == BEHIND and purpose in AFTER_SUMS and seat not in self.missing:
            self._catch_up(seat, reply, self.whole.get(seat, requests[seat]))
        elif reply.code == UNSEEN and isinstance(requests, Invitations) and seat not in self.whole:
            self._invite_in_full(seat, requests)
        elif purpose == self.purpose and reply.status == "ok":
            yield seat, reply.body

    def _reply(self, seat: int, purpose: str, arrived: Arrived) -> Reply | None:
        if arrived.content is None:
            self.cohort.heard(seat, purpose, "not-connected" if arrived.error == _OFFLINE else "no-answer")
            return None
        try:
            return contract.read_reply(arrived.content)
        except (EnvelopeError, VersionError) as error:
            self.cohort.heard(seat, purpose, error.code)
            return None

    def _catch_up(self, seat: int, reply: Reply, invitation: bytes) -> None:
        """Send a member the sums between its last one and the one that is in the invitation, if there is one in it."""
        try:
            applied = codec.unpack(Standpoint, reply.body).applied
        except BadBytesError as error:
            return self.cohort.heard(seat, "invite", error.code)
        self.missing[seat] = list(range(applied + 1, self.cohort.number[0] - self.cohort.brings_sum))
        return self._next_sum(seat, invitation)

    def _invite_in_full(self, seat: int, requests: Invitations) -> None:
        """Send a member all of the invitation, made once for all that lack the same."""
        self.whole[seat] = next(iter(self.whole.values()), None) or requests.whole()
        self._send(seat, self.purpose, self.whole[seat])
        self.contents.clear()

    def _next_sum(self, seat: int, invitation: bytes) -> None:
        if self.missing[seat]:
            self._send(seat, SUMS, self.cohort.sum_of(self.missing[seat].pop(0)))
        else:
            self._send(seat, self.purpose, invitation)
        self.contents.clear()
