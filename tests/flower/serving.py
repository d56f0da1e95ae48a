"""A server in this process, over TLS on loopback, for tests of its door; and the fingerprints of an honest site."""

import datetime as dt
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fedgap.crypto import Identity, NodeKey, new_node_key
from fedgap.errors import FedgapError
from fedgap.flower import desk_work
from fedgap.flower.enrolment import ENROL, Invite, read_invite, sign_enrolment
from fedgap.flower.fleet import Fleet
from fedgap.flower.home import Home, make_home
from fedgap.flower.service import serve
from tests.simulation.tiny import write


def now() -> dt.datetime:
    """The time."""
    return dt.datetime.now(dt.UTC)


def free_port() -> int:
    """A port that nobody has at the moment, and that no outgoing connection is given in the next: below those."""
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def without_data(federation: Path) -> str:
    """A federation's file as an operator has it: no organisation's data in it."""
    plan, *organisations = federation.read_text().split("[[organisation]]\n")
    lines = [line for one in organisations for line in ("[[organisation]]", *one.splitlines())]
    return plan + "\n".join(line for line in lines if not line.startswith("data =")) + "\n"


def home_in(folder: Path, **sections: Any) -> Home:  # noqa: ANN401 - passed on to `write`
    """A server's folder for the tiny federation, listening on loopback."""
    (folder / "simulated").mkdir(parents=True)
    federation = write(folder / "simulated", **sections)
    (folder / "server").mkdir()
    (folder / "server" / "federation.toml").write_text(without_data(federation))
    port = free_port()
    address = f"https://localhost:{port}"
    return make_home(
        folder / "server", address=address, listen=("127.0.0.1", port), certificate="own", now=dt.datetime.now(dt.UTC)
    )


@dataclass(slots=True)
class Served:
    """A running server."""

    home: Home
    said: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    ended: list[FedgapError] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.home.operator().address

    @property
    def ca(self) -> bytes:
        """The CA of its own."""
        return (self.home.tls / "ca.pem").read_bytes()

    def http(self) -> httpx.Client:
        """A client that trusts this CA and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.decode())
        return httpx.Client(base_url=self.address, verify=context, trust_env=False, timeout=20)

    def invite(self, org: str, *, confirm: bool = False) -> Invite:
        """Invite an organisation."""
        text = desk_work.invite(self.home, org, confirm=confirm, now_s=time.time()).text
        return read_invite(text, now_s=time.time())

    def fleet(self, key: NodeKey) -> Fleet:
        """A node with this key."""
        return Fleet(self.address, ca=self.ca, key=key, moved=lambda *_: None)

    def run(self) -> None:
        """Serve until stopped."""
        try:
            serve(self.home, say=self.said.append, stopped=self.stop.is_set, wait_s=600)
        except FedgapError as error:
            self.ended.append(error)


@contextmanager
def served(home: Home) -> Iterator[Served]:
    """Run a server in a thread until the block is left."""
    server = Served(home)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 60
        while not any(line.startswith("listening") for line in server.said):
            assert thread.is_alive(), server.ended
            assert time.monotonic() < end
            time.sleep(0.02)
        yield server
    finally:
        server.stop.set()
        thread.join(120)
        assert not thread.is_alive(), "the server does not end"


def enrol(server: Served, invite: Invite, *, secret: bytes, key: NodeKey) -> httpx.Response:
    """Join as a site would."""
    request = sign_enrolment(Identity(secret), invite, key.public)
    with server.http() as http:
        return http.post(ENROL, content=request.model_dump_json())


__all__ = ["NodeKey", "Served", "enrol", "free_port", "home_in", "new_node_key", "now", "served", "without_data"]
