"""A call and its objects in one body: taken apart as it was put together, or refused; used where both sides can."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import BadBytesError, encode
from fedgap.flower import calls, contract, fleet_calls
from fedgap.flower.bundle import OBJECTS_HEADER, bundle, unbundle
from fedgap.flower.contract import SMALL_BYTES
from fedgap.flower.fleet import Fleet
from fedgap.flower.outbound import LinkLostError
from tests.flower.test_superlink import Line, ask


@given(call=st.binary(max_size=50), objects=st.dictionaries(st.text(max_size=9), st.binary(max_size=50), max_size=4))
def test_what_is_bundled_is_unbundled(call: bytes, objects: dict[str, bytes]) -> None:
    body, headers = bundle(call, objects)

    assert unbundle(body, headers[OBJECTS_HEADER]) == (call, objects)
    assert unbundle(call, None) == (call, {})


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"x", "2"),
        (b"x", "-1"),
        (b"x", ""),
        (b"x", "0x1"),
        (b"x", "9" * 30),
        (b"", "0"),
        (encode("text"), "0"),
        (encode(("text",)), "0"),
        (encode((("a", 1),)), "0"),
        (encode((("a", b""), ("a", b""))), "0"),
        (encode((("a", b"", b""),)), "0"),
        (encode((("a", b""),)) + b"x", "0"),
    ],
)
def test_what_is_no_bundle_is_refused(body: bytes, header: str) -> None:
    with pytest.raises(BadBytesError):
        unbundle(body, header)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One line for all tests here."""
    with closing(Line(tmp_path_factory.mktemp("line"))) as line:
        yield line


def counted(node: Fleet) -> Counter[str]:
    """Which calls a node makes from now on."""
    made: Counter[str] = Counter()
    node._calls.moved = lambda call, up, down: made.update([call])  # noqa: ARG005 - only how often
    return made


def exchange(line: Line, node: Fleet, number: int, size: int, *, wait_s: int) -> bytes:
    """One message and its answer, with bodies of this size."""
    name = ask(line, number, b"q" * size)
    announced = node.ask(wait_s=wait_s)
    assert announced is not None
    node.answer(node.fetch(announced), contract.answered(b"a" * size), seconds=0.1)
    (arrived,) = line.soon([name])
    assert arrived.content is not None
    return contract.read_reply(arrived.content).body


PLAIN = {"PullMessages": 1, "PullObject": 3, "ConfirmMessageReceived": 1, "PushMessages": 1, "PushObject": 3}


@pytest.mark.parametrize(
    ("size", "wait_s", "wanted"),
    [
        (100, 5, {"PullMessages": 1, "PushMessages": 1}),
        (50_000, 5, {"PullMessages": 1, "PushMessages": 1}),
        (100, 0, PLAIN),
        (SMALL_BYTES - 100, 5, PLAIN),
    ],
)
def test_a_small_exchange_takes_two_calls_and_any_other_those_of_flower(
    line: Line, size: int, wait_s: int, wanted: dict[str, int]
) -> None:
    node, number = line.connected(f"node-{size}-{wait_s}")
    made, before = counted(node), line.link.calls
    assert exchange(line, node, number, size, wait_s=wait_s) == b"a" * size

    assert made == wanted
    assert line.link.calls - before == sum(wanted.values())
    assert len(line.link.state.object_store) == 0
    node.close()


def test_a_server_that_cannot_bundle_is_not_sent_a_bundle(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    node, number = line.connected("both")
    assert exchange(line, node, number, 10, wait_s=5) == b"a" * 10
    monkeypatch.setattr(fleet_calls, "MOST_BYTES", 0)
    made = counted(node)
    assert exchange(line, node, number, 10, wait_s=5) == b"a" * 10
    assert made == PLAIN
    node.close()


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"x"])
def test_a_bundle_that_was_cut_on_the_way_is_a_lost_link_and_the_message_comes_again(
    line: Line, change: Callable[[bytes], bytes]
) -> None:
    node, number = line.connected(f"cut-{len(change(b'12'))}")
    name = ask(line, number, b"")
    real = node._client._client.send

    def send(request: httpx.Request, **more: object) -> httpx.Response:
        answer = real(request, **more)  # type: ignore[arg-type]  # passed on
        return httpx.Response(200, content=change(answer.read()), headers=answer.headers, request=request)

    node._client._client.send = send  # type: ignore[method-assign]  # what stands between the two
    with pytest.raises(LinkLostError):
        node.ask(wait_s=5)
    node._client._client.send = real  # type: ignore[method-assign]
    announced = node.ask(wait_s=5)
    assert announced is not None
    assert announced.head.metadata.message_id == name
    line.link.withdraw([name])
    node.close()


def test_an_object_beside_an_answer_counts_like_one_that_is_sent_alone(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that lies must not fill the server's memory with objects that nobody asked for."""
    node, number = line.connected("beside")
    name = ask(line, number, b"")
    announced = node.ask(wait_s=5)
    assert announced is not None
    incoming = node.fetch(announced)
    lied = {"f" * 64: bytes(1000)}
    monkeypatch.setattr(calls, "bundle", lambda call, objects: bundle(call, {**objects, **lied}))
    before = len(line.link.state.object_store)
    node.answer(incoming, contract.answered(b"x"), seconds=0.1)
    assert "f" * 64 not in line.link.state.object_store
    assert len(line.link.state.object_store) - before <= 3
    (arrived,) = line.soon([name])
    assert arrived.content is not None
    node.close()
