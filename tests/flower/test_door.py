"""What the public can do at the one port: enrol with a code, read what is public, and speak Fleet if admitted."""

import base64
import http.client
import ssl
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

from fedgap.crypto import Identity
from fedgap.crypto.certificates import node_key_pem
from fedgap.flower import desk_work, enrolment
from fedgap.flower.enrolment import APPROVE, CA, ENROL, HEALTH, MANIFEST, MOST_BODY_BYTES, EnrolReply, ManifestReply
from fedgap.flower.fleet import BusyKeyError, Fleet, NotAdmittedError
from fedgap.flower.listener import FLEET, MOST_FLEET_BYTES, WRITES_A_MINUTE
from fedgap.flower.outbound import LinkLostError, WrongCertificateError
from fedgap.flower.restraint import Budget
from tests.flower.serving import Served, enrol, home_in, new_node_key, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests here."""
    with served(home_in(tmp_path_factory.mktemp("door"))) as server:
        yield server


def test_no_path_of_flowers_control_and_runtime_apis_is_there(server: Served) -> None:
    probed = [(method, path) for method, path in PROTOBUF_REQUEST_TYPES if not path.startswith("/v1/fleet/")]
    assert len(probed) > 50
    others = [("GET", path) for path in ("/docs", "/openapi.json", "/redoc", "/metrics", "/v1/fleet", "/fedgap/v1")]
    odd = [
        ("POST", path) for path in ("/v1/fleet/register-node", "/v1/fleet/get-fab", "/v1/fleet/../control/list-runs")
    ]
    with server.http() as http:
        for method, path in [*probed, *others, *odd]:
            assert (path, http.request(method, path).status_code) == (path, 404)
        for path in FLEET:
            assert (path, http.get(path).status_code) == (path, 404)
        for path in (ENROL, APPROVE):
            assert http.get(path).status_code == 404
        assert http.post("/").status_code == 404


def test_health_ca_manifest_and_page_are_public(server: Served) -> None:
    with server.http() as http:
        assert http.get(HEALTH).json() == {"status": "ok"}
        assert http.get(CA).content == server.ca
        about = ManifestReply.model_validate_json(http.get(MANIFEST).content)
        page = http.get("/")
    assert about.current is None
    assert [organisation["id"] for organisation in about.federation["organisation"]] == ["ash", "birch", "cedar"]
    assert "ash" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_node_that_nobody_admitted_gets_no_answer(server: Served) -> None:
    with closing(server.fleet(new_node_key())) as stranger, pytest.raises((BusyKeyError, NotAdmittedError)):
        stranger.connect(earlier=None)
    with server.http() as http:
        for path in FLEET:
            answer = http.post(path, content=b"", headers={"content-type": "application/x-protobuf"})
            assert answer.status_code in {400, 401, 415, 422}, path


def test_an_invited_organisation_joins_once_and_connects_until_it_is_revoked(server: Served) -> None:
    invite, key = server.invite("ash"), new_node_key()
    answer = enrol(server, invite, secret=b"a" * 32, key=key)
    assert EnrolReply.model_validate_json(answer.content).status == "approved"
    assert enrol(server, invite, secret=b"a" * 32, key=key).status_code == 200

    for secret, other in ((b"b" * 32, key), (b"a" * 32, new_node_key())):
        refused = enrol(server, invite, secret=secret, key=other)
        assert (refused.status_code, refused.json()) == (409, {"error": "enrol.refused"})
    fleet = server.fleet(key)
    assert fleet.connect(earlier=None) > 0
    assert fleet.ask() is None
    desk_work.revoke(server.home, "ash")
    with pytest.raises(NotAdmittedError):
        deque((fleet.ask() for _ in range(100)), maxlen=0)
    fleet.close()


def test_an_organisation_that_needs_approval_connects_only_after_it(server: Served) -> None:
    invite, key = server.invite("birch", confirm=True), new_node_key()
    answer = EnrolReply.model_validate_json(enrol(server, invite, secret=b"b" * 32, key=key).content)
    assert answer.status == "waiting"
    with closing(server.fleet(key)) as waiting, pytest.raises((BusyKeyError, NotAdmittedError)):
        waiting.connect(earlier=None)
    words = desk_work.approve(server.home, "birch")
    assert words == enrolment.spoken(invite.organisation, Identity(b"b" * 32).public, key.public)
    enrol(server, invite, secret=b"b" * 32, key=key)
    fleet = server.fleet(key)
    assert fleet.connect(earlier=None) > 0
    fleet.close()


def test_bodies_are_bounded_and_malformed_ones_get_a_code_only(server: Served) -> None:
    key = new_node_key()
    enrol(server, server.invite("cedar"), secret=b"c" * 32, key=key)
    with server.http() as http:
        assert http.post(ENROL, content=b"x" * (MOST_BODY_BYTES + 1)).status_code == 413
        known = {FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(node_key_pem(key.public)).decode()}
        large = http.post("/v1/fleet/push-object", content=b"x" * (MOST_FLEET_BYTES + 1), headers=known)
        assert large.status_code == 413
        chunks = (b"x" * 65536 for _ in range(20))
        assert http.post(ENROL, content=chunks).status_code == 413
        for body in (b"", b"{", b"[]", b'{"code": 1}', b"\xff", b'{"organisation": "' + b"a" * 10000 + b'"}'):
            for path in (ENROL, APPROVE):
                answer = http.post(path, content=body)
                assert (answer.status_code, answer.json()) == (409, {"error": "enrol.bad-request"})


def test_nobody_signs_for_somebody_else_or_for_a_manifest_that_is_none(server: Served) -> None:
    for organisation in ("ash", "cedar", "nobody"):
        body = {"organisation": organisation, "manifest": "00" * 32, "signature": "00" * 64}
        with server.http() as http:
            answer = http.post(APPROVE, json=body)
        assert answer.json() == {"error": "enrol.bad-request"}


def test_a_client_without_tls_and_one_with_another_ca_learn_nothing(server: Served) -> None:
    where = urlsplit(server.address)
    plain = http.client.HTTPConnection("127.0.0.1", where.port, timeout=10)
    plain.request("GET", HEALTH)
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):
        plain.getresponse()
    plain.close()
    stranger = Fleet(server.address, ca=None, key=new_node_key(), moved=lambda *_: None)
    with pytest.raises((WrongCertificateError, LinkLostError)):
        stranger.connect(earlier=None)
    stranger.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert old.minimum_version <= ssl.TLSVersion.TLSv1_2


def test_many_at_once_are_answered(server: Served) -> None:
    def ask(_: int) -> int:
        with server.http() as http:
            return http.get(HEALTH).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {200}


def test_an_address_may_call_so_often_in_a_minute_and_is_forgotten_afterwards() -> None:
    now = 0.0
    budget = Budget(WRITES_A_MINUTE, clock=lambda: now)

    assert [budget.allows("a") for _ in range(WRITES_A_MINUTE + 1)] == [True] * WRITES_A_MINUTE + [False]
    assert budget.allows("b")
    now = 61.0
    assert budget.allows("a")
    for address in range(10_000):
        budget.allows(str(address))
    assert len(budget._calls) <= 4096
