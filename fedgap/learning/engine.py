"""The interface of all engines: one round of local training for a cohort, and the updates in name order.

An engine decides only how fast; which update comes out is fixed by `fedgap.learning.local`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.learning.rows import Rows
from fedgap.learning.vector import Vector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """An organisation in a round's cohort, with the rows it trains on."""

    org: OrgId
    rows: Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """What one organisation's local training gave.

    Attributes:
        delta: local minus global parameters, float64, shape (d,): exact differences of float32 numbers.
        loss: mean training loss of the last epoch.
        cpu_seconds: processor time of the training.
        wall_seconds: time of the training.
        notes: what a person should know about it.
    """

    org: OrgId
    delta: NDArray[np.float64]
    steps: int
    loss: float
    cpu_seconds: float
    wall_seconds: float
    notes: tuple[str, ...] = ()


class Engine(Protocol):
    """Runs the local trainings of a round."""

    name: str

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start`; yield the updates in the order of their names."""
        ...

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        ...
