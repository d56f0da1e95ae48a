"""Mean and spread of columns, one organisation at a time and then together: count, mean, squared deviations.

Merging gives what one pass over all rows would give, to 1e-9 of the spread, even for a column like 1e9 +- 1: a mean is
kept as the unevaluated sum of two floats, so that the difference of two means keeps its digits.

Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", COMPSTAT
1982, eq. 2.1; two floats for the mean: Dekker, Numer. Math. 18 (1971).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NOISE = 1e-14
"""A spread below this part of the mean is rounding, some fifty units in the last place: the column is constant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of p columns; missing cells do not count.

    Attributes:
        count: cells with a value, int64, shape (p,).
        mean: their mean, rounded; 0 where there are none, shape (p,).
        rest: what rounding took from the mean, so that mean + rest is closer to it, shape (p,).
        squares: sum of squared deviations from mean + rest, shape (p,).
    """

    count: NDArray[np.int64]
    mean: Numbers
    rest: Numbers
    squares: Numbers

    @property
    def deviation(self) -> Numbers:
        """Standard deviation of the cells themselves (divided by their count), 0 where there is none; shape (p,)."""
        return np.sqrt(self.squares / np.maximum(self.count, 1))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Whether a column has one value only, or none; shape (p,)."""
        return self.deviation <= NOISE * np.abs(self.mean)

    @property
    def scale(self) -> Numbers:
        """What to divide by: the standard deviation, or 1 for a constant column; shape (p,)."""
        return np.where(self.constant, 1.0, self.deviation)


def moments(values: Numbers) -> Moments:
    """Sum up columns of numbers, NaN for missing; shape (n, p)."""
    present = ~np.isnan(values)
    count = present.sum(axis=0, dtype=np.int64)
    shared_by = np.maximum(count, 1)
    # The first value of a column as origin: a constant column then has no deviation at all.
    origin = _first(values, present)
    away = np.where(present, values - origin, 0.0)
    mean, rest = _two_sum(origin, away.sum(axis=0) / shared_by)
    away = np.where(present, (values - mean) - rest, 0.0)
    return Moments(count=count, mean=mean, rest=rest, squares=(away**2).sum(axis=0))


def merge(parts: Sequence[Moments]) -> Moments:
    """Put the moments of several organisations together, in the given order."""
    return reduce(_merge_two, parts)


def _merge_two(a: Moments, b: Moments) -> Moments:
    """Chan et al., eq. 2.1, with both means as two floats."""
    count = a.count + b.count
    share = b.count / np.maximum(count, 1)
    apart = (b.mean - a.mean) + (b.rest - a.rest)
    mean, rest = _two_sum(a.mean, a.rest + apart * share)
    squares = a.squares + b.squares + apart**2 * share * a.count
    return Moments(count=count, mean=mean, rest=rest, squares=squares)


def _two_sum(a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """Add exactly: the rounded sum, and what rounding took from it (Knuth's TwoSum)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def _first(values: Numbers, present: NDArray[np.bool_]) -> Numbers:
    """Take the first value of each column, 0 where there is none; shape (p,)."""
    if len(values) == 0:
        return np.zeros(values.shape[1])
    row = present.argmax(axis=0)
    return np.where(present.any(axis=0), values[row, np.arange(values.shape[1])], 0.0)
