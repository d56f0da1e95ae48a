"""Behind real reverse proxies, where they are installed: with our files for them, and nginx as it comes.

Messages of several megabytes both ways, a question that is held open, who calls, a proxy that is away; then a whole
federation with nginx ended and started again between two rounds.
"""

import datetime as dt
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from fedgap.crypto import new_node_key
from fedgap.crypto.certificates import Certificate, new_ca, node_key_pem, server_certificate
from fedgap.flower import contract, gate
from fedgap.flower.contract import Request
from fedgap.flower.fleet import Fleet
from fedgap.flower.listener import Door, Listener, answer
from fedgap.flower.outbound import LinkLostError
from fedgap.flower.proxies import LOOPBACK, Behind, Proxies, Receive, Scope, Send
from fedgap.flower.superlink import SuperLink
from tests.flower.serving import free_port
from tests.integration.deployment.processes import Deployment
from tests.integration.deployment.reverse_proxy import BARE_NGINX, SHIPPED, TLS_INSIDE, ReverseProxy

pytestmark = pytest.mark.slow

SIZE = 8_000_000
HELD_S = 20


@dataclass(slots=True)
class Line:
    """A server's listener behind proxies on this machine.

    Attributes:
        folder: of its own.
        certificate, key: none in the clear, as `certificate = "proxy"` makes it.
    """

    folder: Path
    certificate: Path | None = None
    key: Path | None = None
    callers: set[str] = field(default_factory=set)
    unnamed: list[str] = field(default_factory=list)
    link: SuperLink = field(init=False)
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.link = SuperLink(self.folder)
        door = Door(self.link.fleet(), lambda *_: answer(_[2], 404, "x"), frozenset(), self.link.knows)

        async def seen(scope: Scope, receive: Receive, send: Send) -> None:
            self.callers.add(scope["client"][0])
            await door(scope, receive, send)

        self.listener = Listener(
            Behind(seen, Proxies.at(LOOPBACK), self.unnamed.append),
            host="127.0.0.1",
            port=0,
            certificate=self.certificate,
            key=self.key,
            proxies=Proxies.at(LOOPBACK),
        )

    def close(self) -> None:
        """Hang up."""
        self.link.release()
        self.listener.close()
        self.link.close()

    def leave(self, node: int, size: int) -> str:
        """Leave a message for a node."""
        request = Request(purpose="relay", federation="test", round=1, attempt=1, stage_s=60, body=os.urandom(size))
        name = self.link.send(node, contract.write_request(request), ttl_s=60, group="1", most_bytes=2 * SIZE)
        assert name is not None
        return name


@contextmanager
def behind(name: str, folder: Path, text: str | None = None) -> Iterator[tuple[Line, ReverseProxy, bytes]]:
    """A listener, a proxy in front of it, and the CA of the proxy's certificate."""
    now = dt.datetime.now(dt.UTC)
    ca = new_ca("test", now=now)
    made = server_certificate(ca, ["localhost"], now=now)
    place = folder / "proxy"
    place.mkdir()
    (place / "cert.pem").write_bytes(made.certificate)
    (place / "key.pem").write_bytes(made.key)
    (place / "ca.pem").write_bytes(ca.certificate)
    own = (place / "cert.pem", place / "key.pem") if "proxy_pass https" in (text or "") else (None, None)
    with closing(Line(folder, *own)) as line, ReverseProxy(name, place, line.listener.port, text) as proxy:
        yield line, proxy, ca.certificate


@pytest.mark.parametrize(
    ("name", "text"), [*((name, None) for name in SHIPPED), ("nginx", BARE_NGINX), ("nginx", TLS_INSIDE)]
)
def test_large_messages_and_held_questions_pass(
    tmp_path: Path, name: str, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BEGUN_FROM_ONE", 5)  # a proxy that opens a connection for each call begins more
    with behind(name, tmp_path, text) as (line, proxy, ca):
        key = new_node_key()
        number = line.link.admit(node_key_pem(key.public), "site")
        with closing(Fleet(f"https://localhost:{proxy.front}", ca=ca, key=key, moved=lambda *_: None)) as node:
            assert node.connect(earlier=None) == number
            asked: list[str] = []
            later = threading.Timer(1.0, lambda: asked.append(line.leave(number, SIZE)))
            later.start()
            announced = node.ask(wait_s=HELD_S)
            later.join()
            assert announced is not None, "the question was held until there was a message"
            incoming = node.fetch(announced)
            assert isinstance(incoming.request, Request)
            node.answer(incoming, contract.answered(incoming.request.body[::-1]), seconds=0.1)

            (arrived,) = line.link.receive(asked, most_bytes=2 * SIZE)
            assert arrived.content is not None
            assert contract.read_reply(arrived.content).body == incoming.request.body[::-1]
            assert node.ask(wait_s=1) is None
            assert bool(line.unnamed) is (text == BARE_NGINX), "who calls is not said, which the operator hears"

            proxy.stop()
            with pytest.raises(LinkLostError):
                node.ask()
            proxy.start()
            line.leave(number, 10)
            assert node.ask(wait_s=HELD_S) is not None


@pytest.mark.parametrize("name", SHIPPED)
def test_our_files_let_nobody_choose_the_address_that_limits_go_by(tmp_path: Path, name: str) -> None:
    with behind(name, tmp_path) as (line, proxy, _):
        line.callers.clear()
        lie = {"x-forwarded-for": "192.0.2.1, 192.0.2.2"}
        with httpx.Client(verify=False, trust_env=False) as stranger:  # noqa: S501 - whoever it is
            stranger.post(f"https://localhost:{proxy.front}/fedgap/v1/enrol", headers=lie)

        assert (line.callers, line.unnamed) == ({"127.0.0.1"}, [])


def test_a_federation_goes_on_when_nginx_was_away(tmp_path: Path) -> None:
    """The server speaks in the clear on loopback; nginx has the certificate, and is killed between two rounds."""
    with Deployment(tmp_path, rounds=25) as deployed:
        inner, place = free_port(), tmp_path / "proxy"
        place.mkdir()
        tls = deployed.server / "tls"
        ca = Certificate((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
        made = server_certificate(ca, ["localhost"], now=dt.datetime.now(dt.UTC))
        (place / "cert.pem").write_bytes(made.certificate)
        (place / "key.pem").write_bytes(made.key)
        front = int(deployed.address.rpartition(":")[2])
        lines = (deployed.server / "server.toml").read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("certificate", "port", "#"))]
        ours = ['certificate = "proxy"', 'trust = "own"', f"port = {inner}", ""]
        (deployed.server / "server.toml").write_text("\n".join(kept + ours))
        with ReverseProxy("nginx", place, inner, front=front) as proxy:
            deployed.start_all()
            deployed.until(lambda: deployed.sums() >= 1)
            proxy.stop()
            deployed.until(lambda: any("Trying again" in deployed.log(name) for name in deployed.names))
            proxy.start()

            assert deployed.wait_for("server") == 0
            assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        assert deployed.model_sha256() == deployed.simulated_sha256()
        assert "does not say who calls" not in deployed.log("server")
