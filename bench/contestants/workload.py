"""What every contestant of `bench/simulate.py` trains: the same rows, in the same order, from the same start.

A workload is one npz file. Cohorts and the order of every organisation's rows are drawn before the clock runs, so that
a contestant need not know fedgap's counter hash and all end with the same weights. Only numpy is imported here.
"""

import json
import os
import resource
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the comparison.

    Attributes:
        name: as in the table.
        clients: organisations there are.
        cohort: how many train in a round.
        rounds: how many.
        rows: fewest and most rows of an organisation; drawn log-uniformly between them.
        shape: of one row: (features,), or (channels, height, width) for the convolutional network.
        hidden: widths of the hidden layers, or channels of the convolutions.
        classes: outputs.
        batch: rows a step.
        lr: of plain SGD, one epoch a round.
    """

    name: str
    clients: int
    cohort: int
    rounds: int
    rows: tuple[int, int]
    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    classes: int
    batch: int = 16
    lr: float = 0.1

    @property
    def convolutional(self) -> bool:
        """Whether rows are images."""
        return len(self.shape) > 1


@dataclass(frozen=True, eq=False)
class Workload:
    """A cell with its data.

    Attributes:
        x: all rows, float32, shape (n, ...).
        y: class numbers, int64, shape (n,).
        offsets: where each organisation's rows begin, and the end; shape (clients + 1,).
        cohorts: numbers of the organisations of each round, sorted; shape (rounds, cohort).
        orders: for each round and place in its cohort the order of the rows, one after the other; shape (sum,).
        places: where each of these orders begins; shape (rounds * cohort + 1,).
        start: w_0, float32, shape (d,).
    """

    cell: Cell
    x: Floats
    y: Ints
    offsets: Ints
    cohorts: Ints
    orders: Ints
    places: Ints
    start: Floats

    @cached_property
    def names(self) -> list[str]:
        """Name of each organisation; they sort like their numbers."""
        return [name_of(number) for number in range(self.cell.clients)]

    def rows(self, client: int) -> tuple[Floats, Ints]:
        """An organisation's rows, as it has them."""
        part = slice(self.offsets[client], self.offsets[client + 1])
        return self.x[part], self.y[part]

    def order(self, round_index: int, place: int) -> Ints:
        """Order of the rows of the organisation at this place of the cohort, for one round's single epoch."""
        which = round_index * self.cell.cohort + place
        return self.orders[self.places[which] : self.places[which + 1]]

    def save(self, path: Path) -> None:
        """Write the file contestants read."""
        np.savez(
            path,
            x=self.x,
            y=self.y,
            offsets=self.offsets,
            cohorts=self.cohorts,
            orders=self.orders,
            places=self.places,
            start=self.start,
            cell=np.array(json.dumps(asdict(self.cell))),
        )


def name_of(number: int) -> str:
    """Name of organisation `number`."""
    return f"org-{number:07d}"


def load(path: str | Path) -> Workload:
    """Read a workload."""
    with np.load(path, allow_pickle=False) as file:
        described: dict[str, Any] = json.loads(str(file["cell"]))
        cell = Cell(**(described | {key: tuple(described[key]) for key in ("rows", "shape", "hidden")}))
        names = ("x", "y", "offsets", "cohorts", "orders", "places", "start")
        return Workload(cell, *(file[name] for name in names))


class Clock:
    """Notes processor and wall time at the end of every round."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.first_round_at = 0.0

    def round_ended(self) -> None:
        """Take the time."""
        self.cpu.append(self.cpu_now())
        self.wall.append(time.perf_counter())
        if not self.first_round_at:
            self.first_round_at = time.time()

    def cpu_now(self) -> float:
        """Processor seconds of this process so far."""
        return time.process_time()

    def peak_bytes(self) -> int:
        """Most memory this process has had; Linux's ru_maxrss would count what the parent had when it forked."""
        status = Path("/proc/self/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
            return 1024 * int(lines["VmHWM"].split()[0])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def report(self, model: Floats, **more: Any) -> None:  # noqa: ANN401 - JSON values
        """Save the final weights and print what was measured; the last line of a contestant."""
        np.save(os.environ["BENCH_MODEL"], model)
        figures = {
            "cpu": self.cpu,
            "wall": self.wall,
            "first_round_at": self.first_round_at,
            "peak_bytes": self.peak_bytes(),
        }
        print(json.dumps(figures | more))
