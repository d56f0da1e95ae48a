"""Scores and measures against scikit-learn's, and what they say where rows cannot say anything."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from fedgap.learning import scores
from fedgap.learning.scores import MEASURES, UNKNOWN, Answers
from fedgap.learning.task import Kind

Array = NDArray[np.float64]


def answers(n: int, classes: int, seed: int, y: list[int] | None = None) -> Answers:
    """Random logits, and labels that show every class unless given."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)]) if y is None else np.array(y)
    return Answers("classification", rng.normal(size=(len(labels), classes)), labels)


sizes = st.tuples(st.integers(5, 40), st.integers(2, 4), st.integers(0, 10**6))


@given(sizes)
def test_classification_measures_are_scikit_learns(size: tuple[int, int, int]) -> None:
    made = answers(*size)
    p = scores.probabilities(made.outputs.astype(np.float32))
    found = made.measures()

    assert made.evidence().mean() == pytest.approx(metrics.accuracy_score(made.y, p.argmax(axis=1)))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(made.y, p.argmax(axis=1)))
    expected = metrics.roc_auc_score(made.y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
    assert found["auc"] == pytest.approx(expected)
    by_class = sum(metrics.brier_score_loss(made.y == c, p[:, c]) for c in range(p.shape[1]))
    assert found["brier"] == pytest.approx(by_class)
    assert scores.row_losses("classification", made.outputs.astype(np.float32), made.y).mean() == pytest.approx(
        metrics.log_loss(made.y, p), rel=1e-5
    )


@given(sizes)
def test_regression_measures_are_scikit_learns(size: tuple[int, int, int]) -> None:
    n, _, seed = size
    outputs, y = np.random.default_rng(seed).normal(size=(2, n))
    made = Answers("regression", outputs, y)

    assert made.measures() == {
        "mae": pytest.approx(metrics.mean_absolute_error(y, outputs)),
        "rmse": pytest.approx(metrics.root_mean_squared_error(y, outputs)),
    }
    score = scores.score("regression", made.evidence(), y, np.ones(n))
    assert float(score) == pytest.approx(metrics.r2_score(y, outputs))


@given(
    weight=st.lists(st.integers(0, 4), min_size=3, max_size=12).filter(lambda w: sum(x > 0 for x in w) > 2),
    seed=st.integers(0, 10**6),
    shift=st.sampled_from([0.0, 1e3, -1e5]),
)
def test_a_row_of_weight_k_counts_as_k_rows(weight: list[int], seed: int, shift: float) -> None:
    """Far from 0 too, where sums of squares lose digits."""
    outputs, y = np.random.default_rng(seed).normal(size=(2, len(weight))) + shift
    repeated = np.repeat(np.arange(len(weight)), weight)
    made = Answers("regression", outputs, y)

    found = scores.score("regression", made.evidence(), y, np.array(weight, float))
    expected = metrics.r2_score(y[repeated], outputs[repeated])
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-6)

    right = (outputs > y).astype(float)
    found = scores.score("classification", right, y, np.array(weight, float))
    assert float(found) == pytest.approx(right[repeated].mean())


def test_many_weightings_are_scored_at_once() -> None:
    rng = np.random.default_rng(0)
    outputs, y = rng.normal(size=(2, 9))
    weight = rng.integers(0, 3, size=(4, 5, 9)).astype(float) + 1
    evidence = Answers("regression", outputs, y).evidence()

    together = scores.score("regression", evidence, y, weight)

    assert together.shape == (4, 5)
    assert float(together[2, 3]) == pytest.approx(float(scores.score("regression", evidence, y, weight[2, 3])))


