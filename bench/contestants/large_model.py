"""A deployment of a model of many parameters on few rows: what server and sites need of memory, over their whole lives.

A tiny model shows what the processes need anyway; what is beyond grows with the model, and is told in its multiples.
The task has ten linear layers one after the other and no activation, so that its training holds what any training of
so many parameters holds (parameters, gradient) and little else.
"""

import json
import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.deployment.processes import Deployment

ROUNDS = 2
"""The second one begins with a sum that is as large as the model."""

LAYERS = 10
TINY = 1_100
FLOAT_BYTES = 4
SAMPLED_S = 0.02
PATIENCE_S = 7200.0

TASK = '''
import numpy as np
from torch import nn
from fedgap.learning import Rows, Task

class Wide(Task):
    """Ten layers of so many units."""

    kind = "classification"

    def __init__(self, units):
        self.units = units

    def load(self, source):
        rng = np.random.default_rng(len(source.read_text()))
        return Rows(rng.normal(size=(8, self.units)).astype(np.float32), rng.integers(0, 10, 8))

    def model(self, rows):
        return nn.Sequential(*[nn.Linear(self.units, self.units) for _ in range(10)])
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What one deployment needed.

    Attributes:
        parameters: d.
        server_bytes, client_bytes: most resident memory of a process over its whole life; of the client that had most.
        seconds: from the first process to the end of the last.
        seconds_a_round: by the server's count, of the slowest round.
    """

    parameters: int
    server_bytes: int
    client_bytes: int
    seconds: float
    seconds_a_round: float

    @property
    def model_bytes(self) -> int:
        """Size of the model as float32."""
        return FLOAT_BYTES * self.parameters


def units_for(parameters: int) -> int:
    """How wide ten square layers with biases are that have about so many parameters."""
    return max(2, round((math.sqrt(1 + 4 * parameters / LAYERS) - 1) / 2))


@dataclass(slots=True)
class Large(Deployment):
    """Organisations that train a model of this width.

    Attributes:
        units: inputs and outputs of each of the ten layers.
        optimizer: the server's rule.
        opened: whether contributions are measured and opened at the end.
        peaks: most memory of each process so far, kept by a thread that looks all the time.
    """

    units: int = 10
    optimizer: str = "fedavg"
    opened: bool = False
    peaks: dict[str, int] = field(default_factory=dict)
    _watched: threading.Thread | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.sections = {
            "federation": {"task": "wide:Wide"},
            "task": {"label": None, "model": None, "units": self.units},
            "training": {"rounds": self.rounds, "lr": 0.001, "optimizer": "sgd"},
            "server": {"optimizer": self.optimizer},
            "secagg": {"reply_timeout_s": 1800.0},
        }
        self.files = self.files or {name: "x" * (1 + at) for at, name in enumerate(("ash", "birch", "cedar"))}
        (self.folder / "server").mkdir()
        (self.folder / "server" / "wide.py").write_text(TASK)
        if self.opened:
            self.sections["evaluation"] = {"data": "evaluation.txt"}
            (self.folder / "server" / "evaluation.txt").write_text("x" * 9)
        Deployment.__post_init__(self)
        (self.folder / "simulated" / "wide.py").write_text(TASK)

    def __enter__(self) -> Self:
        self._watched = threading.Thread(target=self._watch, daemon=True)
        self._watched.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        Deployment.__exit__(self, kind, error, at)

    def join(self, name: str) -> dict[str, Any]:
        """Install the task at the site, too."""
        (self.folder / name).mkdir()
        (self.folder / name / "wide.py").write_text(TASK)
        return Deployment.join(self, name)

    def wait_for(self, name: str) -> int:
        """Wait until a process ends, however long a large model takes."""
        return self.running[name].wait(PATIENCE_S)

    def measured(self) -> tuple[int, int]:
        """Most bytes of the server and of a client; a client's own meter may have seen more than we did."""
        counted = [
            cost["peak_bytes"] or 0
            for name in self.names
            for line in (self.folder / name / "fedgap-site" / "metering.jsonl").read_text().splitlines()
            for cost in json.loads(line)["phases"].values()
        ]
        return self.peaks["server"], max(*counted, *(self.peaks[name] for name in self.names))

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED_S):
            for name in list(self.running):
                with suppress(OSError, ValueError):  # it has just ended
                    self.peaks[name] = max(self.peaks.get(name, 0), self.peak_bytes(name))


def deploy(
    folder: Path, parameters: int, *, rounds: int = ROUNDS, optimizer: str = "fedavg", opened: bool = False
) -> Peaks:
    """Run server and sites from the invitations to the last model; see how much memory each had at most."""
    began = time.monotonic()
    units = units_for(parameters)
    with Large(folder, rounds=rounds, wait_s=PATIENCE_S, units=units, optimizer=optimizer, opened=opened) as deployed:
        deployed.start_all()
        assert deployed.wait_for("server") == 0  # noqa: S101 - a benchmark of something that fails says nothing
        for name in deployed.names:
            assert deployed.wait_for(name) == 0  # noqa: S101 - the same
        server, client = deployed.measured()
        slowest = max(line["seconds"] for line in deployed.status()["rounds"])
    return Peaks(
        parameters=LAYERS * units * (units + 1),
        server_bytes=server,
        client_bytes=client,
        seconds=time.monotonic() - began,
        seconds_a_round=slowest,
    )
