"""The loop of a site: connect, ask for a message, answer it, again; through restarts of the server, with back-off.

The server holds each question open until there is a message. Where one does not (a stock SuperLink, a proxy that cuts
it short), the site asks less and less often while nothing is to be done, up to every two seconds, and eagerly after a
message, since the five exchanges of a round follow each other.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedgap.crypto import NodeKey
from fedgap.errors import FedgapError
from fedgap.flower.contract import EnvelopeError, Reply, Request, VersionError
from fedgap.flower.egress import EgressLog
from fedgap.flower.fleet import Announced, BusyKeyError, Fleet, ForgottenError, GoneError, Incoming, NotAdmittedError
from fedgap.flower.lines import append_line
from fedgap.flower.membership import Membership, SiteFolder, now_text
from fedgap.flower.meter import Meter, as_document
from fedgap.flower.outbound import LinkLostError
from fedgap.flower.refusals import as_ours
from fedgap.flower.resident import Resident, Say
from fedgap.storage import PRIVATE, StorageError, replace

EAGER_S, IDLE_S = 0.1, 2.0
SLOWER_AFTER_S = 30.0
"""After so many quiet seconds the pause between two questions begins to grow."""
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
HELD_S, HELD_AT_FIRST_S = 20, 3
"""How long the server may keep us waiting for a message: the second while there is no manifest, which we look for."""
LEAST_HELD_S = 2
"""Each question that is cut off while it is held halves the time for the next ones, down to this: a proxy on the way
may allow less silence than we ask for."""
WAS_HELD_S = 1.0
"""A question that took so long was held open, so the next one follows at once."""
LOOK_S = 3.0
"""How often a site without a manifest asks for one."""
LATER_S = (60.0, 120.0, 300.0)
"""Pauses that follow those when all rounds are done: the server may have ended without our hearing it."""
LOOK_AGAIN_S = 60.0
TOLD_EVERY_S, TOLD_BYTES = 3.0, 16 << 20
"""How often it is said how far a message has come, and of which size on."""
POLLING_LINE_S = 3600.0

Connect = Callable[[], Fleet]


@dataclass(slots=True, kw_only=True)
class Node:
    """A site's loop.

    Attributes:
        connect: makes a connection that is not online yet.
    """

    resident: Resident
    folder: SiteFolder
    egress: EgressLog
    meter: Meter
    connect: Connect
    say: Say
    sleep: Callable[[float], None] = time.sleep
    _polls: int = 0
    _polled_bytes: int = 0
    _said_polls: float = field(default_factory=time.monotonic)
    _looked: float = float("-inf")
    _told: float = float("-inf")
    _round: int = 0
    _held_s: int = HELD_S

    def run(self) -> None:
        """Work until the federation has ended: the last sum is here, and the server said that nothing more is settled.

        Raises:
            StorageError: what leaves could not be written down, so nothing leaves any more.
        """
        failures = 0
        while True:
            fleet = self.connect()
            try:
                self._come_online(fleet)
                failures = 0
                self._serve(fleet)
            except StorageError:
                raise
            except FedgapError as error:
                self._wait(error, failures)
                failures += 1
            else:
                self.folder.note_end()
                self.say("ended", rounds=self._rounds())
                return
            finally:
                if fleet.close():
                    self.node_path.unlink(missing_ok=True)
                self._line_of_polls()
                self._end_of_round()

    @property
    def node_path(self) -> Path:
        """Where the node's number is while it is online; left behind by a crash, so that we can come back at once."""
        return self.folder.node

    def moved(self, call: str, up: int, down: int) -> None:
        """Count an HTTP call."""
        self.meter.moved(up=up, down=down)
        if call not in {"PushMessages", "PushObject"}:
            self._polls += 1
            self._polled_bytes += up

    def through(self, way: str, done: int, total: int) -> None:
        """Say every few seconds how far a large message has come."""
        now = time.monotonic()
        if total >= TOLD_BYTES and (done >= total or now - self._told >= TOLD_EVERY_S):
            self._told = now
            self.say("transfer", way=way, bytes=done, total=total)

    def _come_online(self, fleet: Fleet) -> None:
        with self.meter.phase("wait"):
            number = fleet.connect(earlier=self._earlier())
        self._held_s = HELD_S
        place = {"node": number, "folder": str(self.folder.path.resolve())}
        replace(self.node_path, json.dumps(place).encode(), mode=PRIVATE)
        self.folder.note_status(state="connected", since=now_text())
        self.say("connected", node=number)

    def _earlier(self) -> int | None:
        """The number under which we are still online after a crash; not that of a folder copied from elsewhere."""
        try:
            place = json.loads(self.node_path.read_bytes())
            number, folder = place["node"], place["folder"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return number if isinstance(number, int) and folder == str(self.folder.path.resolve()) else None

    def _serve(self, fleet: Fleet) -> None:
        """Ask and answer until the connection is gone."""
        last, failures = time.monotonic(), 0
        while not (self._has_trained() and self.resident.is_over):
            try:
                self._look()
                asked = time.monotonic()
                announced = self._ask(fleet)
                if announced is not None:
                    with self.meter.phase("transfer"):
                        incoming = fleet.fetch(announced)
                    self._answer(fleet, incoming)
                    last = time.monotonic()
                failures = 0
            except NotAdmittedError as error:
                raise ForgottenError("The server does not know this connection any more.") from error
            except GoneError as error:
                self.say("gone", cause=error.cause, remedy=error.remedy)
                announced = None
            except LinkLostError as error:
                self._wait(error, failures)
                failures += 1
                continue
            if announced is None and time.monotonic() - asked < WAS_HELD_S:
                self._pause(time.monotonic() - last)

    def _ask(self, fleet: Fleet) -> Announced | None:
        """Ask for a message and wait for it, as long as we may."""
        began = time.monotonic()
        try:
            with self.meter.phase("wait"):
                return fleet.ask(wait_s=self._held_s if self.resident.is_member else HELD_AT_FIRST_S)
        except LinkLostError:
            if time.monotonic() - began >= WAS_HELD_S:
                self._held_s = max(LEAST_HELD_S, self._held_s // 2)
            raise

    def _answer(self, fleet: Fleet, incoming: Incoming) -> None:
        request = incoming.request
        began = time.monotonic()
        if isinstance(request, Request) and request.purpose == "invite":
            self._end_of_round()
            self._round = request.round
        self.say("asked", **_about(request))
        reply = self.resident.answer(request)
        self.egress.note(_purpose(request), reply.body, status=reply.status, **_what(request, reply))
        with self.meter.phase("transfer"):
            fleet.answer(incoming, reply, seconds=time.monotonic() - began)
        facts = {"seconds": round(time.monotonic() - began, 3), "bytes": len(reply.body)}
        self.say("answered", status=reply.status, code=reply.code, **_about(request), **facts)
        if isinstance(request, Request):
            if request.purpose == "certificate":
                self._end_of_round()
                self._looked = float("-inf")  # between two rounds a new manifest may wait for our signature
            where = {"round": request.round, "purpose": request.purpose, "status": reply.status, "code": reply.code}
            self.folder.note_status(last=now_text(), **where)

    def _look(self) -> None:
        """Look for manifests: often while there is none, now and then afterwards."""
        now = time.monotonic()
        if now - self._looked < (LOOK_AGAIN_S if self.resident.is_member else LOOK_S):
            return
        self._looked = now
        try:
            self.resident.look_for_manifest()
        except LinkLostError:
            raise
        except FedgapError as error:
            self.say("refused", code=error.code, cause=error.cause, remedy=error.remedy, purpose="manifest")
        except Exception as error:  # noqa: BLE001 - what the server shows may break a task's own code in any way
            ours = as_ours(error)
            self.say("failed", error=error)
            self.say("refused", code=ours.code, cause=ours.cause, remedy=ours.remedy, purpose="manifest")

    def _has_trained(self) -> bool:
        member = self.resident.member
        return member is not None and member.course.applied >= self._rounds()

    def _rounds(self) -> int:
        return self.resident.workplace.config.training.rounds

    def _pause(self, quiet_s: float) -> None:
        if time.monotonic() - self._said_polls > POLLING_LINE_S:
            self._line_of_polls()
        with self.meter.phase("wait"):
            self.sleep(EAGER_S if quiet_s < SLOWER_AFTER_S else min(IDLE_S, EAGER_S * quiet_s / SLOWER_AFTER_S))

    def _wait(self, error: FedgapError, failures: int) -> None:
        """Say what is wrong and wait, longer each time; a little at random, so that sites do not all come at once."""
        pauses = BACK_OFF_S + (LATER_S if self._has_trained() else ())
        pause = pauses[min(failures, len(pauses) - 1)] * (1 + random.random() / 4)  # noqa: S311 - no secret
        if isinstance(error, BusyKeyError):
            pause = max(pause, 2.0)
        self.folder.note_status(state="waiting", since=now_text(), reason=error.line())
        self.say("waiting", code=error.code, cause=error.cause, remedy=error.remedy, seconds=round(pause, 1))
        with self.meter.phase("wait"):
            self.sleep(pause)

    def _line_of_polls(self) -> None:
        self._said_polls = time.monotonic()
        calls, size = self._polls, self._polled_bytes
        self._polls = self._polled_bytes = 0
        self.egress.note_polling(calls=calls, size_bytes=size)

    def _end_of_round(self) -> None:
        """Write down what everything since the last line cost; waiting between rounds belongs to the next one."""
        line = {"time": now_text(), "round": self._round, "phases": as_document(self.meter.take())}
        try:
            with self.folder.metering.open("a+b", buffering=0) as file:
                append_line(file, json.dumps(line).encode())
        except OSError as error:  # what was sent is sent; a figure that is missing must not end the site
            cause = f"What the round cost cannot be written into {self.folder.metering} ({error.strerror})."
            self.say("unmetered", cause=cause, remedy="Free some space.")


def _purpose(request: Request | EnvelopeError | VersionError) -> str:
    return request.purpose if isinstance(request, Request) else "unreadable"


def _about(request: Request | EnvelopeError | VersionError) -> dict[str, int | str]:
    if isinstance(request, Request):
        return {"purpose": request.purpose, "round": request.round, "attempt": request.attempt}
    return {"purpose": "unreadable"}


def _what(request: Request | EnvelopeError | VersionError, reply: Reply) -> dict[str, int | str]:
    about = _about(request)
    del about["purpose"]
    return about | ({"code": reply.code} if reply.code else {})


def make_node(*, resident: Resident, membership: Membership, key: NodeKey, egress: EgressLog) -> Node:
    """Put the parts of a site together."""
    ca = None if membership.ca is None else membership.ca.encode()
    node = Node(
        resident=resident,
        folder=resident.folder,
        egress=egress,
        meter=resident.meter,
        connect=lambda: Fleet(membership.address, ca=ca, key=key, moved=node.moved, through=node.through),
        say=resident.say,
    )
    return node
