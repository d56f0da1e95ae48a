"""The course of one stack of trainings: from packed rows, step by step, to the trained parameters and their losses.

J trainings in a stack, A of them active in a step, b rows in a batch, d parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgap.learning.packing import PackedRows
from fedgap.learning.stacking import Batch, Stack

Floats = NDArray[np.float32] | NDArray[np.float64]


class Course(Protocol):
    """Trainings under way in a kernel."""

    def step(self, x: Tensor, y: Tensor, weights: Tensor | None, keys: Sequence[int]) -> Tensor:
        """Take one step with the first A models.

        Args:
            x: inputs, shape (A, b, ...).
            y: targets, shape (A, b).
            weights: of each row in its model's mean loss, shape (A, b); None: all 1 / b.
            keys: of each model's step, if the kernel needs them.

        Returns:
            mean loss of each model before the step, shape (A,).
        """
        ...

    def vectors(self) -> Tensor:
        """The parameters of all models, shape (J, d)."""
        ...


class Kernel(Protocol):
    """Computes the steps of a stack."""

    name: str
    bytes_a_job: int
    """What a step touches for each training, more or less."""

    @property
    def needs_keys(self) -> bool:
        """Whether a step depends on its key."""
        ...

    def begin(self, start: Tensor, lr: Tensor) -> Course:
        """Start trainings from `start`, shape (J, d), which may be overwritten, with learning rates of shape (J,)."""
        ...


class DeviceRows:
    """Packed rows as tensors where the engine computes.

    Args:
        packed: the rows.
        shape: of one row.
        device: where to.
    """

    def __init__(self, packed: PackedRows, shape: tuple[int, ...], device: torch.device) -> None:
        self.device = device
        self.x = torch.from_numpy(packed.x[: packed.used]).reshape(-1, *shape).to(device)
        self.y = torch.from_numpy(packed.y[: packed.used]).to(device)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs (A, b, ...), targets (A, b) and weights (A, b), or None if all rows count."""
        lines = torch.from_numpy(batch.rows).to(self.device)
        flat = lines.reshape(-1)
        x = self.x.index_select(0, flat).reshape(*lines.shape, *self.x.shape[1:])
        y = self.y.index_select(0, flat).reshape(lines.shape)
        if batch.full:
            return x, y, None
        kind = np.float64 if self.x.dtype == torch.float64 else np.float32
        return x, y, torch.from_numpy(batch.weights(kind)).to(self.device)


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """What a stack's trainings gave, in the stack's order.

    Attributes:
        vectors: trained parameters, shape (J, d).
        losses: mean loss a row over each one's last epoch, before each step; shape (J,).
    """

    vectors: Floats
    losses: NDArray[np.float64]


AfterEpoch = Callable[[int, int, Callable[[], Floats]], None]
"""Told the training's place in the stack and the epoch that ended, from 1; the third argument reads its parameters."""


def run_stack(
    kernel: Kernel, stack: Stack, data: DeviceRows, start: Tensor, lr: Tensor, after_epoch: AfterEpoch | None = None
) -> Ended:
    """Run all trainings of a stack to their ends.

    Args:
        kernel: computes the steps.
        stack: who trains on which rows for how long.
        data: the rows.
        start: starting parameters, shape (J, d); may be overwritten.
        lr: learning rates, shape (J,).
        after_epoch: watches trainings on their way.
    """
    course = kernel.begin(start, lr)
    longest, jobs = int(stack.steps[0]), len(stack.jobs)
    means = torch.zeros((longest, jobs), dtype=start.dtype, device=start.device)
    counts = np.zeros((longest, jobs), np.int64)
    for batch in stack.batches():
        x, y, weights = data.take(batch)
        keys = stack.step_keys(batch) if kernel.needs_keys else ()
        means[batch.number, : batch.active] = course.step(x, y, weights, keys)
        counts[batch.number, : batch.active] = batch.counts
        if after_epoch is not None:
            for place in np.flatnonzero(stack.ends_epoch(batch)).tolist():
                epoch = (batch.number + 1) // int(stack.per_epoch[place])
                after_epoch(place, epoch, lambda place=place: _line(course, place))  # type: ignore[misc]
    in_last = np.arange(longest)[:, None] >= stack.last_epoch()
    counted = np.where(in_last, counts, 0)
    summed = np.where(counted > 0, means.cpu().numpy().astype(np.float64) * counted, 0.0).sum(axis=0)
    return Ended(course.vectors().detach().cpu().numpy(), summed / counted.sum(axis=0))


def _line(course: Course, place: int) -> Floats:
    made: Floats = course.vectors()[place].detach().cpu().numpy().copy()
    return made
