"""Handshakes at the public port: silent connections make room for others, and nobody begins too many."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from fedgap.flower import gate
from fedgap.flower.gate import Accepted, Handshakes
from fedgap.flower.proxies import Proxies
from tests.flower.serving import Served, home_in, served

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests here."""
    with served(home_in(tmp_path_factory.mktemp("gate"))) as server:
        yield server


def silent(server: Served) -> socket.socket:
    """A connection that does not begin its handshake."""
    return socket.create_connection(("127.0.0.1", int(urlsplit(server.address).port or 0)), timeout=120)


def is_ended(line: socket.socket, seconds: float) -> bool:
    """Whether the other side hangs up in time."""
    line.settimeout(seconds)
    try:
        return line.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def is_answered(server: Served) -> bool:
    """Whether an honest client gets through."""
    with server.http() as http:
        return http.get("/health").status_code == 200


def test_silent_connections_of_one_address_lock_nobody_out_and_the_oldest_go(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "UNFINISHED_FROM_ONE", 3)
    with ExitStack() as stack:
        lines = [stack.enter_context(closing(silent(server))) for _ in range(8)]
        assert is_answered(server)
        assert [is_ended(line, 60) for line in lines[:5]] == [True] * 5
        assert not is_ended(lines[-1], 0.2)


def test_a_handshake_that_takes_too_long_goes_when_somebody_else_comes(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "HANDSHAKE_S", 0.2)
    with closing(silent(server)) as line:
        time.sleep(0.4)
        assert is_answered(server)
        assert is_ended(line, 60)


def test_whoever_begins_too_many_handshakes_is_refused_and_finished_connections_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BEGUN_FROM_ONE", 20)
    with served(home_in(tmp_path)) as server, server.http() as early:
        assert early.get("/health").status_code == 200
        with ExitStack() as stack:
            lines = [stack.enter_context(closing(silent(server))) for _ in range(24)]
            assert [is_ended(line, 60) for line in lines[-5:]] == [True] * 5
            assert not is_ended(lines[-6], 0.2)
        with pytest.raises(httpx.TransportError):
            is_answered(server)
        assert early.get("/health").status_code == 200


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def connection(handshakes: Handshakes, host: str, port: int) -> tuple[Accepted, socket.socket]:
    """A connection as the listener accepts it, and its other end."""
    ours, theirs = socket.socketpair()
    accepted = Accepted(ours, (host, port), handshakes)
    handshakes.begin(accepted)
    return accepted, theirs


@pytest.fixture
def pair() -> Iterator[Callable[[Handshakes, str, int], tuple[Accepted, socket.socket]]]:
    """Makes connections and closes them at the end."""
    with ExitStack() as stack:

        def make(handshakes: Handshakes, host: str, port: int) -> tuple[Accepted, socket.socket]:
            made = connection(handshakes, host, port)
            for one in made:
                stack.callback(one.close)
            return made

        yield make


def test_in_all_the_oldest_unfinished_one_makes_room(
    monkeypatch: pytest.MonkeyPatch, pair: Callable[[Handshakes, str, int], tuple[Accepted, socket.socket]]
) -> None:
    monkeypatch.setattr(gate, "UNFINISHED", 4)
    handshakes = Handshakes()
    lines = [pair(handshakes, f"192.0.2.{k}", k) for k in range(6)]

    assert [is_ended(theirs, 0.05) for _, theirs in lines] == [True, True, False, False, False, False]
    assert len(handshakes.unfinished) == 4


def test_a_finished_handshake_counts_no_more_and_a_closed_connection_is_forgotten(
    pair: Callable[[Handshakes, str, int], tuple[Accepted, socket.socket]],
) -> None:
    handshakes = Handshakes()
    one, _ = pair(handshakes, HERE, 1)
    two, _ = pair(handshakes, HERE, 2)
    handshakes.end(one.peer)
    handshakes.end(("192.0.2.9", 9))  # nobody's
    assert (dict(handshakes.finished), list(handshakes.unfinished)) == ({HERE: 1}, [two.peer])
    for connection_ in (one, one, two):
        connection_.close()
    assert (dict(handshakes.finished), list(handshakes.unfinished)) == ({}, [])


def test_when_all_together_begin_too_many_only_those_who_are_connected_may(
    monkeypatch: pytest.MonkeyPatch, pair: Callable[[Handshakes, str, int], tuple[Accepted, socket.socket]]
) -> None:
    monkeypatch.setattr(gate, "BEGUN", 10)
    clock = Clock()
    handshakes = Handshakes(clock)
    member, _ = pair(handshakes, HERE, 1)
    handshakes.end(member.peer)

    assert sum(handshakes.may_begin(f"198.51.100.{k}") for k in range(30)) == 10
    assert handshakes.may_begin(HERE)
    assert not handshakes.may_begin(THERE)
    clock.now += 60
    assert handshakes.may_begin(THERE)


def test_one_address_that_begins_too_many_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BEGUN", 10)
    monkeypatch.setattr(gate, "BEGUN_FROM_ONE", 5)
    handshakes = Handshakes()

    assert sum(handshakes.may_begin(HERE) for _ in range(100)) == 5
    assert handshakes.may_begin(THERE)


def test_a_reverse_proxy_of_the_operator_speaks_for_many_and_has_no_limit_of_one_address(
    monkeypatch: pytest.MonkeyPatch, pair: Callable[[Handshakes, str, int], tuple[Accepted, socket.socket]]
) -> None:
    monkeypatch.setattr(gate, "BEGUN", 10)
    monkeypatch.setattr(gate, "BEGUN_FROM_ONE", 5)
    monkeypatch.setattr(gate, "UNFINISHED_FROM_ONE", 2)
    handshakes = Handshakes(proxies=Proxies.at([HERE]))

    assert all(handshakes.may_begin(HERE) for _ in range(100))
    assert sum(handshakes.may_begin(THERE) for _ in range(100)) == 5
    lines = [pair(handshakes, host, port)[1] for port in range(4) for host in (HERE, THERE)]
    assert [is_ended(theirs, 0.05) for theirs in lines] == [False, True, False, True] + [False] * 4


@pytest.mark.parametrize(
    ("host", "household"),
    [
        (HERE, HERE),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_the_addresses_of_one_household_count_as_one(host: str, household: str) -> None:
    assert gate.household_of(host) == household
