"""The one door to the public: TLS, a short list of paths, bounded bodies, a plain 404 for everything else.

It answers Flower's Fleet calls, health, enrolment and the status page. A request is looked at before any of Flower's
code sees it: path and method, size, and how often this address has called.
"""

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Container, MutableMapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import uvicorn

from fedgap.errors import FedgapError
from fedgap.flower.enrolment import MOST_BODY_BYTES
from fedgap.flower.gate import Handshakes, gates, household_of
from fedgap.flower.proxies import Application, Receive, Scope, Send
from fedgap.flower.restraint import BODY_S, LARGE_BYTES, Budget, Impatient, Slots

FLEET = frozenset(
    f"/v1/fleet/{call}"
    for call in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)
"""Flower's calls that a node needs. Registering, unregistering and fetching an application are not among them."""

PUSH = "/v1/fleet/push-object"
HEAVY = frozenset({PUSH, "/v1/fleet/pull-object"})
"""Calls whose bodies or answers may be large."""

KEY_HEADER = b"flwr-public-key"

MOST_FLEET_BYTES = 16 << 20
"""A piece of a large message is below 1 MiB (`fedgap.flower.PIECE_BYTES`), Flower's own 5 MB; nobody needs more."""

READS_A_MINUTE, WRITES_A_MINUTE = 3000, 120
"""Calls outside Fleet from one address: enough for a consortium behind one proxy, too few to guess a code."""

_HANG_UP = {401, 408, 413}
"""Answers after which the rest of a request's body is not waited for."""
_START_S = 20.0

KEPT_S, KEPT_BY_PROXY_S = 75, 150
"""How long an idle connection is kept. A proxy's is kept longer than the proxy keeps it (nginx 60 s, Caddy 120 s), so
that it asks into no closed one."""


class PortError(FedgapError):
    """The server cannot listen."""

    code = "server.port"
    remedy = "Choose another port in server.toml, or end what uses it; ports below 1024 need a right of their own."


class Door:
    """An ASGI application in front of two others.

    Args:
        fleet: Flower's part.
        pages: health, enrolment, status: answers what `paths` names.
        paths: method and path of those.
        knows: tells whether a node's key, as a request's header has it, was admitted.
    """

    def __init__(
        self,
        fleet: Application,
        pages: Application,
        paths: frozenset[tuple[str, str]],
        knows: Callable[[bytes], bool],
    ) -> None:
        self._fleet, self._pages, self._paths = fleet, pages, paths
        self._slots = Slots(knows)
        self._budgets = {"GET": Budget(READS_A_MINUTE), "POST": Budget(WRITES_A_MINUTE)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the right application, or answer it here."""
        if scope["type"] != "http":
            return None
        method, path = scope["method"], scope["path"]
        is_fleet = method == "POST" and path in FLEET
        if not is_fleet and (method, path) not in self._paths:
            return await answer(send, 404, "not-found")
        if not is_fleet and not self._budgets[method].allows(household_of((scope.get("client") or ("", 0))[0])):
            return await answer(send, 429, "server.busy")
        if is_fleet:
            return await self._call(scope, receive, send)
        return await _handle(self._pages, _Bounded(receive, MOST_BODY_BYTES), scope, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a Fleet call of an admitted node through, a heavy one when it is its turn."""
        path, headers = scope["path"], dict(scope["headers"])
        key, length = headers.get(KEY_HEADER, b""), headers.get(b"content-length", b"")
        if not self._slots.knows(key):  # nor one that was revoked while the server was down, which Flower still knows
            return await answer(send, 401, "enrol.unknown-node")
        if path not in HEAVY or (path == PUSH and length.isdigit() and int(length[:12]) <= LARGE_BYTES):
            return await _handle(self._fleet, _Bounded(receive, MOST_BODY_BYTES), scope, send)
        async with self._slots.one(key):
            return await _handle(self._fleet, _Bounded(receive, MOST_FLEET_BYTES), scope, send)


async def _handle(application: Application, body: "_Bounded", scope: Scope, send: Send) -> None:
    """Read the body, then let the application answer; neither may take for ever."""
    try:
        async with asyncio.timeout(BODY_S):
            is_too_large = body.announced(scope) or await body.read()
    except TimeoutError:
        return await answer(send, 408, "server.too-slow")
    if is_too_large:
        return await answer(send, 413, "server.too-large")
    with suppress(TimeoutError):  # then there is no answer, and uvicorn hangs up
        async with asyncio.timeout(BODY_S):
            return await application(scope, body.replay, send)


class _Bounded:
    """Reads a body up to a size, then plays it to the application."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most, self._body, self._played = receive, most, bytearray(), False

    def announced(self, scope: Scope) -> bool:
        """Tell whether the headers announce too much."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        return not length.isdigit() or len(length) > 12 or int(length) > self._most  # noqa: PLR2004 - digits of 1 TB

    async def read(self) -> bool:
        """Read the whole body; tell whether it is too large."""
        more = True
        while more:
            message = await self._receive()
            self._body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if len(self._body) > self._most:
                return True
        return False

    async def replay(self) -> MutableMapping[str, Any]:
        """Give the body once, then whatever comes."""
        if self._played:
            return await self._receive()
        self._played = True
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}


