"""The members of a federation over Flower: asked all at once, heard as they answer, never waited for beyond a deadline.

A member that is dead, slow, lying or of another version is a member that did not answer. Uploads are handed on one by
one and freed, so the server holds one at a time, however many there are.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from flwr.app import RecordDict

from fedgap.crypto import BadBytesError, codec
from fedgap.errors import InterruptedRunError
from fedgap.flower import contract
from fedgap.flower.contract import (
    BEHIND,
    SHAPE,
    STATISTICS,
    SUMS,
    WITH_A_SUM,
    EnvelopeError,
    Reply,
    Request,
    VersionError,
)
from fedgap.flower.course import Standpoint
from fedgap.flower.superlink import SMALL_BYTES, Arrived
from fedgap.ids import FederationId

POLL_S = 0.1
"""How often the server looks for answers: the least that an exchange takes beside the work itself."""

LARGE = frozenset({"relay", STATISTICS, SHAPE})
"""What is answered with an upload, or with statistics of tables that may be wide; all other answers are small."""

_GRACE_S = 2.0
_OFFLINE = 5


class Mailbox(Protocol):
    """What a cohort needs of Flower; `fedgap.flower.superlink.SuperLink` has it."""

    def send(self, node: int, content: RecordDict, *, ttl_s: float, group: str, most_bytes: int) -> str | None:
        """Leave a message for a node; give its id, or None if there is no such node."""
        ...

    def receive(self, messages: Iterable[str], *, most_bytes: int) -> Iterator[Arrived]:
        """Give the answers that are there, each once."""
        ...

    def withdraw(self, messages: Iterable[str]) -> None:
        """Forget messages."""
        ...


Heard: TypeAlias = Callable[[int, str, str], None]
"""Told what became of a request: the seat, its purpose, and `asked`, `ok`, `none`, or the code of what went wrong."""


def _unheard(seat: int, purpose: str, what: str) -> None:
    del seat, purpose, what


def _untimed(purpose: str, seconds: float) -> None:
    del purpose, seconds


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
        heard: for the status page.
        ready: called before members are invited; waits until enough of them are connected, and gives their nodes.
        stopped: tells whether the server is to stop.
        took: told how long each exchange took.
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
    heard: Heard = _unheard
    ready: Callable[[], Mapping[int, int]] | None = None
    stopped: Callable[[], bool] = bool
    took: Callable[[str, float], None] = _untimed
    poll_s: float = POLL_S
    number: tuple[int, int] = (0, 0)
    up: int = 0
    down: int = 0

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask each seat with its sealed request; give what comes back in time."""
        purpose = purpose_of(next(iter(requests.values()))) if requests else ""
        if purpose == "invite" and self.ready is not None:
            self.nodes = self.ready()
        yield from self.ask(purpose, requests)

    def ask(self, purpose: str, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask each seat for one purpose; give the bodies of the answers that say ok."""
        began = time.monotonic()
        yield from _Exchange(self, purpose, began + self.stage_s).run(requests)
        self.took(purpose, time.monotonic() - began)

    @property
    def most_bytes(self) -> int:
        """The largest answer that is read."""
        return max(SMALL_BYTES, self.upload_bytes + SMALL_BYTES)


def purpose_of(sealed: bytes) -> str:
    """Read which exchange a sealed request belongs to, without copying it: an invitation may hold a whole sum."""
    return codec.kind_within(sealed).split("/")[2]


@dataclass(slots=True)
class _Exchange:
    """One exchange: who was asked what, and what is still out."""

    cohort: FlowerCohort
    purpose: str
    end: float
    out: dict[str, tuple[int, str]] = field(default_factory=dict)
    contents: dict[tuple[str, int], RecordDict] = field(default_factory=dict)
    missing: dict[int, list[int]] = field(default_factory=dict)

    def run(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Send everything, then look for answers until all are here or the time is over."""
        cohort = self.cohort
        for seat, body in requests.items():
            self._send(seat, self.purpose, body)
        self.contents.clear()
        try:
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
                if self.out and not came:
                    time.sleep(cohort.poll_s)
            for seat, purpose in self.out.values():
                cohort.heard(seat, purpose, "too-late")
        finally:
            cohort.mailbox.withdraw(list(self.out))

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
            self._next_sum(seat, requests[seat])
        elif reply.code == BEHIND and purpose in WITH_A_SUM and seat not in self.missing:
            self._catch_up(seat, reply, requests[seat])
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

    def _next_sum(self, seat: int, invitation: bytes) -> None:
        if self.missing[seat]:
            self._send(seat, SUMS, self.cohort.sum_of(self.missing[seat].pop(0)))
        else:
            self._send(seat, self.purpose, invitation)
        self.contents.clear()
