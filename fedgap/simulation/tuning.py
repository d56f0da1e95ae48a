"""Choosing a learning rate and a length of training by cross-validation on training rows, and on nothing else.

Whatever is compared is tuned with the same care: each candidate trains on all parts but one and is judged by the loss
on the part left out; the winner then trains on all training rows, so that none is lost to the choice.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.local import DivergedError, LocalTraining, train
from fedgap.learning.rows import Index, Rows
from fedgap.learning.task import Kind
from fedgap.learning.vector import FlatModel, Vector

Losses = NDArray[np.float64]


def checkpoints(most: int) -> tuple[int, ...]:
    """Lengths worth judging: 1, 2, 3, then each about a third longer, up to `most`."""
    lengths = [1]
    while lengths[-1] < most:
        lengths.append(min(most, max(lengths[-1] + 1, round(lengths[-1] * 4 / 3))))
    return tuple(length for length in lengths if length <= most)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What cross-validation chose.

    Attributes:
        lr: learning rate.
        length: epochs, or rounds of a federation; 0: not trained further.
        losses: loss of each training row when it was left out, shape (n,); empty if nothing could be left out.
    """

    lr: float
    length: int
    losses: Losses

    @property
    def mean_loss(self) -> float:
        """Mean loss on rows left out; infinite if there were none."""
        return float(self.losses.mean()) if self.losses.size else float("inf")


def best(candidates: dict[float, dict[int, Losses]]) -> Choice:
    """Pick the learning rate and length with the smallest mean loss; the earlier one if equal."""
    lr, length = min(
        ((lr, length) for lr, lengths in candidates.items() for length in lengths),
        key=lambda pair: float(candidates[pair[0]][pair[1]].mean()),
    )
    return Choice(lr=lr, length=length, losses=candidates[lr][length])


def curve(
    model: FlatModel,
    start: Sequence[Vector],
    rows: Rows,
    folds: Sequence[Index],
    plan: LocalTraining,
    who: OrgId,
    kind: Kind,
) -> dict[int, Losses]:
    """Judge every length of one training by cross-validation.

    Args:
        model: workspace.
        start: starting parameters for each fold.
        rows: training rows, n of them.
        folds: positions left out together; every row is in one.
        plan: how to train, for the longest length in epochs.
        who: seeds the order of the rows.
        kind: of the task.

    Returns:
        for every length judged (0: the start itself) the loss of each row when left out, shape (n,); infinite once
        training diverged.
    """
    judged = (0, *checkpoints(plan.epochs or 0))
    losses = {length: np.full(len(rows), np.inf) for length in judged}
    for begin, left_out in zip(start, folds, strict=True):
        watched = rows.take(left_out)
        losses[0][left_out] = scores.row_losses(kind, model.outputs(begin, watched), watched.y)
        kept = rows.take(np.setdiff1d(np.arange(len(rows)), left_out))
        judge = _judge(model, watched, kind, {length: (losses[length], left_out) for length in judged})
        with suppress(DivergedError):  # what was judged before stays; later lengths keep their infinite loss
            train(model, begin, kept, plan, who, 0, judge)
    return {length: np.where(np.isfinite(found), found, np.inf) for length, found in losses.items()}


def _judge(
    model: FlatModel, watched: Rows, kind: Kind, places: dict[int, tuple[Losses, Index]]
) -> Callable[[int], None]:
    def judge(epoch: int) -> None:
        if epoch in places:
            losses, left_out = places[epoch]
            losses[left_out] = scores.row_losses(kind, model.current_outputs(watched), watched.y)

    return judge


def tuned(
    model: FlatModel,
    start: Vector,
    rows: Rows,
    folds: Sequence[Index],
    plan: LocalTraining,
    lrs: Sequence[float],
    who: OrgId,
    kind: Kind,
) -> tuple[Vector, Choice]:
    """Choose by cross-validation, then train on all rows from `start`.

    With a single row nothing can be left out: the plan's own learning rate is used, for all its epochs.

    Returns:
        the trained parameters, float32, shape (d,), and what was chosen.
    """
    if folds:
        found = {lr: curve(model, [start] * len(folds), rows, folds, replace(plan, lr=lr), who, kind) for lr in lrs}
        choice = best({lr: {k: v for k, v in lengths.items() if k > 0} for lr, lengths in found.items()})
    else:
        choice = Choice(lr=plan.lr, length=plan.epochs or 1, losses=np.zeros(0))
    return retrain(model, start, rows, plan, choice, who), choice


def retrain(model: FlatModel, start: Vector, rows: Rows, plan: LocalTraining, choice: Choice, who: OrgId) -> Vector:
    """Train on all rows with the chosen learning rate and number of epochs."""
    if choice.length == 0:
        return start
    chosen = replace(plan, lr=choice.lr, epochs=choice.length)
    return np.asarray(train(model, start, rows, chosen, who, 0).vector, dtype=np.float32)
