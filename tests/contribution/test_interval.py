"""Intervals: what they must do in every case, and that they cover about as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedgap import counter
from fedgap.contribution.discrepancy import BAND, band, conformal
from fedgap.contribution.errors import UtilityError
from fedgap.contribution.interval import bootstrap, half_split, halves, one_opening, student

values = st.lists(st.floats(-1, 1), min_size=2, max_size=12)


@pytest.mark.parametrize("degrees", [1, 2, 7, 15, 16, 30, 200])
def test_student_agrees_with_scipy(degrees: int) -> None:
    assert student(degrees) == pytest.approx(float(stats.t.ppf(0.975, degrees)), abs=1e-3)


def test_student_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="degree"):
        student(0)


@given(rows=st.integers(2, 300), seed=st.integers(0, 2**63))
@settings(max_examples=30)
def test_halves_share_all_rows_and_differ_by_one_at_most(rows: int, seed: int) -> None:
    first, second = halves(rows, seed)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(rows))
    assert 0 <= len(first) - len(second) <= 1
    assert np.array_equal(first, halves(rows, seed)[0])


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_cannot_be_halved(rows: int) -> None:
    with pytest.raises(UtilityError, match=f"{rows} validation rows"):
        halves(rows, 1)


@given(values)
def test_two_halves_that_agree_leave_no_doubt(found: list[float]) -> None:
    for value, interval in zip(found, half_split(found, found, (50, 50)), strict=True):
        assert interval.value == pytest.approx(value, abs=1e-15)
        assert interval.error == 0
        assert interval.low == interval.high == interval.value


def test_halves_of_different_size_count_by_their_rows() -> None:
    one, *_ = half_split([1.0, 0.0], [0.0, 0.0], (60, 40))
    assert one.value == pytest.approx(0.6)
    assert one.error == pytest.approx(math.sqrt(0.24 / 2))


def test_one_opening_says_nothing_of_its_error() -> None:
    (found,) = one_opening([0.5])
    assert (found.value, found.low, found.high, found.error) == (0.5, None, None, None)


def test_the_bootstrap_is_the_same_everywhere_and_stays_around_the_mean() -> None:
    parts = np.random.default_rng(1).normal(loc=[0.2, -0.1], scale=[1.0, 0.1], size=(80, 2))
    found = bootstrap(parts, 7)
    assert found == bootstrap(parts, 7)
    assert found != bootstrap(parts, 8)
    for interval, mean, scale in zip(found, parts.mean(axis=0), (1.0, 0.1), strict=True):
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < mean < interval.high
        assert interval.error == pytest.approx(scale / math.sqrt(80), rel=0.3)


def test_who_sent_nothing_has_a_point_for_an_interval() -> None:
    (found,) = bootstrap(np.zeros((20, 1)), 1)
    assert (found.value, found.low, found.high, found.error) == (0, 0, 0, 0)


def test_few_rows_fall_back_on_student_and_a_single_one_on_nothing() -> None:
    parts = np.array([[1.0], [3.0], [2.0]])
    (found,) = bootstrap(parts, 1)
    assert found.high == pytest.approx(2 + student(2) / math.sqrt(3))
    assert bootstrap(parts[:1], 1) == one_opening([1.0])


@pytest.mark.slow
def test_both_kinds_cover_about_as_often_as_they_say() -> None:
    """Skewed rows shared by eight organisations; 400 validation sets of 60 rows."""
    draw = np.random.default_rng(3)
    mixing, hits = draw.normal(size=(4, 8)), {"half-split": 0, "bootstrap": 0}
    target = mixing.sum(axis=0)
    for number in range(400):
        parts = draw.exponential(size=(60, 4)) @ mixing
        first, second = halves(60, number)
        split = half_split(parts[first].mean(axis=0).tolist(), parts[second].mean(axis=0).tolist(), (30, 30))
        for name, made in (("half-split", split), ("bootstrap", bootstrap(parts, number, 300))):
            hits[name] += sum(i.low <= t <= i.high for i, t in zip(made, target, strict=True) if i.low and i.high)
    assert 0.92 < hits["bootstrap"] / 3200 < 0.98
    assert 0.88 < hits["half-split"] / 3200 < 0.99


@given(st.lists(st.floats(0, 1), min_size=20, max_size=60))
def test_a_conformal_band_covers_its_part_of_what_it_was_made_from(errors: list[float]) -> None:
    found = conformal(errors, 0.9)
    assert sum(error <= found for error in errors) >= 0.9 * len(errors)
    assert found in errors


def test_too_few_errors_give_no_band_and_a_share_stays_a_share() -> None:
    assert conformal([0.1] * 8, 0.9) == math.inf
    assert conformal([0.1] * 9, 0.9) == 0.1
    assert band(0.5) == (0.5 - BAND, 0.5 + BAND)
    assert band(0.01)[0] == 0
    assert band(0.99)[1] == 1


def test_each_resample_is_measured_by_its_own_standard_error() -> None:
    """The interval, written out: rows drawn by the public hash, a t of each resample, the 95th percentile."""
    rows, samples, seed = 12, 40, 3
    parts = np.random.default_rng(1).normal(size=(rows, 2))
    picks = counter.words(counter.key(seed, "value-bootstrap"), samples * rows) % np.uint64(rows)
    tees = []
    for sample in picks.astype(np.int64).reshape(samples, rows):
        drawn = parts[sample]
        spread = drawn.std(axis=0, ddof=1) / math.sqrt(rows)
        tees.append(np.abs((drawn.mean(axis=0) - parts.mean(axis=0)) / spread))
    reach = np.percentile(tees, 95, axis=0) * parts.std(axis=0, ddof=1) / math.sqrt(rows)

    found = bootstrap(parts, seed, samples)
    assert [one.value - one.low for one in found if one.low is not None] == pytest.approx(reach.tolist())
