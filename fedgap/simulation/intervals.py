"""Scores over repeated splits, with intervals that know both that test rows and that splits were drawn.

A row may be tested in several splits, so rows, not answers, are resampled: each bootstrap sample draws every
organisation's rows and the splits with replacement and scores the answers that remain, models that are compared on the
same draws. S splits, N rows, B samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.learning import scores
from fedgap.learning.task import Kind
from fedgap.simulation.questions import AnsweredRows

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A score and its bootstrap samples.

    Attributes:
        mean: over the splits that could be scored; NaN if none could.
        samples: shape (B,); NaN where a sample could not be scored.
    """

    mean: float
    samples: Array

    def __sub__(self, other: "Sampled") -> "Sampled":
        return Sampled(mean=self.mean - other.mean, samples=self.samples - other.samples)

    def interval(self) -> tuple[float, float] | None:
        """95 % percentile interval; None if fewer than half of the samples could be scored."""
        known = self.samples[np.isfinite(self.samples)]
        if not np.isfinite(self.mean) or 2 * known.size < self.samples.size:
            return None
        low, high = np.percentile(known, [2.5, 97.5])
        return float(low), float(high)


def mean_of(parts: Sequence[Sampled]) -> Sampled:
    """Mean over organisations that could be scored."""
    known = [part for part in parts if np.isfinite(part.mean)]
    if not known:
        return Sampled(mean=float("nan"), samples=np.full(parts[0].samples.size if parts else 0, np.nan))
    samples = np.stack([part.samples for part in known])
    return Sampled(mean=float(np.mean([p.mean for p in known])), samples=_nan_mean(samples, axis=0))


class Resampling:
    """The draws that all scores of a study share.

    Args:
        kind: of the task.
        rows: the test rows of each split.
        samples: B.
        seed: of the draws.
    """

    def __init__(self, kind: Kind, rows: Sequence[AnsweredRows], samples: int, seed: int) -> None:
        self.kind, self.rows = kind, rows
        generator = np.random.Generator(np.random.PCG64(counter.key(seed, "rows")))
        owners = np.concatenate([part.owner for part in rows])
        places = np.concatenate([part.row for part in rows])
        known, inverse = np.unique(np.stack([owners, places]), axis=1, return_inverse=True)
        cuts = np.cumsum([len(part.row) for part in rows])[:-1]
        self._place = np.split(inverse.reshape(-1), cuts)
        self._weight = np.zeros((samples, known.shape[1]), np.float32)
        for owner in np.unique(known[0]):
            columns = np.flatnonzero(known[0] == owner)
            drawn = generator.multinomial(len(columns), np.full(len(columns), 1 / len(columns)), size=samples)
            self._weight[:, columns] = drawn
        generator = np.random.Generator(np.random.PCG64(counter.key(seed, "splits")))  # the same splits for every score
        self._splits = generator.integers(0, len(rows), size=(samples, len(rows)))

    @property
    def distinct_rows(self) -> int:
        """How many different rows were tested at least once."""
        return self._weight.shape[1]

    def score(self, evidence: Sequence[NDArray[np.float32]]) -> Sampled:
        """Score one model's answers.

        Args:
            evidence: for each split, of each of its test rows.
        """
        means, samples = [], []
        for part, place, found in zip(self.rows, self._place, evidence, strict=True):
            one = scores.score(self.kind, found.astype(np.float64), part.target, np.ones(len(place)))
            means.append(float(one))
            weight = self._weight[:, place].astype(np.float64)
            samples.append(scores.score(self.kind, found.astype(np.float64), part.target, weight))
        by_split = np.stack(samples, axis=1)
        drawn = np.take_along_axis(by_split, self._splits, axis=1)
        return Sampled(mean=float(_nan_mean(np.array(means), axis=0)), samples=_nan_mean(drawn, axis=1))


def mean_measures(parts: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean of each printed measure over the splits that have it."""
    found: dict[str, float | None] = {}
    for name in parts[0]:
        known = [value for part in parts if (value := part[name]) is not None]
        found[name] = float(np.mean(known)) if known else None
    return found


def _nan_mean(values: Array, axis: int) -> Array:
    """Mean of what is known along an axis; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
