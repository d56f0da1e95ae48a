"""How good a model's answers are: the score (higher is better) and the measures printed beside it.

Everything starts from *evidence*, one entry a test row, so that intervals can be had by re-weighting rows: for
classification whether the answer was right; for regression the squared error and the target.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError
from fedgap.learning.task import Kind

Array = NDArray[np.float64]
UNKNOWN = -1
"""Class number of a test row whose class nobody trained on: any answer is wrong."""

BINS = 10
"""Bins of the calibration error."""

LARGEST = 1e15
"""Answers and scaled targets beyond this are no honest ones; their squares would not fit a float32."""


def sound(outputs: Vector, whose: str) -> Vector:
    """Let answers through that can be scored.

    Raises:
        DivergedError: they are beyond every sensible number; the model's training ran away without overflowing.
    """
    if not (np.abs(outputs) < LARGEST).all():
        raise DivergedError(f"{whose} answers with numbers beyond {LARGEST:g}: its training diverged.")
    return outputs


def probabilities(logits: NDArray[np.float32]) -> Array:
    """Softmax in float64, shape (n, classes)."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def row_losses(kind: Kind, outputs: NDArray[np.float32], y: NDArray[Any]) -> Array:
    """What models are compared by on held-out rows: log-loss a row, or half the squared error.

    Not finite where the outputs are not: a model that diverged loses every comparison.

    Args:
        kind: of the task.
        outputs: of one model, shape (n, outputs), or of several, shape (models, n, outputs).
        y: class numbers (-1: nobody trained on it, which costs as much as the worst answer) or targets, shape (n,).

    Returns:
        shape (n,) or (models, n).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        z = outputs.astype(np.float64)
        if kind == "regression":
            return np.asarray(0.5 * (z.reshape(*outputs.shape[:-2], len(y)) - y) ** 2)
        z -= z.max(axis=-1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    worst = -log_p.min(axis=-1)
    known = np.flatnonzero(y >= 0)
    worst[..., known] = -log_p[..., known, y[known]]
    return np.asarray(worst)


def utility(kind: Kind, outputs: NDArray[np.float32], y: NDArray[Any]) -> float | None:
    """What the federation raises, bounded: 1 - Brier/2, or minus the squared error clipped at 4 target variances.

    For regression targets are standardised, so 1 - (clipped squared error)/4 lies in [0, 1]. None without rows.
    """
    if len(y) == 0:
        return None
    if kind == "classification":
        return float(1 - brier(probabilities(outputs), y).mean() / 2)
    error = np.minimum((outputs.reshape(len(y)).astype(np.float64) - y) ** 2, 4.0)
    return float(1 - error.mean() / 4)


def brier(p: Array, y: NDArray[Any]) -> Array:
    """Squared distance of the predicted distribution to what happened, 0 to 2 a row, shape (n,)."""
    hit = np.zeros_like(p)
    known = y >= 0
    hit[known, y[known]] = 1
    return np.asarray(((p - hit) ** 2).sum(axis=1))


def calibration_error(p: Array, y: NDArray[Any]) -> float:
    """Expected calibration error: |confidence - accuracy| averaged over ten bins of confidence, weighted by rows."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = (abs(confidence[place == b].sum() - right[place == b].sum()) for b in range(BINS))
    return float(sum(gaps) / len(y))


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A model's answers on test rows.

    Attributes:
        kind: of the task.
        outputs: logits (n, classes), or predictions in the target's own units (n,).
        y: class numbers (-1: nobody trained on it), or targets in their own units, shape (n,).
    """

    kind: Kind
    outputs: Array
    y: NDArray[Any]

    def evidence(self, unit: float = 1.0) -> Array:
        """What the score needs of each row: right (1 or 0), or the squared error in a unit of targets; shape (n,)."""
        if self.kind == "classification":
            return np.asarray(self.outputs.argmax(axis=1) == self.y, dtype=np.float64)
        return np.asarray(((self.outputs - self.y) / unit) ** 2, dtype=np.float64)

    def measures(self) -> dict[str, float | None]:
        """Everything printed beside the score; None where these rows cannot say."""
        if len(self.y) == 0:
            return dict.fromkeys(MEASURES[self.kind])
        if self.kind == "regression":
            error = self.outputs - self.y
            return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
        p = probabilities(self.outputs.astype(np.float32))
        return {
            "balanced_accuracy": _balanced_accuracy(p.argmax(axis=1), self.y),
            "auc": _auc(p, self.y),
            "brier": float(brier(p, self.y).mean()),
            "calibration_error": calibration_error(p, self.y),
        }


MEASURES = {"classification": ("balanced_accuracy", "auc", "brier", "calibration_error"), "regression": ("mae", "rmse")}

SCORE = {"classification": "accuracy", "regression": "R2"}


def score(kind: Kind, evidence: Array, y: Array, weight: Array) -> Array:
    """The score of weighted rows: accuracy, or R2 = 1 - squared error / variance of the targets.

    Args:
        kind: of the task.
        evidence: shape (n,).
        y: targets, shape (n,); only R2 needs them.
        weight: how often each row counts, shape (..., n).

    Returns:
        shape (...,); NaN where the rows cannot say (none, or for R2 targets that are all equal).
    """
    total = weight.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weight @ evidence / total
        if kind == "classification":
            return np.asarray(mean)
        centred = y - y.mean() if len(y) else y
        variance = weight @ centred**2 / total - (weight @ centred / total) ** 2
        spread = np.where(variance > 1e-12 * max(1.0, float((centred**2).max(initial=0.0))), variance, np.nan)
        return np.asarray(1 - mean / spread)


def _balanced_accuracy(answer: NDArray[np.int64], y: NDArray[Any]) -> float:
    """Mean over the classes present of the share answered right."""
    return float(np.mean([(answer[y == c] == c).mean() for c in np.unique(y)]))


def _auc(p: Array, y: NDArray[Any]) -> float | None:
    """Area under the ROC curve; with more than two classes the mean over those present, each against the rest."""
    present = [int(c) for c in np.unique(y) if c >= 0]
    if len(present) < 2:  # noqa: PLR2004 - a curve needs both sides
        return None
    chosen = [1] if p.shape[1] == 2 and present == [0, 1] else present  # noqa: PLR2004 - two classes: one curve
    return float(np.mean([area_under_curve(y == c, p[:, c]) for c in chosen]))


def area_under_curve(positive: NDArray[np.bool_], score: Array) -> float:
    """How often a positive row has the higher score, ties counted half: the area under the ROC curve.

    Own, because scikit-learn's takes longer to import than a small simulation takes. Needs a row of either kind.

    Source: Hanley and McNeil, Radiology 143 (1982); the mean ranks of Mann and Whitney (1947).
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positives = int(positive.sum())
    above = mean_rank[place[positive]].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(score) - positives)))