def test_without_rows_or_spread_there_is_no_score() -> None:
    nothing = np.zeros(0)

    assert math.isnan(scores.score("classification", nothing, nothing, nothing))
    assert math.isnan(scores.score("regression", nothing, nothing, nothing))
    flat = np.full(3, 7.1)
    assert math.isnan(scores.score("regression", np.ones(3), flat, np.ones(3)))
    assert math.isnan(scores.score("classification", np.ones(3), flat, np.zeros(3)))


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_without_rows_every_measure_is_open(kind: Kind) -> None:
    outputs = np.zeros((0, 1)) if kind == "classification" else np.zeros(0)
    made = Answers(kind, outputs, np.zeros(0, np.int64))

    assert made.measures() == dict.fromkeys(MEASURES[kind])
    assert made.evidence().shape == (0,)
    assert scores.utility(kind, outputs.astype(np.float32), made.y) is None


def test_with_one_class_there_is_no_curve_and_the_rest_is_known() -> None:
    found = answers(4, 2, 0, y=[1, 1, 1, 1]).measures()

    assert found["auc"] is None
    assert all(math.isfinite(found[name] or 0) for name in ("balanced_accuracy", "brier", "calibration_error"))


def test_no_answer_is_right_on_a_class_nobody_trained_on() -> None:
    made = Answers("classification", np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([UNKNOWN, 0, 1]))
    found = made.measures()

    assert made.evidence().tolist() == [0, 1, 1]
    assert found["balanced_accuracy"] == pytest.approx(2 / 3)
    p = scores.probabilities(made.outputs.astype(np.float32))
    assert scores.brier(p, made.y)[0] == pytest.approx((p[0] ** 2).sum())
    losses = scores.row_losses("classification", made.outputs.astype(np.float32), made.y)
    assert losses[0] == pytest.approx(9, abs=1e-3)
    assert losses[1] == pytest.approx(0, abs=1e-3)
    assert found["auc"] is not None


def test_the_calibration_error_of_five_rows_by_hand() -> None:
    """Confidences .95 (right), .95 (wrong), .62 (right), .65 (right), .55 (wrong), in three bins."""
    first = np.array([0.95, 0.95, 0.62, 0.65, 0.55])
    p = np.stack([first, 1 - first], axis=1)
    y = np.array([0, 1, 0, 0, 1])

    expected = (abs(0.95 + 0.95 - 1) + abs(0.62 + 0.65 - 2) + abs(0.55 - 0)) / 5
    assert scores.calibration_error(p, y) == pytest.approx(expected)


def test_a_sure_and_right_model_is_calibrated() -> None:
    """Confidence 1 belongs to the last bin, not to one beyond it."""
    assert scores.calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0
    assert scores.calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 0])) == 1


@given(sizes)
def test_the_utility_lies_between_zero_and_one(size: tuple[int, int, int]) -> None:
    made = answers(*size)
    outputs = (1000 * made.outputs).astype(np.float32)

    found = scores.utility("classification", outputs, made.y)
    assert found is not None
    assert 0 <= found <= 1
    found = scores.utility("regression", outputs[:, 0], made.y)
    assert found is not None
    assert 0 <= found <= 1


def test_the_utility_by_hand() -> None:
    assert scores.utility("classification", np.zeros((1, 2), np.float32), np.array([0])) == 1 - (0.25 + 0.25) / 2
    assert scores.utility("regression", np.array([[1.0], [9.0]], np.float32), np.array([0.0, 0.0])) == 1 - 2.5 / 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_lose_every_comparison(bad: float) -> None:
    """No warning, and no loss that looks good."""
    losses = scores.row_losses("classification", np.array([[bad, 0.0], [0.0, 0.0]], np.float32), np.array([0, 0]))
    assert not np.isfinite(losses[0])
    assert losses[1] == pytest.approx(math.log(2))
    assert not np.isfinite(scores.row_losses("regression", np.array([[bad]], np.float32), np.zeros(1))).any()


def test_huge_logits_do_not_overflow() -> None:
    p = scores.probabilities(np.array([[3e38, -3e38]], np.float32))

    assert p.tolist() == [[1.0, 0.0]]
