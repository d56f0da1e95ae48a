"""How sure a value is: would other validation rows have said the same?

Two ways to the sampling error of a value. Under secure aggregation there are two openings, each with the directions of
one half of the rows: the difference of the halves, pooled over the organisations, gives one standard error for all. In
a simulation every row's part of every value is known, and the rows are resampled.

R rows, n organisations, B samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.contribution.errors import UtilityError
from fedgap.records import errors_in_half_an_interval

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SAMPLES = 2000
_CHUNK = 2**21
_FEWEST_RESAMPLED = 10
"""Fewer rows give too few different samples; Student's t stands in."""
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % points of Student's t with 1, 2, ... degrees of freedom."""
_Z975 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its sampling error.

    Attributes:
        value: in utility units.
        low, high: 95 % interval, or None with one opening.
        error: standard error, likewise.
    """

    value: float
    low: float | None
    high: float | None
    error: float | None


def student(degrees: int) -> float:
    """The 97.5 % point of Student's t; beyond the table Cornish and Fisher's expansion, right to 0.001."""
    if degrees < 1:
        raise ValueError("an interval needs at least one degree of freedom")
    if degrees <= len(_T975):
        return _T975[degrees - 1]
    z, n = _Z975, degrees
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n * n)


def halves(rows: int, seed: int) -> tuple[Index, Index]:
    """Deal the validation rows into two halves by the public counter hash; everybody computes the same.

    Raises:
        UtilityError: there are fewer than two rows.
    """
    if rows < 2:  # noqa: PLR2004 - two halves
        raise UtilityError(f"There are {rows} validation rows; two openings need at least 2.")
    order = counter.permutation(counter.key(seed, "halves"), rows)
    middle = (rows + 1) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def half_split(first: Sequence[float], second: Sequence[float], sizes: tuple[int, int]) -> list[Interval]:
    """Join two openings.

    Args:
        first: each organisation's value by the directions of the first half of the rows.
        second: by those of the second half.
        sizes: rows in each half.

    Returns:
        for each organisation the value by all rows and its interval, with one standard error for all, pooled over the
        organisations (`fedgap.records.interval` says how wide that is).
    """
    share = sizes[0] / sum(sizes)
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    error = math.sqrt(share * (1 - share) * math.fsum(gap * gap for gap in gaps) / len(gaps))
    width = float(errors_in_half_an_interval(len(gaps))) * error
    found = []
    for a, b in zip(first, second, strict=True):
        value = share * a + (1 - share) * b
        found.append(Interval(value=value, low=value - width, high=value + width, error=error))
    return found


def one_opening(values: Sequence[float]) -> list[Interval]:
    """Give values that nothing is known about but themselves."""
    return [Interval(value=value, low=None, high=None, error=None) for value in values]


def bootstrap(parts: Array, seed: int, samples: int = SAMPLES) -> list[Interval]:
    """Resample the validation rows.

    Args:
        parts: what each row (or block of rows) says each organisation's updates were worth, shape (R, n); the values
            are the means over rows.
        seed: of the public counter hash.
        samples: B.

    Returns:
        for each organisation the mean over rows, the symmetric bootstrap-t interval (95 %), and the standard error. No
        interval where there is a single row.

    Source: Hall, On Symmetric Bootstrap Confidence Intervals, JRSS B 1988.
    """
    rows, members = parts.shape
    values = parts.mean(axis=0)
    if rows < 2:  # noqa: PLR2004 - one row says nothing about others
        return one_opening(values.tolist())
    error = parts.std(axis=0, ddof=1) / math.sqrt(rows)
    if rows < _FEWEST_RESAMPLED:
        reach = np.full(members, student(rows - 1))
    else:
        reach = np.percentile(np.abs(_studentised(parts, seed, samples)), 95, axis=0)
    low, high = values - reach * error, values + reach * error
    return [
        Interval(value=v, low=lo, high=hi, error=e)
        for v, lo, hi, e in zip(values.tolist(), low.tolist(), high.tolist(), error.tolist(), strict=True)
    ]


def _studentised(parts: Array, seed: int, samples: int) -> Array:
    """How many of its own standard errors each resampled mean lies from the mean, shape (B, n); 0 where it has none."""
    rows, members = parts.shape
    centred = parts - parts.mean(axis=0)
    key = counter.key(seed, "value-bootstrap")
    found = np.zeros((samples, members))
    step = max(1, _CHUNK // rows)
    for first in range(0, samples, step):
        count = min(step, samples - first)
        picks = (counter.words(key, count * rows, first * rows) % np.uint64(rows)).astype(np.int64).reshape(count, rows)
        weight = _counted(picks, rows) / rows
        mean = weight @ centred
        spread = np.sqrt(np.maximum(weight @ centred**2 - mean**2, 0) / (rows - 1))
        np.divide(mean, spread, out=found[first : first + count], where=spread > 0)
    return found


def _counted(picks: Index, rows: int) -> Array:
    """How often each row was drawn in each sample, shape (samples, R)."""
    places = picks + rows * np.arange(len(picks))[:, None]
    return np.bincount(places.reshape(-1), minlength=len(picks) * rows).reshape(len(picks), rows).astype(np.float64)
