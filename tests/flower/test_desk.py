"""The enrolment desk over real TLS: only the invited server is believed, and odd answers become typed errors."""

import datetime as dt
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fedgap.crypto import new_node_key
from fedgap.crypto.certificates import Certificate, fingerprint, new_ca, server_certificate
from fedgap.errors import FedgapError
from fedgap.flower import desk as desks
from fedgap.flower.desk import Desk, fetch_ca
from fedgap.flower.egress import EgressLog, read_egress
from fedgap.flower.enrolment import ApproveRequest, Invite
from fedgap.flower.fleet import Fleet
from fedgap.flower.outbound import LinkLostError
from fedgap.ids import FederationId, OrgId

NOW = dt.datetime.now(dt.UTC)
APPROVAL = ApproveRequest(organisation="ash", manifest="ab" * 32, signature="cd" * 64)


class Answers(BaseHTTPRequestHandler):
    """Gives every request the same answer."""

    status, body, encoding = 200, b"{}", ""

    def do_GET(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        if self.encoding:
            self.send_header("content-encoding", self.encoding)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def ca() -> Certificate:
    """The CA of the invited server."""
    return new_ca("invited", now=NOW)


@contextmanager
def served(folder: Path, ca: Certificate | None, status: int, body: bytes, encoding: str = "") -> Iterator[str]:
    """A server on loopback with a certificate of this CA, or without TLS; gives its address as invitations have it."""
    handler = type("Handler", (Answers,), {"status": status, "body": body, "encoding": encoding})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if ca is not None:
        own = server_certificate(ca, ["127.0.0.1"], now=NOW)
        (folder / "chain.pem").write_bytes(own.certificate)
        (folder / "key.pem").write_bytes(own.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are expected
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(
    folder: Path, ca: Certificate, what: Callable[[Desk], object], *, status: int = 200, body: bytes = b"{}"
) -> FedgapError | None:
    """Ask a server that answers like this; give the error, if there is one."""
    with served(folder, ca, status, body) as address, EgressLog(folder / "egress.jsonl", to=address) as log:
        try:
            what(Desk(address, ca=ca.certificate.decode(), egress=log))
        except FedgapError as error:
            return error
    return None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, b"", "link.not-admitted"),
        (407, b"", "link.proxy"),
        (410, b'{"error": "enrol.expired"}', "enrol.expired"),
        (409, b'{"error": "enrol.refused"}', "enrol.refused"),
        (400, b'{"error": "enrol.bad-request"}', "client.server-refuses"),
        (400, b'{"error": 7}', "link.lost"),
        (502, b"<html>proxy</html>", "link.lost"),
        (200, b"<html>portal</html>", "client.odd-answer"),
        (200, b"{}", "client.odd-answer"),
        (200, b"\xff\xfe", "client.odd-answer"),
    ],
)
def test_what_the_server_says_becomes_a_typed_error(
    tmp_path: Path, ca: Certificate, status: int, body: bytes, code: str
) -> None:
    error = asked(tmp_path, ca, Desk.manifest, status=status, body=body)

    assert error is not None
    assert error.code == code


def test_an_answer_that_is_not_packed_as_it_says_is_a_lost_link(tmp_path: Path, ca: Certificate) -> None:
    """Proxies that look into what passes do that; it must not end the client."""
    with served(tmp_path, ca, 200, b"not gzip", "gzip") as address, EgressLog(tmp_path / "log", to=address) as log:
        with pytest.raises(FedgapError) as odd:
            Desk(address, ca=ca.certificate.decode(), egress=log).manifest()
        with (
            closing(Fleet(address, ca=ca.certificate, key=new_node_key(), moved=lambda *_: None)) as fleet,
            pytest.raises(LinkLostError),
        ):
            fleet.connect(earlier=None)
    assert odd.value.code == "link.lost"


def test_a_signature_is_in_the_egress_log_also_if_the_server_refuses_it(tmp_path: Path, ca: Certificate) -> None:
    assert asked(tmp_path, ca, lambda desk: desk.approve(APPROVAL)) is None
    assert asked(tmp_path, ca, lambda desk: desk.approve(APPROVAL), status=500) is not None

    sent = len(APPROVAL.model_dump_json())
    assert [(line["purpose"], line["bytes"]) for line in read_egress(tmp_path / "egress.jsonl")] == [
        ("approve", sent),
        ("approve", sent),
    ]


def test_an_answer_without_end_is_cut_off(tmp_path: Path, ca: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_ANSWER_BYTES", 1000)
    error = asked(tmp_path, ca, Desk.manifest, body=b" " * 5000)

    assert error is not None
    assert error.code == "client.odd-answer"


def test_a_server_of_another_ca_hears_nothing(tmp_path: Path, ca: Certificate) -> None:
    other = new_ca("other", now=NOW)
    with (
        served(tmp_path, other, 200, b"{}") as address,
        EgressLog(tmp_path / "log", to=address) as log,
        pytest.raises(FedgapError) as refused,
    ):
        Desk(address, ca=ca.certificate.decode(), egress=log).health()
    assert refused.value.code == "link.wrong-certificate"


def test_a_server_without_tls_is_told_apart(tmp_path: Path, ca: Certificate) -> None:
    with (
        served(tmp_path, None, 200, b"{}") as address,
        EgressLog(tmp_path / "log", to=address) as log,
        pytest.raises(FedgapError, match="TLS"),
    ):
        Desk(address, ca=ca.certificate.decode(), egress=log).health()


def test_a_server_that_is_away_is_a_lost_link(tmp_path: Path) -> None:
    with EgressLog(tmp_path / "log", to="x") as log, pytest.raises(FedgapError) as refused:
        Desk("https://127.0.0.1:9", ca=None, egress=log).health()
    assert refused.value.code == "link.lost"


def invite(address: str, ca: bytes) -> Invite:
    """An invitation to this server with this fingerprint."""
    names = {"federation": FederationId("tiny"), "organisation": OrgId("ash")}
    return Invite(address=address, ca=ca, code=bytes(16), expires_s=2**40, **names)  # type: ignore[arg-type]  # as named


def test_the_ca_is_taken_if_its_fingerprint_is_the_invitations(tmp_path: Path, ca: Certificate) -> None:
    with served(tmp_path, ca, 200, ca.certificate) as address:
        assert fetch_ca(invite(address, fingerprint(ca.certificate))) == ca.certificate.decode()
        with pytest.raises(FedgapError) as refused:
            fetch_ca(invite(address, bytes(32)))
    assert refused.value.code == "enrol.wrong-fingerprint"
    assert fetch_ca(invite("https://127.0.0.1:9", b"")) is None


@pytest.mark.parametrize("body", [b"", b"\xff", json.dumps({"ca": 1}).encode()])
def test_what_is_no_certificate_is_refused(tmp_path: Path, ca: Certificate, body: bytes) -> None:
    with served(tmp_path, ca, 200, body) as address, pytest.raises(FedgapError) as refused:
        fetch_ca(invite(address, fingerprint(ca.certificate)))
    assert refused.value.code in {"client.odd-answer", "enrol.wrong-fingerprint"}
