"""Intervals hold the truth about as often as they say, and compare models on the same rows."""

import math

import numpy as np
import pytest

from fedgap.learning.task import Kind
from fedgap.simulation.intervals import Resampling, Sampled, mean_measures, mean_of
from fedgap.simulation.questions import AnsweredRows

AnsweredRows.__test__ = False  # type: ignore[attr-defined] # rows of a test, no class of tests


def rows(target: list[float], owner: list[int] | None = None, row: list[int] | None = None) -> AnsweredRows:
    """Test rows of one split."""
    count = len(target)
    return AnsweredRows(
        owner=np.array(owner or [0] * count, np.int64),
        row=np.array(row or range(count), np.int64),
        target=np.array(target),
    )


def found(values: np.ndarray) -> np.ndarray:
    """Evidence as a split leaves it."""
    return values.astype(np.float32)


def test_a_95_percent_interval_covers_the_truth_about_as_often() -> None:
    """200 organisations with 80 Bernoulli rows, each tested in some of 5 splits: 90 to 99 % of intervals hold 0.8."""
    rng = np.random.default_rng(0)
    held = 0
    for study in range(200):
        right = rng.random(80) < 0.8
        drawn = [np.sort(rng.permutation(80)[:32]) for _ in range(5)]
        parts = [rows([0.0] * 32, row=list(part)) for part in drawn]
        sampled = Resampling("classification", parts, 200, study).score([found(right[part]) for part in drawn])
        low, high = sampled.interval() or (math.nan, math.nan)
        held += low <= 0.8 <= high

    assert 0.90 * 200 <= held <= 0.99 * 200


def test_rows_that_are_tested_again_bring_no_new_knowledge() -> None:
    """Ten splits of the same 20 rows leave the interval of one, not one a third as wide."""
    right = found(np.arange(20) % 4 > 0)
    widths = []
    for splits in (1, 10):
        low, high = Resampling("classification", [rows([0.0] * 20)] * splits, 500, 1).score(
            [right] * splits
        ).interval() or (0, 0)
        widths.append(high - low)

    assert widths[1] == pytest.approx(widths[0], rel=0.15)
    assert Resampling("classification", [rows([0.0] * 20)] * 10, 200, 1).distinct_rows == 20


def test_models_are_compared_on_the_same_draws() -> None:
    """Two models that err on nearly the same rows differ by far less than either is uncertain."""
    rng = np.random.default_rng(1)
    right = rng.random(60) < 0.7
    better = right.copy()
    better[np.flatnonzero(~right)[:3]] = True
    draw = Resampling("classification", [rows([0.0] * 60)], 500, 1)
    one, other = draw.score([found(right)]), draw.score([found(better)])
    paired = other - one
    shuffled = Sampled(mean=one.mean, samples=one.samples[::-1])
    unpaired = (other - shuffled).interval() or (0, 0)

    low, high = paired.interval() or (0, 0)
    assert paired.mean == pytest.approx(3 / 60)
    assert 0 <= low < high
    assert high - low < 0.5 * (unpaired[1] - unpaired[0])
    assert (one - one).interval() == (0, 0)


def test_the_mean_is_that_of_the_splits() -> None:
    parts = [rows([0.0] * 4), rows([0.0] * 2)]
    sampled = Resampling("classification", parts, 200, 1).score(
        [found(np.array([1, 1, 1, 0])), found(np.array([0, 0]))]
    )

    assert sampled.mean == pytest.approx((0.75 + 0) / 2)


def test_owners_are_resampled_each_by_itself() -> None:
    """An organisation with all its rows right adds no spread, whatever the other's rows do."""
    parts = [rows([0.0] * 40, owner=[0] * 20 + [1] * 20, row=[*range(20), *range(20)])]
    draw = Resampling("classification", parts, 300, 1)

    assert draw.distinct_rows == 40
    certain = draw.score([found(np.array([1.0] * 20 + [0.0] * 20))])
    assert certain.interval() == (0.5, 0.5)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_without_rows_there_is_neither_score_nor_interval(kind: Kind) -> None:
    sampled = Resampling(kind, [rows([])] * 2, 200, 1).score([np.zeros(0, np.float32)] * 2)

    assert math.isnan(sampled.mean)
    assert sampled.interval() is None


def test_a_split_without_rows_does_not_spoil_the_others() -> None:
    sampled = Resampling("classification", [rows([]), rows([0.0] * 4)], 200, 1).score(
        [np.zeros(0, np.float32), found(np.array([1, 1, 0, 0]))]
    )

    assert sampled.mean == 0.5
    assert sampled.interval() is not None


def test_an_interval_needs_half_of_its_samples() -> None:
    known = np.linspace(0, 1, 100)
    few = np.where(np.arange(100) < 51, np.nan, known)
    half = np.where(np.arange(100) < 50, np.nan, known)

    assert Sampled(mean=0.5, samples=few).interval() is None
    assert Sampled(mean=0.5, samples=half).interval() is not None
    assert Sampled(mean=math.nan, samples=known).interval() is None
    assert list(Sampled(mean=0.5, samples=known).interval() or ()) == pytest.approx([0.025, 0.975])


def test_the_mean_over_organisations_leaves_out_those_without_a_score() -> None:
    known = [Sampled(mean=value, samples=np.full(3, value)) for value in (0.2, 0.4)]
    unknown = Sampled(mean=math.nan, samples=np.full(3, math.nan))

    assert mean_of([*known, unknown]).mean == pytest.approx(0.3)
    assert mean_of([unknown, *known]).samples.tolist() == pytest.approx([0.3] * 3)
    assert math.isnan(mean_of([unknown]).mean)
    assert mean_of([unknown]).interval() is None
    assert math.isnan(mean_of([]).mean)


def test_a_measure_is_the_mean_of_the_splits_that_have_it() -> None:
    parts: list[dict[str, float | None]] = [{"auc": None, "brier": 0.2}, {"auc": 0.5, "brier": 0.4}]

    assert mean_measures(parts) == {"auc": 0.5, "brier": pytest.approx(0.3)}
    assert mean_measures([{"auc": None}]) == {"auc": None}


def test_the_seed_fixes_the_draws() -> None:
    right = found(np.arange(20) % 3 > 0)

    def samples(seed: int) -> bytes:
        return Resampling("classification", [rows([0.0] * 20)], 200, seed).score([right]).samples.tobytes()

    assert samples(1) == samples(1) != samples(2)
