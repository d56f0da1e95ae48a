"""The direction of a round: efficiency, the factor, and what it refuses."""

import math
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.contribution import direction
from fedgap.contribution.direction import Array, Utility, path_gradient, quadrature_factor
from fedgap.contribution.errors import UtilityError
from fedgap.learning.stack_utility import StackUtility
from fedgap.learning.utility import Measure

MEASURES: list[tuple[Measure, tuple[int, ...]]] = [
    ("brier", (4, 3)),
    ("brier", (4, 5, 3)),
    ("squared-error", (4, 1)),
    ("likelihood", (4, 6, 3)),
]
seeds = st.integers(0, 2**32 - 1)


def sample(measure: Measure, widths: tuple[int, ...], seed: int, rows: int = 12) -> tuple[StackUtility, Array]:
    """A utility on random rows, and random parameters."""
    draw = np.random.default_rng(seed)
    y = draw.normal(size=rows) if measure == "squared-error" else draw.integers(0, widths[-1], rows)
    utility = StackUtility(widths, "tanh", measure, draw.normal(size=(rows, widths[0])), y)
    size = sum(a * b + b for a, b in pairwise(widths))
    return utility, draw.normal(scale=0.5, size=size)


@pytest.mark.parametrize(("measure", "widths"), MEASURES)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_the_parts_of_a_round_add_up_to_its_gain(measure: Measure, widths: tuple[int, ...], seed: int) -> None:
    utility, start = sample(measure, widths, seed)
    parts = np.random.default_rng(seed + 1).normal(scale=0.1, size=(5, start.size))
    before = start.astype(np.float32)
    after = (before + 0.7 * parts.sum(axis=0)).astype(np.float32)
    found = direction(utility, before, after, parts.sum(axis=0), 0.7)
    gain = utility.value(after.astype(np.float64)) - utility.value(before.astype(np.float64))
    assert found.gain == gain
    assert float(found.values(parts).sum()) + found.gap == pytest.approx(gain, rel=1e-6, abs=1e-15)


def test_five_nodes_leave_little_to_the_factor() -> None:
    utility, start = sample("brier", (4, 3), 1)
    move = np.random.default_rng(2).normal(scale=0.3, size=start.size)
    found = direction(utility, start, start + move, move)
    assert found.factor == pytest.approx(1, abs=1e-6)
    assert found.gap == 0


def test_the_path_gradient_of_a_straight_utility_is_its_slope() -> None:
    class Straight:
        rows = 1

        def value(self, vector: Array) -> float:
            return float(2 * vector[0] - vector[1])

        def gradient(self, vector: Array) -> Array:
            return np.array([2.0, -1.0]) + 0 * vector

    found = path_gradient(cast("Utility", Straight()), np.zeros(2), np.ones(2))
    assert found == pytest.approx([2.0, -1.0])


@pytest.mark.parametrize(
    ("gain", "counted", "factor"),
    [(1.0, 1.0, 1.0), (1.0, 0.8, 1.25), (-2.0, -1.0, 2.0), (2.1, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 0.0, 1.0)],
)
def test_the_factor_corrects_a_little_and_never_much(gain: float, counted: float, factor: float) -> None:
    assert quadrature_factor(gain, counted) == factor


def test_a_gain_out_of_the_factors_reach_is_reported_as_a_gap() -> None:
    utility, start = sample("brier", (4, 3), 3)
    move = np.random.default_rng(4).normal(scale=0.2, size=start.size)
    found = direction(utility, start, start + move, -move)
    counted = float(found.values(-move[None]).sum())
    assert found.factor == 1
    assert found.gap == pytest.approx(found.gain - counted)
    assert abs(found.gap) > abs(found.gain)


def test_a_utility_that_is_not_finite_is_refused() -> None:
    utility, start = sample("brier", (4, 3), 5)
    with np.errstate(all="ignore"), pytest.raises(UtilityError, match="not finite"):
        direction(utility, start, np.full_like(start, math.nan), np.zeros_like(start))
