"""One stack of trainings under way: steps, losses, and the parameters kept on the way.

A step is gather, gradient, FedProx, clipping, optimiser, as in `fedgap.learning.local`, for all active trainings at
once. Early stopping is decided afterwards from the parameters kept at the end of every epoch: a training that would
have stopped goes on beside the others and what it did since is forgotten, so the outcome is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.learning.packing import Batch, PackedRows, Stack, Whole
from fedgap.learning.plan import LocalTraining
from fedgap.learning.stacked_layers import StackedLayers
from fedgap.learning.stacked_optimizers import stacked_optimizer

Array = NDArray[Any]

MOST_NOTED = 256
"""Steps whose losses wait to be added up together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Which of a training's rows are held out for early stopping, as positions among its rows."""

    kept: Whole
    watched: Whole


def hold_out(plan: LocalTraining, key: int, count: int) -> Held | None:
    """Draw the rows that early stopping watches, as `local.train` does; None if the plan or the rows allow none."""
    held = max(1, round(plan.holdout * count))
    if not plan.patience or held >= count:
        return None
    order = counter.permutation(counter.key(key, "holdout"), count)
    return Held(kept=order[held:], watched=order[:held])


def best_epoch(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Decide when to stop.

    Args:
        losses: on the held-out rows, before training and after each epoch.
        patience: epochs without improvement before training stops.

    Returns:
        the epoch whose parameters are kept (0: the start), and the last epoch run.
    """
    best = 0
    for epoch, now in enumerate(losses[1:], 1):
        if now < losses[best]:
            best = epoch
        elif epoch - best >= patience:
            return best, epoch
    return best, len(losses) - 1


class StackedCourse:
    """The trainings of one stack.

    Args:
        layers: workspace for the stack's models; holds the starting parameters.
        packed: the rows.
        stack: whose turn it is when.
        plan: how; rates and lengths are the jobs' own.
        keep: for each job, after which epochs its parameters are kept.

    Attributes:
        kept: for each job, the parameters kept, one line an epoch asked for that it reached.
        loss: mean training loss of each job's last epoch, shape (J,).
        losses: for each job, that of every epoch; with early stopping only.
    """

    def __init__(
        self,
        layers: StackedLayers,
        packed: PackedRows,
        stack: Stack,
        plan: LocalTraining,
        keep: Sequence[Sequence[int]],
    ) -> None:
        self.layers, self.packed, self.stack, self.plan = layers, packed, stack, plan
        self.anchor = layers.weights.copy() if plan.prox_mu > 0 else None
        dtype = layers.weights.dtype
        lrs = np.array([job.lr for job in stack.jobs], dtype)[:, None]
        self.optimizer = stacked_optimizer(plan, lrs[:1] if (lrs == lrs[0]).all() else lrs)
        self.kept: list[list[Array]] = [[] for _ in stack.jobs]
        self.loss = np.zeros(len(stack.jobs))
        self.losses: list[list[float]] = [[] for _ in stack.jobs]
        self._keep_after: dict[int, list[int]] = {}
        for job, epochs in enumerate(keep):
            for epoch in epochs:
                self._keep_after.setdefault(epoch * int(stack.per_epoch[job]) - 1, []).append(job)
        self._last_epoch = stack.last_epoch()
        self._looked_at_from = 0 if plan.patience else int(self._last_epoch.min())
        self._noted: list[tuple[int, Array]] = []
        self._lost = np.zeros(len(stack.jobs))
        self._columns = np.arange(stack.width)
        self._even = np.array(1 / stack.width, dtype)

    def run(self) -> None:
        """Take every step."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            for batch in self.stack.batches():
                self._step(batch)
            self._close()

    def _step(self, batch: Batch) -> None:
        active, layers = batch.active, self.layers
        weights, gradient = layers.weights[:active], layers.gradient[:active]
        weight = self._even if batch.full else batch.weights(weights.dtype)[:, None]
        keys = self.stack.step_keys(batch) if layers.stack.dropout > 0 else ()
        looked_at = batch.number >= self._looked_at_from
        x, y = self.packed.x.take(batch.rows, axis=0), self.packed.y.take(batch.rows)
        lost = layers.step(x, y, weight, keys, losses=looked_at)
        if self.anchor is not None:
            gradient += self.plan.prox_mu * (weights - self.anchor[:active])
        if self.plan.clip_norm is not None:
            norm = np.sqrt(np.einsum("jd,jd->j", gradient, gradient))
            gradient *= np.minimum(self.plan.clip_norm / (norm + 1e-12), 1).astype(weights.dtype)[:, None]
        self.optimizer.step(weights, gradient)
        if lost is not None:
            self._add_up(batch, lost)
        jobs = self._keep_after.get(batch.number)
        if jobs:
            for job, vector in zip(jobs, weights[jobs], strict=True):
                self.kept[job].append(vector)

    def _add_up(self, batch: Batch, lost: Array) -> None:
        """Add the losses of the rows that count."""
        there = lost if batch.full else np.where(self._columns < batch.counts[:, None], lost, 0)
        sums = there.sum(axis=1, dtype=np.float64)
        if self.plan.patience:
            self._close_epochs(batch, sums)
            return
        self._noted.append((batch.number, sums))
        if len(self._noted) == MOST_NOTED:
            self._add_noted()

    def _close_epochs(self, batch: Batch, sums: Array) -> None:
        """Early stopping wants the mean loss of every epoch."""
        self._lost[: batch.active] += sums
        jobs = np.flatnonzero(self.stack.ends_epoch(batch))
        self.loss[jobs] = self._lost[jobs] / self.stack.sizes[jobs]
        self._lost[jobs] = 0
        for job in jobs.tolist():
            self.losses[job].append(float(self.loss[job]))

    def _add_noted(self) -> None:
        """Add up what was noted of each job's last epoch, step after step, so that the sum does not depend on J."""
        added = np.zeros((1 + len(self._noted), len(self._lost)))
        added[0] = self._lost
        for line, (number, sums) in enumerate(self._noted, 1):
            counts = self._last_epoch[: len(sums)] <= number
            added[line, : len(sums)] = np.where(counts, sums, 0)
        self._lost = np.add.accumulate(added, axis=0)[-1]
        self._noted.clear()

    def _close(self) -> None:
        """At the end: mean loss of each job's last epoch, which may have been cut short by `steps`."""
        if self.plan.patience:
            return
        self._add_noted()
        steps = self.stack.steps - self._last_epoch
        self.loss = self._lost / np.maximum(1, np.minimum(steps * self.stack.batch_size, self.stack.sizes))
