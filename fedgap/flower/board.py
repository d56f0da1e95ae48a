"""What the server is doing, for people: kept in memory for the status page, and in a file for `fedgap server status`.

Nothing here is secret and nothing here decides anything.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fedgap import storage
from fedgap.ids import OrgId

_WRITE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLine:
    """One finished round.

    Attributes:
        round, attempt: which.
        organisations: who is in the sum.
        loss: weighted mean training loss.
        seconds: from the first invitation to the model, over all attempts.
        exchanges: seconds of each exchange.
        calls: of nodes over HTTP, all of them together.
        bytes_up, bytes_down: of messages.
        accounting_s: of `seconds`, for the ledger, the directions and all that settlement adds to a round here.
        accounting: the same by part, and the processor time of each part (see `fedgap.flower.stopwatch`).
    """

    round: int
    attempt: int
    organisations: tuple[OrgId, ...]
    loss: float
    seconds: float
    exchanges: dict[str, float]
    calls: int
    bytes_up: int
    bytes_down: int
    accounting_s: float = 0.0
    accounting: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(slots=True)
class Board:
    """The state of affairs.

    Attributes:
        path: where a copy is written, at most once a second.
        say: told every change of phase, for a person at the console.
        phase: one sentence.
        waiting_for: organisations that the server waits for, with the reason.
        rounds_planned: T.
        heard: what was heard last from each organisation, and when (seconds since 1970).
        rounds: the finished ones.
    """

    path: Path
    say: Callable[[str], None]
    phase: str = "starting"
    waiting_for: dict[str, str] = field(default_factory=dict)
    rounds_planned: int = 0
    heard: dict[str, tuple[str, float]] = field(default_factory=dict)
    rounds: list[RoundLine] = field(default_factory=list)
    _written: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def begin(self, phase: str, waiting_for: dict[str, str] | None = None) -> None:
        """Enter a phase."""
        with self._lock:
            missing = waiting_for or {}
            if (phase, missing) == (self.phase, self.waiting_for):
                return
            self.phase, self.waiting_for = phase, missing
            names = ", ".join(f"{org} ({why})" for org, why in sorted(missing.items()))
            self.say(phase + (f": {names}" if names else ""))
            self._write(at_once=True)

    def hear(self, org: OrgId, what: str) -> None:
        """Note what was heard from an organisation."""
        with self._lock:
            self.heard[org] = (what, time.time())
            self._write(at_once=False)

    def tell(self, org: OrgId, what: str) -> None:
        """Note what was heard from an organisation, and say it to whoever watches."""
        self.say(f"{org}: {what}")
        self.hear(org, what)

    def finish(self, line: RoundLine) -> None:
        """Note a finished round."""
        with self._lock:
            self.rounds.append(line)
            self._write(at_once=True)

    def document(self) -> dict[str, Any]:
        """Give everything as plain JSON values."""
        with self._lock:
            return {
                "phase": self.phase,
                "waiting_for": dict(self.waiting_for),
                "rounds_planned": self.rounds_planned,
                "heard": {org: {"what": what, "at_s": at_s} for org, (what, at_s) in self.heard.items()},
                "rounds": [asdict(line) for line in self.rounds],
                "at_s": time.time(),
            }

    def _write(self, *, at_once: bool) -> None:
        if at_once or time.monotonic() - self._written > _WRITE_S:
            self._written = time.monotonic()
            text = json.dumps(self.document(), ensure_ascii=False, allow_nan=False)
            with suppress(storage.StorageError):  # a full disk must not end a round because of a status line
                storage.replace(self.path, text.encode(), mode=storage.PRIVATE)


def read_rounds(path: Path) -> list[RoundLine]:
    """Read the finished rounds that an earlier process noted; none if the file is not there or not whole."""
    try:
        lines = json.loads(path.read_bytes())["rounds"]
        return [RoundLine(**line | {"organisations": tuple(line["organisations"])}) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return []
