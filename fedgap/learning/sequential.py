"""The sequential engine: one organisation after the other, with the code a deployed organisation runs.

With one thread it is the bit-reproducible reference that every other engine is compared with.
"""

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from fedgap.learning.engine import Finished, Member, Training, Update, round_of, update_of
from fedgap.learning.local import train
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError, LocalTraining, Trained
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task
from fedgap.learning.vector import build


class SequentialEngine:
    """One model, reused for every organisation.

    Args:
        task: model and loss.
        like: what rows look like.
        plan: how a round trains.
        device: where it computes.
        dtype: float32; float64 for comparing engines.
        channels_last: keep images with their channels innermost: faster convolutions, other bits.
    """

    name = "sequential"

    def __init__(
        self,
        task: Task,
        like: Rows,
        plan: LocalTraining,
        device: torch.device,
        *,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        self.plan = plan
        self.model = build(task, like, device, dtype)
        self.model.channels_last = channels_last and like.x.ndim == 4  # noqa: PLR2004 - images: (n, c, h, w)

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run the trainings one after the other.

        Raises:
            EmptyTrainingError: one has no rows.
        """
        return [self._train(training) for training in trainings]

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
        """
        for training in round_of(start, cohort, round_number, self.plan):
            yield update_of(training, self._train(training))

    def _train(self, training: Training) -> Finished:
        wall, cpu = time.perf_counter(), time.process_time()
        answers: list[Vector] = []

        def judge(epoch: int) -> None:
            if training.watched is not None and epoch in training.judged:
                answers.append(self.model.current_outputs(training.watched))

        diverged = None
        try:
            trained = train(
                self.model,
                training.start,
                training.rows,
                training.plan,
                training.org,
                training.round_number,
                judge,
            )
        except DivergedError as error:
            diverged = error
            trained = Trained(vector=self.model.read(), steps=0, loss=math.nan)
        return Finished(
            trained=trained,
            answers=np.stack(answers) if answers else np.zeros((0, 0, 1), np.float32),
            diverged=diverged,
            cpu_seconds=time.process_time() - cpu,
            wall_seconds=time.perf_counter() - wall,
        )

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        return self.model.outputs(vector, rows)
