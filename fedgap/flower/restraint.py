"""How long the door waits and how much it holds at once, so that strangers and liars cost little.

Who sends its request's head too slowly is cut off. A large body is read only from a node that was admitted, two at a
time from one node and a few at a time from all: a server's memory does not grow with the number of its members.
"""

import asyncio
import resource
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_S = 15.0
"""A request's head must be here so long after its first byte, and the first one so long after the connection."""

BODY_S = 120.0
"""A whole body, or a whole answer of several megabytes, must be through by then; a slow line needs 40 s for 5 MB."""

MOST_HEAD_BYTES = 1 << 16
MOST_FROM_ONE = 400
"""Connections of one address, so that it cannot take all; a reverse proxy may have more, it speaks for many."""

LARGE_BYTES = 1 << 16
ONE_NODE, EVERYBODY = 2, 6
"""Large bodies at a time."""

MOST_FILES = 1 << 16
_MOST_ADDRESSES = 4096

Protocol: Any = AutoHTTPProtocol  # of two libraries, without types that say so


@dataclass(slots=True)
class Budget:
    """How often each address may call: `most` calls in any minute, forgotten a minute later."""

    most: int
    clock: Callable[[], float] = time.monotonic
    _calls: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    def allows(self, address: str) -> bool:
        """Count a call; tell whether it is one too many."""
        now = self.clock()
        began, count = self._calls.pop(address, (now, 0))
        if now - began >= 60.0:  # noqa: PLR2004 - a minute
            began, count = now, 0
        self._calls[address] = (began, count + 1)
        while len(self._calls) > _MOST_ADDRESSES:
            self._calls.popitem(last=False)
        return count < self.most


def allow_many_files() -> None:
    """Let this process have as many files open as it may: strangers' connections must not use up those of the book."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Impatient(Protocol):  # type: ignore[misc]  # see above
    """Uvicorn's protocol, which by itself waits for a head as long as it takes."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request, unless this address has too many connections."""
        super().connection_made(transport)
        handshakes = getattr(self.config, "handshakes", None)
        if handshakes is not None:
            handshakes.end(transport.get_extra_info("peername")[:2])
        self._patience: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        same = sum(one.client is not None and one.client[:1] == (self.client or ())[:1] for one in self.connections)
        is_bounded = handshakes is not None and (self.client or ("",))[0] not in handshakes.proxies
        if is_bounded and same > MOST_FROM_ONE:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; stop to wait once a head is whole; end what has no end."""
        self._wait()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_bytes = 0
            self._stop()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(HEAD_S, self._end)

    def _stop(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class Slots:
    """Who may send or fetch something large now.

    Args:
        knows: tells whether a key, as a request's header has it, is of an admitted node.
    """

    def __init__(self, knows: Callable[[bytes], bool]) -> None:
        self._knows = knows
        self._everybody = asyncio.Semaphore(EVERYBODY)
        self._nodes: dict[bytes, asyncio.Semaphore] = {}

    def knows(self, key: bytes) -> bool:
        """Tell whether a key is of an admitted node."""
        return self._knows(key)

    @asynccontextmanager
    async def one(self, key: bytes) -> AsyncIterator[None]:
        """Wait for a turn of this node, then for one of everybody's."""
        own = self._nodes.setdefault(key, asyncio.Semaphore(ONE_NODE))
        async with own, self._everybody:
            yield