async def answer(send: Send, status: int, code: str) -> None:
    """Answer with a code and nothing else."""
    body = json.dumps({"error": code}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in _HANG_UP:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Listener:
    """A listener in a thread of its own; it is listening once it is made.

    Args:
        application: what answers.
        host, port: where.
        certificate, key: files of the TLS certificate; None behind a proxy on the same machine that has one.
        proxies: in front of this server; no limit of one address is theirs.

    Raises:
        PortError: not there, or not with these files.
    """

    def __init__(
        self,
        application: Application,
        *,
        host: str,
        port: int,
        certificate: Path | None,
        key: Path | None,
        proxies: Container[str] = (),
    ) -> None:
        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            lifespan="off",
            ws="none",
            loop="asyncio",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,  # `proxies.Behind` reads them
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=KEPT_BY_PROXY_S if certificate is None else KEPT_S,
            limit_concurrency=1000,
            http=Impatient,
        )
        self._server = _Quiet(config)
        self.handshakes = Handshakes(proxies=proxies)
        try:
            config.load()
            if config.ssl is not None:
                config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
                config.handshakes = self.handshakes  # type: ignore[attr-defined]  # `Impatient` finds it there
        except (OSError, ssl.SSLError) as error:
            raise PortError(f"The certificate cannot be used ({type(error).__name__}).") from error
        try:
            doors = None if config.ssl is None else gates(host, port, self.handshakes)
        except OSError as error:
            raise PortError(f"Nothing can listen on {host} port {port} ({error.strerror}).") from error
        self._thread = threading.Thread(target=self._server.run, args=(doors,), name="fedgap-listener", daemon=True)
        self._thread.start()
        began = time.monotonic()
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() - began > _START_S:
                raise PortError(f"Nothing can listen on {host} port {port}.")
            time.sleep(0.01)

    @property
    def port(self) -> int:
        """The port; useful if 0 was asked for."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def check(self) -> None:
        """Do nothing while it listens.

        Raises:
            PortError: it has ended by itself; whoever waits for members would wait for ever.
        """
        if not self._thread.is_alive():
            raise PortError("The listener has ended.", remedy="Look above for its last words; start the server again.")

    def close(self) -> None:
        """Answer what is under way, then listen no more."""
        self._server.should_exit = True
        self._thread.join()


class _Quiet(uvicorn.Server):
    """Leaves signals to the command, and does not end the process when it cannot listen."""

    def run(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's own
        """Serve until told to stop."""
        try:
            super().run(sockets)
        except SystemExit:
            return

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        """Leave signals alone."""
        return nullcontext()
