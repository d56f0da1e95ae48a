"""Nodes that wait at the door: a question for messages is held open until there is one, not asked again and again.

One question a node: a newer one ends the older, whose answer might go to a process that died. A held question is a few
objects in the listener's event loop and no thread, and there are no more of them than admitted nodes.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

WAIT_HEADER = "fedgap-wait"
"""Of a question for messages: how many seconds the node would wait. Flower's own nodes do not say it, nor wait."""

MOST_WAIT_S = 20.0
"""Held no longer, whatever was asked for: proxies cut connections that are silent for 30 to 60 s."""


@dataclass(slots=True, eq=False)
class Place:
    """A node's place at the door, in the listener's event loop."""

    loop: asyncio.AbstractEventLoop
    end: float
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def wake(self, *, over: bool = False) -> None:
        """Let the node look again, or go; from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waits
            self.loop.call_soon_threadsafe(self._wake, over)

    async def wait(self, gone: asyncio.Future[Any]) -> bool:
        """Wait for a message; tell whether to look for it. Not if the time is over or the node has hung up.

        Args:
            gone: ends when the node hangs up.
        """
        left_s = self.end - self.loop.time()
        if self.over or left_s <= 0:
            return False
        woken = asyncio.ensure_future(self.woken.wait())
        try:
            done, _ = await asyncio.wait({woken, gone}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self.woken.clear()
        return done == {woken} and not self.over

    def _wake(self, over: bool) -> None:  # noqa: FBT001 - called by the loop
        self.over = self.over or over
        self.woken.set()


@dataclass(slots=True)
class Holding:
    """Who waits; called by the listener and by whoever leaves messages."""

    _places: dict[int, Place] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    @contextmanager
    def place(self, node: int, seconds: float) -> Iterator[Place]:
        """Take a place at the door; whoever stood there for the same node goes."""
        loop = asyncio.get_running_loop()
        place = Place(loop, loop.time() + min(seconds, MOST_WAIT_S))
        with self._lock:
            before = self._places.get(node)
            self._places[node] = place
            place.over = self._closed
        if before is not None:
            before.wake(over=True)
        try:
            yield place
        finally:
            with self._lock:
                if self._places.get(node) is place:
                    del self._places[node]

    def wake(self, node: int) -> None:
        """Let a node look: there is a message for it."""
        with self._lock:
            place = self._places.get(node)
        if place is not None:
            place.wake()

    def close(self) -> None:
        """Send everybody away, and hold nobody any more."""
        with self._lock:
            self._closed = True
            places = list(self._places.values())
        for place in places:
            place.wake(over=True)


def wait_of(header: str | None) -> float:
    """Read for how long a node would wait; 0 if it does not say, or not in numbers."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 4:  # noqa: PLR2004 - 9999 s
        return 0.0
    return min(float(header), MOST_WAIT_S)
