"""Local training: what one organisation does with its rows in one round. One definition for simulation and deployment.

Everything random is a function of (study seed, round, organisation name, epoch, step): the order of the rows, dropout,
the held-out part. An organisation computes its own part knowing nobody else, and every engine must give this update.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgap import counter
from fedgap.ids import OrgId
from fedgap.learning.optimizers import optimizer
from fedgap.learning.plan import EmptyTrainingError, LocalTraining, Trained
from fedgap.learning.rows import Rows
from fedgap.learning.vector import FlatModel


def train(
    model: FlatModel,
    start: NDArray[np.float32] | NDArray[np.float64],
    rows: Rows,
    plan: LocalTraining,
    who: OrgId,
    round_number: int,
    after_epoch: Callable[[int], None] | None = None,
) -> Trained:
    """Train from `start` on an organisation's rows.

    Args:
        model: workspace; holds the trained parameters afterwards.
        start: the global model, shape (d,).
        rows: the organisation's training rows, n >= 1.
        plan: how.
        who: the organisation; its name seeds its randomness.
        round_number: from 1; 0 for training outside a federation.
        after_epoch: called with the epoch's number, from 1, when it ended; may read the model, must not change it.

    Raises:
        EmptyTrainingError: no rows.
        DivergedError: a parameter or the loss is not finite at the end.
    """
    if len(rows) == 0:
        raise EmptyTrainingError(f"Organisation {who} has no training rows.")
    course = _Course(model, start, plan, counter.key(plan.seed, "train", round_number, str(who)))
    if plan.patience > 0:
        loss, kept = _until_no_better(course, rows, plan, after_epoch)
    else:
        loss, kept = _for_a_fixed_time(course, rows, plan, after_epoch), None
    steps, notes = course.steps, tuple(course.notes)
    del course  # what the optimiser remembers may be twice the model
    vector = model.read() if kept is None else kept
    trained = Trained(vector=vector, steps=steps, loss=loss, notes=notes)
    trained.check_finite(who, round_number)
    return trained


def _for_a_fixed_time(
    course: "_Course", rows: Rows, plan: LocalTraining, after_epoch: Callable[[int], None] | None
) -> float:
    x, y = course.model.batch(rows)
    epoch, loss = 0, 0.0
    while course.steps < plan.steps if plan.steps is not None else epoch < (plan.epochs or 0):
        left = None if plan.steps is None else plan.steps - course.steps
        loss = course.epoch(x, y, epoch, left)
        epoch += 1
        if after_epoch is not None:
            after_epoch(epoch)
    return loss


def _until_no_better(
    course: "_Course", rows: Rows, plan: LocalTraining, after_epoch: Callable[[int], None] | None
) -> tuple[float, NDArray[np.float32] | NDArray[np.float64] | None]:
    """Early stopping: train on a part, watch the rest, return the parameters that did best there."""
    held = max(1, round(plan.holdout * len(rows)))
    if held >= len(rows):
        course.notes.append("too few rows to hold any out: trained for all epochs without early stopping")
        return _for_a_fixed_time(course, rows, plan, after_epoch), None
    order = counter.permutation(counter.key(course.key, "holdout"), len(rows))
    watched = rows.take(order[:held])
    x, y = course.model.batch(rows.take(order[held:]))
    best, kept, best_epoch, loss = course.loss_on(watched), course.model.read(), 0, 0.0
    for epoch in range(plan.epochs or 0):
        loss = course.epoch(x, y, epoch, None)
        if after_epoch is not None:
            after_epoch(epoch + 1)
        now = course.loss_on(watched)
        if now < best:
            best, kept, best_epoch = now, course.model.read(), epoch + 1
        elif epoch + 1 - best_epoch >= plan.patience:
            break
    course.notes.append(f"early stopping kept epoch {best_epoch}")
    return loss, kept


class _Course:
    """One training under way: optimiser, step counter, and the size of the pieces a batch is cut into."""

    def __init__(
        self, model: FlatModel, start: NDArray[np.float32] | NDArray[np.float64], plan: LocalTraining, key: int
    ) -> None:
        self.model, self.plan, self.key = model, plan, key
        self.steps = 0
        self.notes: list[str] = []
        self.piece = plan.batch_size
        model.write(start)
        model.module.train()
        self.anchor = model.flat.detach().clone() if plan.prox_mu > 0 else None
        self.optimizer = optimizer(plan)

    def epoch(self, x: Tensor, y: Tensor, epoch: int, most_steps: int | None) -> float:
        """Go once over the rows (or until `most_steps`); return the mean loss a row."""
        key = counter.key(self.key, "epoch", epoch)
        order = torch.from_numpy(counter.permutation(key, len(y))).to(x.device)
        x, y = x[order], y[order]
        self.model.module.train()
        losses: list[Tensor] = []
        seen = 0
        for step, first in enumerate(range(0, len(y), self.plan.batch_size)):
            if step == most_steps:
                break
            last = min(first + self.plan.batch_size, len(y))
            losses.append(self._step(x[first:last], y[first:last], counter.key(key, step)))
            seen += last - first
        return float(torch.stack(losses).sum()) / seen

    def loss_on(self, rows: Rows) -> float:
        """Mean loss a row, without training."""
        x, y = self.model.batch(rows)
        with torch.inference_mode():
            self.model.module.eval()
            return float(self.model.loss(self.model.module(x), y).mean())

    def _step(self, x: Tensor, y: Tensor, key: int) -> Tensor:
        """Take one optimiser step; a batch that does not fit is cut into halves until it does, for the same update."""
        while True:
            try:
                self.model.gradient.zero_()
                total = self._accumulate(x, y, key)
                break
            except torch.OutOfMemoryError:
                if min(self.piece, len(y)) == 1:
                    raise
                self.piece = max(1, min(self.piece, len(y)) // 2)
                if self.model.device.type == "cuda":
                    torch.cuda.empty_cache()
                self.notes.append(f"out of memory: batches are computed {self.piece} rows at a time, same update")
        self._adjust_gradient()
        self.optimizer.step(self.model.flat.data, self.model.gradient)
        self.steps += 1
        return total

    def _accumulate(self, x: Tensor, y: Tensor, key: int) -> Tensor:
        """Add the gradient of the batch's mean loss, piece by piece; return the summed loss."""
        sums: list[Tensor] = []
        for first in range(0, len(y), self.piece):
            last = min(first + self.piece, len(y))
            for layer in self.model.dropouts:
                layer.place(key, first)
            if self.model.draws:
                torch.manual_seed(counter.key(key, "torch", first) >> 1)
            summed = self.model.loss(self.model.module(x[first:last]), y[first:last]).sum()
            torch.autograd.backward(summed / len(y))
            sums.append(summed.detach())
        return sums[0] if len(sums) == 1 else torch.stack(sums).sum()

    def _adjust_gradient(self) -> None:
        gradient = self.model.gradient
        if self.anchor is not None:
            gradient.add_(self.model.flat.detach() - self.anchor, alpha=self.plan.prox_mu)
        if self.plan.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient)
            gradient.mul_(torch.clamp(self.plan.clip_norm / (norm + 1e-12), max=1.0))
