"""Messages really pass through Flower's state behind our door, and nothing else does."""

import datetime as dt
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from flwr.app import Message
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import in_memory_linkstate
from flwr.supercore.corestate import in_memory_corestate
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedgap.crypto import NodeKey, new_node_key
from fedgap.crypto.certificates import new_ca, node_key_pem, server_certificate
from fedgap.flower import contract, fleet, restraint
from fedgap.flower.contract import Reply, Request
from fedgap.flower.fleet import BusyKeyError, Fleet, GoneError, NotAdmittedError
from fedgap.flower.fleet_calls import MOST_TIMES
from fedgap.flower.listener import Door, Listener, PortError, answer
from fedgap.flower.outbound import LinkLostError
from fedgap.flower.restraint import LARGE_BYTES
from fedgap.flower.superlink import SMALL_BYTES, Arrived, NodeKeyError, SuperLink
from tests.flower.serving import free_port


class Line:
    """A SuperLink behind TLS, and nodes that connect to it."""

    def __init__(self, folder: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        self.ca = new_ca("test", now=now)
        made = server_certificate(self.ca, ["localhost"], now=now)
        (folder / "pem").write_bytes(made.certificate)
        (folder / "key").write_bytes(made.key)
        self.folder = folder
        self.link = SuperLink(folder)
        door = Door(self.link.fleet(), lambda *_: answer(_[2], 404, "x"), frozenset(), self.link.knows)
        self.listener = Listener(door, host="127.0.0.1", port=0, certificate=folder / "pem", key=folder / "key")

    def close(self) -> None:
        """Hang up."""
        self.listener.close()
        self.link.close()

    def node(self, key: NodeKey) -> Fleet:
        """A node with this key."""
        address = f"https://localhost:{self.listener.port}"
        return Fleet(address, ca=self.ca.certificate, key=key, moved=lambda *_: None)

    def connected(self, name: str) -> tuple[Fleet, int]:
        """A node that is admitted and connected."""
        key = new_node_key()
        number = self.link.admit(node_key_pem(key.public), name)
        node = self.node(key)
        assert node.connect(earlier=None) == number
        return node, number

    def soon(self, wanted: list[str], most_bytes: int = 1 << 30) -> list[Arrived]:
        """What arrives within a few seconds."""
        found: list[Arrived] = []
        end = time.monotonic() + 60
        while len(found) < len(wanted) and time.monotonic() < end:
            found += self.link.receive(wanted, most_bytes=most_bytes)
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One line for all tests here."""
    with closing(Line(tmp_path_factory.mktemp("line"))) as line:
        yield line


def ask(line: Line, node: int, body: bytes, *, ttl_s: float = 30, most_bytes: int = 1 << 30) -> str:
    """Leave a request for a node."""
    request = Request(purpose="relay", federation="test", round=1, attempt=1, stage_s=ttl_s, body=body)
    name = line.link.send(node, contract.write_request(request), ttl_s=ttl_s, group="1", most_bytes=most_bytes)
    assert name is not None
    return name


def serve_one(node: Fleet, work: Callable[[Request], Reply]) -> None:
    """Answer one message as a site would."""
    announced = None
    while announced is None:
        announced = node.ask()
    incoming = node.fetch(announced)
    assert isinstance(incoming.request, Request)
    node.answer(incoming, work(incoming.request), seconds=0.1)


@pytest.mark.parametrize("size", [0, 1, 100, 12_000_000])
def test_a_message_and_its_answer_pass_whole_and_are_erased(line: Line, size: int) -> None:
    node, number = line.connected(f"node-{size}")
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    name = ask(line, number, body)
    serve_one(node, lambda request: contract.answered(request.body[::-1]))

    (arrived,) = line.soon([name])
    assert arrived.content is not None
    assert contract.read_reply(arrived.content).body == body[::-1]
    assert line.link.state.num_message_ins() == 0
    node.close()


def test_the_same_body_for_many_is_stored_once(line: Line) -> None:
    nodes = [line.connected(f"many-{k}") for k in range(3)]
    before = len(line.link.state.object_store)
    request = Request(purpose="relay", federation="test", stage_s=30.0, body=b"z" * 11_000_000)
    content = contract.write_request(request)
    names = [line.link.send(number, content, ttl_s=30, group="1") for _, number in nodes]
    chunks = len(line.link.state.object_store) - before

    assert None not in names
    assert chunks <= 3 + 8
    line.link.withdraw([name for name in names if name is not None])
    for node, _ in nodes:
        node.close()


def test_an_answer_that_is_too_large_is_none(line: Line) -> None:
    node, number = line.connected("large")
    name = ask(line, number, b"")
    serve_one(node, lambda _: contract.answered(b"y" * 6_000_000))

    assert line.soon([name], most_bytes=1_000_000) == [Arrived(message=name, content=None)]
    node.close()


def set_clock_forward(monkeypatch: pytest.MonkeyPatch, **by: float) -> None:
    """Let Flower's state see a later time."""
    for module in (in_memory_linkstate, in_memory_corestate):
        real = module.now
        monkeypatch.setattr(module, "now", lambda real=real: real() + dt.timedelta(**by))


def test_a_message_that_nobody_answers_in_time_is_over_and_a_late_answer_harms_nobody(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, number = line.connected("late")
    name = ask(line, number, b"", ttl_s=600)
    announced = node.ask()
    assert announced is not None
    incoming = node.fetch(announced)
    set_clock_forward(monkeypatch, seconds=601)
    (arrived,) = line.soon([name])
    assert (arrived.content, arrived.error) == (None, 3)
    with pytest.raises(GoneError):
        node.answer(incoming, contract.answered(b"late"), seconds=0.1)
    node.close()


def test_a_clock_that_is_set_and_a_machine_that_slept_end_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SuperLink(tmp_path)) as link:
        number = link.admit(node_key_pem(new_node_key().public), "early")
        link.state.activate_node(number, 20.0)
        set_clock_forward(monkeypatch, days=1)

        assert link.state.get_run_status({link.run})[link.run].status == "running"
        content = contract.write_request(Request(purpose="relay", federation="test", stage_s=9.0, body=b""))
        assert link.send(number, content, ttl_s=2 * 86400, group="1") is not None


def test_a_node_that_was_expelled_or_never_connected_is_not_there(line: Line) -> None:
    key = new_node_key()
    pem = node_key_pem(key.public)
    number = line.link.admit(pem, "gone")
    assert line.link.admit(pem, "gone") == number
    assert line.link.send(number, contract.write_reply(Reply(status="none")), ttl_s=5, group="1") is None
    line.link.expel(pem)
    line.link.expel(pem)
    with pytest.raises(NodeKeyError):
        line.link.admit(pem, "gone")
    with closing(line.node(key)) as node, pytest.raises((BusyKeyError, NotAdmittedError)):
        node.connect(earlier=None)


def test_two_nodes_cannot_use_one_key(line: Line) -> None:
    key = new_node_key()
    line.link.admit(node_key_pem(key.public), "twice")
    with closing(line.node(key)) as first, closing(line.node(key)) as second:
        first.connect(earlier=None)
        with pytest.raises(BusyKeyError):
            second.connect(earlier=None)


def test_a_node_cannot_answer_in_the_name_of_another(line: Line) -> None:
    """Flower itself would take it: it looks at who sends, and not at whom the answer says it is from."""
    (a, number_a), (b, _) = line.connected("forged-a"), line.connected("forged-b")
    name = ask(line, number_a, b"")
    announced = a.ask()
    assert announced is not None
    incoming = a.fetch(announced)
    with pytest.raises(LinkLostError, match="403"):
        b.answer(incoming, contract.answered(b"forged"), seconds=0.1)
    a.answer(incoming, contract.answered(b"true"), seconds=0.1)

    (arrived,) = line.soon([name])
    assert arrived.content is not None
    assert contract.read_reply(arrived.content).body == b"true"
    a.close()
    b.close()


def test_after_a_restart_old_messages_are_gone(tmp_path: Path) -> None:
    line = Line(tmp_path)
    node, number = line.connected("stays")
    ask(line, number, b"x" * 1_000_000)
    assert list((tmp_path / "transit").iterdir())
    node.close()
    line.close()

    link = SuperLink(tmp_path)
    assert not list((tmp_path / "transit").iterdir())
    assert link.state.num_message_ins() == 0
    assert len(link.state.object_store) == 0
    link.close()


def test_a_question_is_held_open_until_there_is_a_message(line: Line) -> None:
    """Only once it is held is there a message; and a question without one takes its time."""
    node, number = line.connected("patient")

    def ask_once_held() -> None:
        while number not in line.link._holding._places:
            time.sleep(0.01)
        ask(line, number, b"")

    asking = threading.Thread(target=ask_once_held)
    asking.start()
    announced = node.ask(wait_s=20)
    asking.join()
    assert announced is not None
    node.answer(node.fetch(announced), contract.answered(b""), seconds=0.1)
    began = time.monotonic()
    assert node.ask(wait_s=1) is None
    assert time.monotonic() - began >= 1
    assert node.ask() is None
    node.close()


def test_a_message_whose_delivery_was_not_confirmed_is_given_again_but_not_for_ever(line: Line) -> None:
    node, number = line.connected("cut-off")
    name = ask(line, number, b"again")
    for _ in range(MOST_TIMES):
        announced = node.ask(wait_s=1)
        assert announced is not None
        assert announced.head.metadata.message_id == name
    assert node.ask(wait_s=1) is None

    first, second = ask(line, number, b"first"), ask(line, number, b"second")
    for name in (first, second):
        announced = node.ask(wait_s=1)
        assert announced is not None
        incoming = node.fetch(announced)
        assert announced.head.metadata.message_id == name
        node.answer(incoming, contract.answered(b""), seconds=0.1)
    lost = ask(line, number, b"nobody waits for it any more")
    assert node.ask(wait_s=1) is not None
    line.link.withdraw([lost])
    assert node.ask(wait_s=1) is None
    node.close()


def test_the_server_is_woken_by_an_answer(line: Line) -> None:
    node, number = line.connected("waker")
    name = ask(line, number, b"")
    assert not list(line.link.receive([name], most_bytes=1 << 30))
    thread = threading.Thread(target=serve_one, args=(node, lambda _: contract.answered(b"here")))
    thread.start()
    found: list[Arrived] = []
    while not found:
        line.link.wait(600)
        assert line.link._arrived.is_set(), "nothing woke it"
        found = list(line.link.receive([name], most_bytes=1 << 30))
    thread.join()
    node.close()


def test_an_answer_that_names_an_object_twice_is_refused(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's store in memory takes it: thirty objects, each twice in the next, are a tree of a thousand million."""
    node, number = line.connected("twice-in-a-tree")
    name = ask(line, number, b"")
    announced = node.ask()
    assert announced is not None
    incoming = node.fetch(announced)

    def doubled(message: Message) -> ObjectTree:
        tree = get_object_tree(message)
        tree.children.append(tree.children[0])
        return tree

    with monkeypatch.context() as patch:
        patch.setattr(fleet, "get_object_tree", doubled)
        with pytest.raises(LinkLostError, match="403"):
            node.answer(incoming, contract.answered(b"x"), seconds=0.1)
    node.answer(incoming, contract.answered(b"x"), seconds=0.1)
    (arrived,) = line.soon([name])
    assert arrived.content is not None
    node.close()


def test_a_request_that_is_no_protobuf_or_signed_long_ago_is_refused(line: Line) -> None:
    key = new_node_key()
    line.link.admit(node_key_pem(key.public), "odd")
    signed = httpx.Request("POST", "https://localhost/v1/fleet/pull-messages")
    context = ProtobufRequestContext(rpc_method="", message=PushMessagesRequest(), request=signed)
    NodeAuthHttpInterceptor(key.private, key.private.public_key()).intercept(context, lambda _: httpx.Response(200))
    headers = {name: value for name, value in signed.headers.items() if name.startswith("flwr")}

    def status(content: bytes, **changed: str | None) -> int:
        sent = {name: value for name, value in (headers | changed).items() if value is not None}
        with closing(line.node(key)) as node:
            url = f"https://localhost:{line.listener.port}/v1/fleet/pull-messages"
            return node._client._client.post(url, content=content, headers=sent).status_code

    assert status(b"\xff\xff") == 400
    assert status(b"") == 401, "it names no node"
    assert status(b"", **{"flwr-timestamp": "2026-01-01T00:00:00+00:00"}) == 401
    assert status(b"", **{"flwr-signature": None}) == 401


def test_a_port_that_is_taken_or_a_certificate_that_is_none_is_a_typed_error(line: Line, tmp_path: Path) -> None:
    door = Door(line.link.fleet(), line.link.fleet(), frozenset(), line.link.knows)
    with pytest.raises(PortError):
        Listener(door, host="127.0.0.1", port=line.listener.port, certificate=None, key=None)
    (tmp_path / "x").write_bytes(b"no certificate")
    for file in (tmp_path / "x", tmp_path / "missing"):
        with pytest.raises(PortError):
            Listener(door, host="127.0.0.1", port=free_port(), certificate=file, key=file)


def test_a_lying_node_cannot_fill_the_disk(line: Line) -> None:
    """An answer larger than what was asked is refused before it is stored, and the server waits on."""
    node, number = line.connected("glutton")
    name = ask(line, number, b"small", most_bytes=SMALL_BYTES)
    with pytest.raises(GoneError):
        serve_one(node, lambda _: Reply(status="ok", body=os.urandom(16 << 20)))  # no two pieces alike

    assert not list(line.link.receive([name], most_bytes=1 << 30))
    stored = sum(path.stat().st_size for path in (line.folder / "transit").iterdir())
    assert stored < 4 * SMALL_BYTES
    line.link.withdraw([name])
    node.close()


def test_a_stranger_cannot_send_a_large_body(line: Line) -> None:
    with closing(line.node(new_node_key())) as node:
        answer = node._client._client.post(
            f"https://localhost:{line.listener.port}/v1/fleet/push-object", content=bytes(LARGE_BYTES + 1)
        )

    assert answer.status_code == 401


def test_who_sends_its_head_too_slowly_is_cut_off(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restraint, "HEAD_S", 0.5)
    context = ssl.create_default_context(cadata=line.ca.certificate.decode())
    for begun in (b"", b"POST /v1/fleet/pull-messages HTTP/1.1\r\nhost: localhost\r\n"):
        with socket.create_connection(("localhost", line.listener.port), timeout=20) as plain:
            slow = context.wrap_socket(plain, server_hostname="localhost")
            with suppress(OSError):  # an abort may be seen as a reset
                slow.sendall(begun)
                assert slow.recv(1) == b""
            slow.close()
