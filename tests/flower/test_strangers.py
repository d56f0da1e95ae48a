"""What strangers at the public port cost: connections that say little end, nobody unknown is listened to for long."""

import contextlib
import http.client
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fedgap.crypto.certificates import node_key_pem
from fedgap.flower import desk_work, listener, restraint
from fedgap.flower.fleet import BusyKeyError, NotAdmittedError
from fedgap.flower.listener import FLEET
from tests.flower.serving import Served, enrol, home_in, new_node_key, served

NO_BODY = b"Host: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests here."""
    with served(home_in(tmp_path_factory.mktemp("strangers"))) as server:
        yield server


def connect(server: Served) -> ssl.SSLSocket:
    """A TLS connection that says nothing yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=server.ca.decode())
    where = urlsplit(server.address)
    plain = socket.create_connection(("127.0.0.1", int(where.port or 0)), timeout=120)
    return context.wrap_socket(plain, server_hostname="localhost")


def answer(server: Served, said: bytes) -> bytes:
    """What comes back until the server hangs up."""
    with connect(server) as line:
        with contextlib.suppress(OSError):
            line.sendall(said)
        return rest(line)


def rest(line: ssl.SSLSocket) -> bytes:
    """Everything until the other side hangs up."""
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := line.recv(65536):
            got += part
    return got


@pytest.mark.parametrize(
    "target",
    [
        "POST /v1/fleet/../control/list-runs",
        "POST /v1//control/list-runs",
        "POST //v1/fleet/pull-messages",
        "POST /v1%2fcontrol%2flist-runs",
        "POST /V1/Fleet/pull-messages",
        "POST /v1/fleet/pull-messages%2f..%2f..%2fcontrol/list-runs",
        "POST /v1/fleet/pull-messages/",
        "POST /v1/fleet/pull-messages;x",
        "POST https://localhost/v1/control/list-runs",
        "GET /health/",
        "GET /health%00",
        "GET /fedgap/v1/ca/..",
        "GET /%2e%2e/%2e%2e/etc/passwd",
        "HEAD /health",
        "OPTIONS *",
        "TRACE /",
        "PUT /fedgap/v1/enrol",
    ],
)
def test_no_way_of_writing_a_path_leads_behind_the_door(server: Served, target: str) -> None:
    assert b" 404 " in answer(server, target.encode() + b" HTTP/1.1\r\n" + NO_BODY).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "said",
    [
        b"POST /fedgap/v1/enrol HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /fedgap/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        b"POST /fedgap/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(server: Served, said: bytes) -> None:
    assert b" 400 " in answer(server, said).split(b"\r\n")[0]


def test_an_upgrade_is_an_ordinary_request(server: Served) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n"
    with connect(server) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_head_without_an_end_is_not_kept(server: Served) -> None:
    said = b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * (2 * restraint.MOST_HEAD_BYTES)
    assert answer(server, said) == b""


def test_whoever_takes_too_long_is_cut_off(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all, half a head, half a body: each ends the connection."""
    half_a_body = b"POST /fedgap/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    for head_s, body_s, said, answers in (
        (0.3, 600.0, b"", []),
        (0.3, 600.0, b"GET /health HTTP/1.1\r\nHos", []),
        (600.0, 0.3, half_a_body, [b"408"]),
    ):
        monkeypatch.setattr(restraint, "HEAD_S", head_s)
        monkeypatch.setattr(listener, "BODY_S", body_s)
        got = answer(server, said)
        assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == answers


def test_one_address_cannot_take_every_connection(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restraint, "MOST_FROM_ONE", 5)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connect(server)).sendall(b"GET /health")
        with pytest.raises((ConnectionError, ssl.SSLError, http.client.HTTPException, IndexError)):
            answer(server, b"GET /health HTTP/1.1\r\n" + NO_BODY).split(b" ")[1].decode()
    wait(lambda: b" 200 " in answer(server, b"GET /health HTTP/1.1\r\n" + NO_BODY))


def test_the_body_of_a_stranger_is_not_even_read(server: Served) -> None:
    for path in FLEET:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\nflwr-public-key: AAAA\r\n\r\n".encode()
        with connect(server) as line:
            line.sendall(head)
            assert b" 401 " in line.recv(4096)


def is_let_in(server: Served, key: object) -> bool:
    """Whether a node with this key can connect now."""
    fleet = server.fleet(key)  # type: ignore[arg-type]  # a NodeKey
    try:
        fleet.connect(earlier=None)
    except (BusyKeyError, NotAdmittedError):
        return False
    finally:
        fleet.close()
    return True


def wait(until: Callable[[], bool]) -> None:
    """Give the server some time."""
    end = time.monotonic() + 120
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_key_before_a_change_opens_nothing_any_more(server: Served) -> None:
    old, new = new_node_key(), new_node_key()
    enrol(server, server.invite("ash"), secret=b"1" * 32, key=old)
    wait(lambda: is_let_in(server, old))
    enrol(server, server.invite("ash"), secret=b"2" * 32, key=new)

    assert is_let_in(server, new)
    assert not is_let_in(server, old)
    assert server.home.book().organisations()[0].node_public == new.public
    assert node_key_pem(old.public) != node_key_pem(new.public)


def test_whoever_was_revoked_while_the_server_was_down_stays_out(tmp_path: Path) -> None:
    home, key = home_in(tmp_path), new_node_key()
    with served(home) as first:
        enrol(first, first.invite("birch"), secret=b"3" * 32, key=key)
        wait(lambda: is_let_in(first, key))
    desk_work.revoke(home, "birch")
    with served(home) as second:
        assert not is_let_in(second, key)


def test_a_server_may_have_as_many_files_open_as_its_account(server: Served) -> None:
    """Else a thousand connections, which a stranger has for nothing, leave none for the book, and the server ends."""
    del server  # it is up, with its limits raised
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        restraint.allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
