"""What the accounts of a round cost, part by part: wall time in the round's path, and processor time of whoever worked.

entries     the ledger: records, signatures, the file
directions  utility and gradients, as far as the round waited for them; processor time of all threads
commitments rounding and hashing directions, and keeping them
exchanges   what rides on the exchanges: offers, certificates, checkpoints, dossiers
late        what was done while members trained, by how long it took longer than they
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Part = Literal["entries", "directions", "commitments", "exchanges", "late"]


@dataclass(slots=True)
class Stopwatch:
    """Seconds of one round so far, by part.

    Attributes:
        wall: in the round's path.
        cpu: of the threads that worked for it.
        hidden: wall time beside members' work, what was late included.
    """

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    hidden: dict[str, float] = field(default_factory=dict)
    _inside: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def measures(self, part: Part) -> Iterator[None]:
        """Count what is done inside for a part, but for what is counted for another part inside."""
        wall, cpu, outside = time.monotonic(), time.thread_time(), self._inside
        self._inside = (0.0, 0.0)
        try:
            yield
        finally:
            wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
            self.count(part, wall_s=wall - self._inside[0], cpu_s=cpu - self._inside[1])
            self._inside = (outside[0] + wall, outside[1] + cpu)

    def count(self, part: Part, *, wall_s: float = 0.0, cpu_s: float = 0.0) -> None:
        """Add seconds to a part."""
        self.wall[part] = self.wall.get(part, 0.0) + wall_s
        self.cpu[part] = self.cpu.get(part, 0.0) + cpu_s

    @contextmanager
    def hides(self) -> Iterator[None]:
        """Count what is done inside as hidden: members are at work meanwhile."""
        path, self.wall = self.wall, {}
        try:
            yield
        finally:
            self.wall, self.hidden = path, self.wall

    def was_late(self, seconds: float) -> None:
        """Count in the round's path by how long what was hidden took longer than members' work."""
        self.count("late", wall_s=seconds)

    def take(self) -> "Stopwatch":
        """Give what was counted, and begin again."""
        taken = Stopwatch(self.wall, self.cpu, self.hidden)
        self.wall, self.cpu, self.hidden = {}, {}, {}
        return taken

    @property
    def seconds(self) -> float:
        """All wall time."""
        return sum(self.wall.values())
