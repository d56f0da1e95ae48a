"""How much each node may still send: a member that lies must not fill the server's disk with chunks.

A node may answer what it was asked, and no more than so many bytes of it; what it sends beside is refused before it is
stored. Retries of a chunk count again, so a little more is allowed than the largest answer has.
"""

import threading
from dataclasses import dataclass, field

from fedgap.flower import PIECE_BYTES

SLACK_BYTES = 1 << 20
"""Beside the answer itself: heads, lists of chunks, a chunk that is sent twice."""

_FEW_OBJECTS = 32


@dataclass(slots=True)
class _Room:
    node: int
    most: int
    left: int


@dataclass(slots=True)
class Allowance:
    """Bytes by message; called by several threads."""

    _rooms: dict[str, _Room] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def grant(self, message: str, node: int, most_bytes: int) -> None:
        """Let a node answer a message with at most so many bytes."""
        most = most_bytes + most_bytes // 8 + SLACK_BYTES
        with self._lock:
            self._rooms[message] = _Room(node, most, most)

    def end(self, message: str) -> None:
        """Take no more answer to a message."""
        with self._lock:
            self._rooms.pop(message, None)

    def waits_for(self, message: str) -> bool:
        """Tell whether an answer to a message would still be taken."""
        with self._lock:
            return message in self._rooms

    def may_answer(self, node: int, message: str, *, objects: int, size_bytes: int) -> bool:
        """Tell whether a node may announce an answer of so many objects; the announcement counts too."""
        with self._lock:
            room = self._rooms.get(message)
            if room is None or room.node != node or objects > _FEW_OBJECTS + room.most // PIECE_BYTES:
                return False
            room.left -= size_bytes
            return room.left >= 0

    def arrived_bytes(self, message: str) -> int:
        """Tell how many bytes of the answer to a message have come."""
        with self._lock:
            room = self._rooms.get(message)
            return 0 if room is None else room.most - room.left

    def takes(self, node: int, size_bytes: int) -> bool:
        """Tell whether a node may send an object of this size, and count it."""
        with self._lock:
            for room in self._rooms.values():
                if room.node == node and room.left >= size_bytes:
                    room.left -= size_bytes
                    return True
        return False
