"""The interface of all engines: many independent trainings at once, and one round of a federation made of them.

An engine decides only how fast; what comes out is fixed by `fedgap.learning.local`. It is made with a task's model and
knows nothing of federations: a round, a fold, a learning rate, a seed are each a list of `Training`s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError, LocalTraining, Trained
from fedgap.learning.rows import Rows


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """One training that knows nothing of any other: exactly a call of `fedgap.learning.local.train`.

    Attributes:
        start: parameters it starts from, shape (d,).
        rows: what it trains on; trainings on the same rows should share the object, which is then packed once.
        plan: how.
        org: whose name seeds its randomness.
        round_number: from 1; 0 for training outside a federation.
        watched: rows that are answered on the way, or None.
        judged: after which epochs they are answered, increasing, none beyond the plan's.
    """

    start: Vector
    rows: Rows
    plan: LocalTraining
    org: OrgId
    round_number: int
    watched: Rows | None = None
    judged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """What one training gave.

    Attributes:
        trained: the parameters with their loss, steps and notes.
        answers: what the model answered on the watched rows, float32, shape (len(judged), n, outputs); NaN or infinite
            once the numbers ran away.
        diverged: in place of raising it: `trained` holds numbers that are not finite.
        cpu_seconds: processor time; of a stack, its share by steps.
        wall_seconds: likewise.
    """

    trained: Trained
    answers: NDArray[np.float32]
    diverged: DivergedError | None
    cpu_seconds: float
    wall_seconds: float

    def vector(self) -> Vector:
        """The trained parameters, float32, shape (d,).

        Raises:
            DivergedError: they are not finite.
        """
        if self.diverged is not None:
            raise self.diverged
        return np.asarray(self.trained.vector, dtype=np.float32)


class Engine(Protocol):
    """Runs trainings; one implementation must give every other's updates, to 1e-6 after one round in float32."""

    name: str
    plan: LocalTraining
    """How a round trains; `train_many` goes by the plan of each training."""

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run independent trainings; the results stand in the order of the list.

        Raises:
            EmptyTrainingError: one has no rows.
        """
        ...

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start` by `plan`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
        """
        ...

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        ...


def round_of(start: Vector, cohort: Sequence[Member], round_number: int, plan: LocalTraining) -> list[Training]:
    """The trainings of one round, in the order of the members' names."""
    return [
        Training(start=start, rows=member.rows, plan=plan, org=member.org, round_number=round_number)
        for member in sorted(cohort, key=lambda m: m.org)
    ]


def update_of(training: Training, finished: Finished) -> Update:
    """Local minus global parameters, and what the training cost.

    Raises:
        DivergedError: the training's numbers ran away.
    """
    if finished.diverged is not None:
        raise finished.diverged
    trained = finished.trained
    delta = trained.vector.astype(np.float64)
    delta -= training.start
    return Update(
        org=training.org,
        delta=delta,
        steps=trained.steps,
        loss=trained.loss,
        cpu_seconds=finished.cpu_seconds,
        wall_seconds=finished.wall_seconds,
        notes=trained.notes,
    )
