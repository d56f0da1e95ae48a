"""Choosing a learning rate and a length of training by cross-validation on training rows, and on nothing else.

Whatever is compared is tuned with the same care: each candidate trains on all parts but one and is judged by the loss
on the part left out; the winner then trains on all training rows, so that none is lost to the choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.engine import Training
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Index, Rows
from fedgap.learning.task import Kind
from fedgap.simulation.lockstep import Course

Losses = NDArray[np.float64]
Outputs = Callable[[Vector, Rows], Vector]


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


def curves(
    outputs: Outputs,
    start: Sequence[Vector],
    rows: Rows,
    folds: Sequence[Index],
    plan: LocalTraining,
    lrs: Sequence[float],
    who: OrgId,
    kind: Kind,
) -> Course[dict[float, dict[int, Losses]]]:
    """Judge every learning rate and every length of one training by cross-validation.

    Args:
        outputs: what a model answers (`Engine.outputs`).
        start: starting parameters for each fold.
        rows: training rows, n of them.
        folds: positions left out together; every row is in one.
        plan: how to train, for the longest length in epochs.
        lrs: learning rates.
        who: seeds the order of the rows.
        kind: of the task.

    Returns:
        for every learning rate and length judged (0: the start itself) the loss of each row when left out, shape (n,);
        infinite once training diverged.
    """
    judged = checkpoints(plan.epochs or 0)
    watched = [rows.take(left_out) for left_out in folds]
    kept = [rows.take(np.setdiff1d(np.arange(len(rows)), left_out)) for left_out in folds]
    pairs = [(lr, fold) for lr in lrs for fold in range(len(folds))]
    finished = yield [
        Training(
            start=start[fold],
            rows=kept[fold],
            plan=replace(plan, lr=lr),
            org=who,
            round_number=0,
            watched=watched[fold],
            judged=judged,
        )
        for lr, fold in pairs
    ]
    begun = [scores.row_losses(kind, outputs(s, w), w.y) for s, w in zip(start, watched, strict=True)]
    found = {lr: {length: np.full(len(rows), np.inf) for length in (0, *judged)} for lr in lrs}
    for (lr, fold), done in zip(pairs, finished, strict=True):
        found[lr][0][folds[fold]] = begun[fold]
        for length, losses in zip(judged, scores.row_losses(kind, done.answers, watched[fold].y), strict=False):
            found[lr][length][folds[fold]] = losses
    return {lr: {k: np.where(np.isfinite(v), v, np.inf) for k, v in of.items()} for lr, of in found.items()}


def tuned(
    outputs: Outputs,
    start: Vector,
    rows: Rows,
    folds: Sequence[Index],
    plan: LocalTraining,
    lrs: Sequence[float],
    who: OrgId,
    kind: Kind,
) -> Course[tuple[Vector, Choice]]:
    """Choose by cross-validation, then train on all rows from `start`.

    With a single row nothing can be left out: the plan's own learning rate is used, for all its epochs.

    Returns:
        the trained parameters, float32, shape (d,), and what was chosen.
    """
    if folds:
        found = yield from curves(outputs, [start] * len(folds), rows, folds, plan, lrs, who, kind)
        choice = best({lr: {k: v for k, v in lengths.items() if k > 0} for lr, lengths in found.items()})
    else:
        yield []  # in step with those that have folds
        choice = Choice(lr=plan.lr, length=plan.epochs or 1, losses=np.zeros(0))
    vector = yield from retrained(start, rows, plan, choice, who)
    return vector, choice


def retrained(start: Vector, rows: Rows, plan: LocalTraining, choice: Choice, who: OrgId) -> Course[Vector]:
    """Train on all rows with the chosen learning rate and number of epochs.

    Raises:
        DivergedError: the numbers ran away.
    """
    if choice.length == 0:
        return start
    chosen = replace(plan, lr=choice.lr, epochs=choice.length)
    (finished,) = yield [Training(start=start, rows=rows, plan=chosen, org=who, round_number=0)]
    return finished.vector()
