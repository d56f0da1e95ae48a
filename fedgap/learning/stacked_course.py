"""One stack of trainings under way: steps, losses, and the parameters kept on the way.

A step is gather, gradient, FedProx, clipping, optimiser, as in `fedgap.learning.local`, for all active trainings at
once. Early stopping is decided afterwards from the parameters kept at the end of every epoch: a training that would
have stopped goes on beside the others and what it did since is forgotten, so the outcome is the same.

Bare SGD, without momentum, weight decay, FedProx and clipping, needs no multiplication of the gradient: the weights
of the rows in the mean loss are multiplied by the learning rate instead, which are far fewer numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.learning.packing import PackedRows, Whole
from fedgap.learning.plan import LocalTraining
from fedgap.learning.stacked_layers import StackedLayers
from fedgap.learning.stacked_optimizers import stacked_optimizer
from fedgap.learning.stacked_slopes import BINARY, row_losses
from fedgap.learning.stacking import Batch, Stack, Window, weights

Array = NDArray[Any]

MOST_NOTED = 2**17
"""Outputs that wait until the losses of their rows are computed together."""


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
        dtype = layers.weights.dtype
        self.anchor = layers.weights.copy() if plan.prox_mu > 0 else None
        lrs = np.array([job.lr for job in stack.jobs], dtype)[:, None]
        self._bare = plan.optimizer == "sgd" and not (plan.weight_decay or plan.prox_mu) and plan.clip_norm is None
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
        self._noted: list[tuple[Batch, Array, Array]] = []
        self._waiting = 0
        self._lost = np.zeros(len(stack.jobs))
        self._columns = np.arange(stack.width)
        self._factors = lrs[:, :, None] if self._bare else np.ones((len(lrs), 1, 1), dtype)
        self._even = self._factors / stack.width

    def run(self) -> None:
        """Take every step."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            for window in self.stack.windows():
                self._take(window)
            self._close()

    def _take(self, window: Window) -> None:
        """Take the steps of a window; what can be is computed for all of them."""
        layers = self.layers
        targets = self.packed.y.take(window.rows)
        if layers.stack.loss == "softmax" and layers.stack.widths[-1] == BINARY:
            targets = targets.astype(layers.weights.dtype)
        shares = None
        if not all(window.full):
            shares = weights(window.counts, self.stack.width, layers.weights.dtype)[:, :, None] * self._factors
        for line, batch in enumerate(window.batches()):
            active = batch.active
            share = self._even[:active] if batch.full or shares is None else shares[line, :active]
            self._step(batch, targets[line, :active], share)

    def _step(self, batch: Batch, y: Array, share: Array) -> None:
        active, layers = batch.active, self.layers
        weights, gradient = layers.weights[:active], layers.gradient[:active]
        keys = self.stack.step_keys(batch) if layers.stack.dropout > 0 else ()
        x = self.packed.x.take(batch.rows, axis=0)
        z = layers.forward(x, keys)
        if batch.number >= self._looked_at_from:
            self._note(batch, z.copy(), y)
        layers.backward(x, y, share)
        if self._bare:
            weights -= gradient
        else:
            self._descend(weights, gradient)
        jobs = self._keep_after.get(batch.number)
        if jobs:
            for job, vector in zip(jobs, weights[jobs], strict=True):
                self.kept[job].append(vector)

    def _descend(self, weights: Array, gradient: Array) -> None:
        """FedProx, clipping and the optimiser's step."""
        if self.anchor is not None:
            gradient += self.plan.prox_mu * (weights - self.anchor[: len(weights)])
        if self.plan.clip_norm is not None:
            norm = np.sqrt(np.einsum("jd,jd->j", gradient, gradient))
            gradient *= np.minimum(self.plan.clip_norm / (norm + 1e-12), 1).astype(weights.dtype)[:, None]
        self.optimizer.step(weights, gradient)

    def _note(self, batch: Batch, outputs: Array, y: Array) -> None:
        """Remember what a step's models answered, until there is enough to compute losses of."""
        self._noted.append((batch, outputs, y))
        self._waiting += outputs.size
        if self._waiting > MOST_NOTED:
            self._add_noted()

    def _add_noted(self) -> None:
        """Add the losses of the rows that count, step after step, so that the sums do not depend on J."""
        if not self._noted:
            return
        lost = row_losses(
            self.layers.stack.loss,
            np.concatenate([outputs for _, outputs, _ in self._noted]),
            np.concatenate([y for _, _, y in self._noted]),
        )
        counts = np.concatenate([batch.counts for batch, _, _ in self._noted])
        lost[self._columns >= counts[:, None]] = 0
        sums = lost.sum(axis=1, dtype=np.float64)
        first = 0
        for batch, _, _ in self._noted:
            of_step = sums[first : first + batch.active]
            first += batch.active
            if self.plan.patience:
                self._close_epochs(batch, of_step)
            else:
                self._lost[: batch.active] += np.where(self._last_epoch[: batch.active] <= batch.number, of_step, 0)
        self._noted.clear()
        self._waiting = 0

    def _close_epochs(self, batch: Batch, sums: Array) -> None:
        """Early stopping wants the mean loss of every epoch."""
        self._lost[: batch.active] += sums
        jobs = np.flatnonzero(self.stack.ends_epoch(batch))
        self.loss[jobs] = self._lost[jobs] / self.stack.sizes[jobs]
        self._lost[jobs] = 0
        for job in jobs.tolist():
            self.losses[job].append(float(self.loss[job]))

    def _close(self) -> None:
        """At the end: mean loss of each job's last epoch, which may have been cut short by `steps`."""
        self._add_noted()
        if self.plan.patience:
            return
        steps = self.stack.steps - self._last_epoch
        self.loss = self._lost / np.maximum(1, np.minimum(steps * self.stack.batch_size, self.stack.sizes))
