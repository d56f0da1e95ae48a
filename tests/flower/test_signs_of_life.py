"""Who counts as there: by heartbeats that are repeated at once if one is lost, and by every other call of the node."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate import in_memory_linkstate

from fedgap.crypto import new_node_key
from fedgap.flower import fleet
from fedgap.flower.contract import HEARTBEAT_S, SMALL_BYTES, answered
from fedgap.flower.fleet import BEAT_AGAIN_S, BEAT_S
from fedgap.flower.outbound import LinkLostError
from tests.flower.test_superlink import Line, ask, serve_one

SILENT_S = 2 * HEARTBEAT_S


class Flowers:
    """Flower's clock, which is set ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        now = in_memory_linkstate.now  # type: ignore[attr-defined]  # Flower imports it there
        monkeypatch.setattr(in_memory_linkstate, "now", lambda: now() + dt.timedelta(seconds=self.ahead_s))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Flowers:
    """Nobody sends a heartbeat, and Flower's time goes when we say so."""
    monkeypatch.setattr(fleet, "BEAT_S", 1e6)
    return Flowers(monkeypatch)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A server's door."""
    with closing(Line(tmp_path)) as line:
        yield line


def test_a_node_that_says_nothing_is_away_after_twice_its_interval(line: Line, clock: Flowers) -> None:
    node, number = line.connected("silent")
    with closing(node):
        clock.ahead_s = SILENT_S - 5
        assert line.link.online() == {number}
        clock.ahead_s = SILENT_S + 1
        assert line.link.online() == set()


def test_whoever_asks_fetches_and_answers_is_there_without_a_heartbeat(line: Line, clock: Flowers) -> None:
    """A large answer may fill a slow line for minutes; its pieces are signs of life."""
    node, number = line.connected("busy")
    body = b"x" * 3 * SMALL_BYTES
    with closing(node):
        name = ask(line, number, body, ttl_s=1e5)
        clock.ahead_s += SILENT_S - 5
        announced = node.ask()
        assert announced is not None
        clock.ahead_s += SILENT_S - 5
        incoming = node.fetch(announced)
        clock.ahead_s += SILENT_S - 5
        assert line.link.online() == {number}
        node.answer(incoming, answered(body), seconds=1.0)
        clock.ahead_s += SILENT_S - 5

        assert line.link.online() == {number}
        (arrived,) = line.soon([name])
        assert arrived.content is not None


def test_a_node_that_said_goodbye_is_away_at_once(line: Line, clock: Flowers) -> None:
    node, number = line.connected("goodbye")
    name = ask(line, number, b"", ttl_s=1e5)
    serve_one(node, lambda _: answered(b""))
    assert line.soon([name])
    assert node.close()

    assert clock.ahead_s == 0
    assert line.link.online() == set()


def test_a_heartbeat_that_is_under_way_ends_before_the_goodbye(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would bring the node back, and leave its connection open."""
    monkeypatch.setattr(fleet, "BEAT_S", 0.0)
    begun, go_on, order = threading.Event(), threading.Event(), list[str]()
    node, number = line.connected("last")
    beat, leave = node._client.SendNodeHeartbeat, node._leave

    def slow(request: SendNodeHeartbeatRequest) -> object:
        begun.set()
        go_on.wait(60)
        found = beat(request)
        order.append("beat")
        return found

    def left(number: int) -> bool:
        order.append("leave")
        return leave(number)

    monkeypatch.setattr(node._client, "SendNodeHeartbeat", slow)
    monkeypatch.setattr(node, "_leave", left)
    monkeypatch.setattr(fleet, "LAST_BEAT_S", 60.0)
    assert begun.wait(60)
    closing_ = threading.Thread(target=node.close)
    closing_.start()
    assert node._ended.wait(60)
    go_on.set()
    closing_.join(60)

    assert order[-2:] == ["beat", "leave"]
    assert number not in line.link.online()


def test_a_heartbeat_that_nobody_heard_is_sent_again_soon(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    lost = iter([True, True, False, False])

    class Ended:
        """Time passes without passing."""

        def wait(self, seconds: float) -> bool:
            """Note for how long."""
            pauses.append(seconds)
            return len(pauses) > 4

        def set(self) -> None:
            """End."""

    def beat(request: object) -> None:
        del request
        if next(lost):
            raise LinkLostError("gone")

    with closing(line.node(new_node_key())) as node:
        node._node = Node(node_id=1)
        monkeypatch.setattr(node, "_ended", Ended())
        monkeypatch.setattr(node._client, "SendNodeHeartbeat", beat)
        node._beat()
        node._node = None

    assert pauses == [BEAT_S, BEAT_AGAIN_S, BEAT_AGAIN_S, BEAT_S, BEAT_S]
