"""Federated moments are pooled moments: for any partition, any scale, any missing cells."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedgap import counter
from fedgap.learning.moments import merge, moments

Numbers = NDArray[np.float64]


def exact(values: Numbers) -> tuple[Fraction, float]:
    """Mean and standard deviation of a column without rounding."""
    cells = [Fraction(cell) for cell in values.tolist()]
    mean = sum(cells, Fraction(0)) / len(cells)
    return mean, float(sum((cell - mean) ** 2 for cell in cells) / len(cells)) ** 0.5


def column(seed: int, rows: int, centre: float) -> Numbers:
    """Draw a column around `centre` with a spread of about one."""
    return centre + 4 * (counter.uniform(counter.key(seed, "moments"), rows) - 0.5)


@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    centre=st.sampled_from([0.0, 1.0, -37.5, 1e5, 1e9, -1e12]),
)
@settings(deadline=None)
def test_merging_organisations_is_exact_to_a_billionth_of_the_spread(
    seed: int, sizes: list[int], centre: float
) -> None:
    """Count, mean and deviation of the parts together are those of all rows, also for 1e9 +- 1."""
    whole = column(seed, sum(sizes), centre)
    parts = np.split(whole, np.cumsum(sizes)[:-1])

    merged = merge([moments(part[:, None]) for part in parts])

    mean, deviation = exact(whole)
    assert merged.count.tolist() == [sum(sizes)]
    if deviation == 0:
        assert merged.constant.tolist() == [True]
    else:
        off = Fraction(float(merged.mean[0])) + Fraction(float(merged.rest[0])) - mean
        assert abs(float(off)) <= 1e-9 * deviation
        assert abs(float(merged.deviation[0]) - deviation) <= 1e-9 * deviation


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 6), min_size=2, max_size=6))
@settings(deadline=None)
def test_the_order_of_organisations_does_not_matter(seed: int, sizes: list[int]) -> None:
    """An organisation without a row, or at another place, changes nothing beyond rounding."""
    whole = column(seed, sum(sizes), 1e6)
    parts = [moments(part[:, None]) for part in np.split(whole, np.cumsum(sizes)[:-1])]

    forward, backward = merge(parts), merge(parts[::-1])

    np.testing.assert_array_equal(forward.count, backward.count)
    np.testing.assert_allclose(forward.mean, backward.mean, rtol=1e-15, atol=0)
    np.testing.assert_allclose(forward.squares, backward.squares, rtol=1e-9, atol=1e-12)


def test_moments_equal_numpys() -> None:
    """Mean and deviation of several columns, missing cells left out."""
    values = np.array([[1.0, np.nan, 5.0], [2.0, 7.0, np.nan], [6.0, 9.0, np.nan]])

    got = moments(values)

    assert got.count.tolist() == [3, 2, 1]
    np.testing.assert_allclose(got.mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(got.deviation, np.nanstd(values, axis=0))


@given(value=st.floats(-1e100, 1e100), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(deadline=None)
def test_a_constant_column_is_constant_and_divided_by_one(value: float, sizes: list[int]) -> None:
    """Rounding never turns equal values into a tiny deviation, at one organisation or together."""
    merged = merge([moments(np.full((size, 1), value)) for size in sizes])

    assert merged.constant.tolist() == [True]
    assert merged.scale.tolist() == [1.0]
    assert merged.mean.tolist() == [value]


def test_a_small_spread_on_a_large_mean_is_not_constant() -> None:
    """1e9 +- 1e-3 varies, and by how much is kept."""
    merged = merge([moments(np.array([[1e9 - 1e-3]])), moments(np.array([[1e9 + 1e-3]]))])

    assert merged.constant.tolist() == [False]
    np.testing.assert_allclose(merged.deviation, [1e-3], rtol=1e-4)  # 1e9 + 1e-3 itself is rounded at 1e-7


def test_a_column_without_any_value_has_mean_zero_and_scale_one() -> None:
    """Nothing divides by zero where every cell is missing, and no rows at all are allowed."""
    for values in (np.full((4, 1), np.nan), np.zeros((0, 1))):
        got = moments(values)

        assert (got.count.tolist(), got.mean.tolist(), got.scale.tolist()) == ([0], [0.0], [1.0])


def test_no_column_is_allowed() -> None:
    """A table of categorical columns only has moments of nothing."""
    assert merge([moments(np.zeros((3, 0))), moments(np.zeros((2, 0)))]).mean.shape == (0,)
