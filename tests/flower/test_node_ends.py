"""How a site's loop goes on: through a restart of the server, politely when all is done, and to an end of its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto.codec import pack
from fedgap.errors import FedgapError
from fedgap.flower.contract import SUMS, Reply, Request
from fedgap.flower.egress import EgressLog
from fedgap.flower.fleet import Announced, Incoming, NotAdmittedError
from fedgap.flower.node import HELD_AT_FIRST_S, HELD_S, Node
from fedgap.flower.outbound import LinkLostError
from fedgap.flower.preparation import Shape
from fedgap.flower.refusals import OtherPlanError
from fedgap.ids import OrgId
from tests.flower.sites import Village, village

ASH = OrgId("ash")


class EndError(Exception):
    """The test has seen enough."""


class Server:
    """Connections to a server that gives requests, then errors, one after the other."""

    def __init__(self, *says: Request | FedgapError | None) -> None:
        self.says, self.sent, self.waits, self.connected = list(says), list[Reply](), list[int](), 0

    def connect(self, *, earlier: int | None) -> int:
        """Come online, unless the server is away."""
        del earlier
        if self.says and isinstance(self.says[0], LinkLostError):
            raise self.says.pop(0)  # type: ignore[misc]  # just looked at
        self.connected += 1
        return 1

    def ask(self, *, wait_s: int) -> Announced | None:
        """Give what is next, if it is a message."""
        self.waits.append(wait_s)
        if not self.says:
            raise EndError
        if isinstance(self.says[0], FedgapError):
            raise self.says.pop(0)  # type: ignore[misc]  # just looked at
        if self.says[0] is None:
            return self.says.pop(0)  # type: ignore[return-value]  # just looked at
        return Announced(head=None, tree=None)  # type: ignore[arg-type]  # nobody looks into it

    def fetch(self, announced: Announced) -> Incoming:
        """Give it."""
        del announced
        return Incoming(request=self.says.pop(0), message=None)  # type: ignore[arg-type]  # same

    def answer(self, incoming: Incoming, reply: Reply, *, seconds: float) -> None:
        """Take the answer."""
        del incoming, seconds
        self.sent.append(reply)

    def close(self) -> bool:
        """Say goodbye."""
        return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes every site at the end."""
    with ExitStack() as stack:
        yield stack


def node_of(made: Village, stack: ExitStack, server: Server) -> tuple[Node, list[dict[str, Any]], list[float]]:
    """A site's loop, what it says, and how long it sleeps."""
    site, said, slept = made.sites[ASH], list[dict[str, Any]](), list[float]()
    node = Node(
        resident=site,
        folder=site.folder,
        egress=stack.enter_context(EgressLog(site.folder.egress, to="https://fed.example.org")),
        meter=site.meter,
        connect=lambda: server,  # type: ignore[arg-type,return-value]  # the calls that a node makes
        say=lambda kind, **facts: said.append({"event": kind, **facts}),
        sleep=slept.append,
    )
    return node, said, slept


def founded(folder: Path, stack: ExitStack) -> Village:
    """Three sites that have done all rounds but have not got the last sum."""
    made = village(folder, stack)
    made.prepare()
    made.run(made.found(), until=2)
    return made


def last_sum(made: Village) -> Request:
    """The server gives everybody the last sum."""
    return Request(
        purpose=SUMS, federation=made.config.federation.id, round=2, stage_s=5.0, body=pack(made.outcomes[-1])
    )


def test_a_site_ends_with_the_last_sum_and_writes_it_down(tmp_path: Path, stack: ExitStack) -> None:
    made = founded(tmp_path, stack)
    server = Server(last_sum(made))
    node, said, _ = node_of(made, stack, server)
    folder = made.sites[ASH].folder
    assert not folder.ended.exists()
    node.run()

    assert [reply.status for reply in server.sent] == ["ok"]
    assert said[-1] == {"event": "ended", "rounds": 2}
    assert folder.ended.exists()
    folder.begin()
    assert not folder.ended.exists()


def test_a_server_that_was_started_anew_is_come_back_to(tmp_path: Path, stack: ExitStack) -> None:
    made = founded(tmp_path, stack)
    server = Server(NotAdmittedError("401"), last_sum(made))
    node, said, slept = node_of(made, stack, server)
    node.run()

    assert server.connected == 2
    assert [event["code"] for event in said if event["event"] == "waiting"] == ["link.forgotten"]
    assert max(slept) < 1
    assert said[-1]["event"] == "ended"


def test_the_pauses_grow_to_half_a_minute_and_after_all_rounds_to_five(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = founded(tmp_path, stack)
    away = [LinkLostError("away") for _ in range(12)]
    for has_trained, most_s in ((False, 30), (True, 300)):
        node, _, slept = node_of(made, stack, Server(*away))
        monkeypatch.setattr(Node, "_has_trained", lambda _, answer=has_trained: answer)
        monkeypatch.setattr(type(made.sites[ASH]), "is_over", property(lambda _: False))
        with pytest.raises(EndError):
            node.run()
        assert max(slept) <= 1.25 * most_s
        assert most_s <= slept[-1] <= 1.25 * most_s


def test_a_question_is_held_longer_once_there_is_a_manifest_and_an_unheld_one_is_followed_by_a_pause(
    tmp_path: Path, stack: ExitStack
) -> None:
    made = village(tmp_path, stack)
    made.prepare()
    server = Server(None, None)
    node, _, slept = node_of(made, stack, server)
    with pytest.raises(EndError):
        node.run()
    assert server.waits == [HELD_AT_FIRST_S] * 3
    assert slept == [pytest.approx(0.1)] * 2

    made.found()
    server = Server()
    with pytest.raises(EndError):
        node_of(made, stack, server)[0].run()
    assert server.waits == [HELD_S]


def test_a_manifest_that_breaks_the_tasks_own_code_is_refused_and_ends_nothing(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = founded(tmp_path, stack)
    node, said, _ = node_of(made, stack, Server(last_sum(made)))

    def breaks() -> None:
        raise IndexError

    monkeypatch.setattr(made.sites[ASH].desk, "manifest", breaks)
    node.run()

    assert [event["code"] for event in said if event["event"] == "refused"] == ["client.task-failed"]
    assert said[-1]["event"] == "ended"


def test_a_shape_that_would_take_all_memory_is_no_shape(tmp_path: Path, stack: ExitStack) -> None:
    made = village(tmp_path, stack)
    made.prepare()
    made.show()
    for inputs, largest in (((2**20, 2**20), 1), ((3,), 2**50)):
        shape = Shape(inputs=inputs, classes=True, largest=largest)
        made.book.reply = made.book.reply.model_copy(update={"shape": pack(shape).hex()})
        with pytest.raises(OtherPlanError):
            made.sites[ASH].look_for_manifest()
