"""The sequential engine: one organisation after the other, with the code a deployed organisation runs.

With one thread it is the bit-reproducible reference that every other engine is compared with.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from fedgap.learning.engine import Member, Update
from fedgap.learning.local import LocalTraining, train
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task
from fedgap.learning.vector import Vector, build


class SequentialEngine:
    """One model, reused for every organisation."""

    name = "sequential"

    def __init__(self, task: Task, like: Rows, plan: LocalTraining, device: torch.device) -> None:
        self.plan = plan
        self.model = build(task, like, device)

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start`; yield the updates in the order of their names."""
        for member in sorted(cohort, key=lambda m: m.org):
            wall, cpu = time.perf_counter(), time.process_time()
            trained = train(self.model, start, member.rows, self.plan, member.org, round_number)
            yield Update(
                org=member.org,
                delta=trained.vector.astype(np.float64) - start.astype(np.float64),
                steps=trained.steps,
                loss=trained.loss,
                cpu_seconds=time.process_time() - cpu,
                wall_seconds=time.perf_counter() - wall,
                notes=trained.notes,
            )

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        return self.model.outputs(vector, rows)
