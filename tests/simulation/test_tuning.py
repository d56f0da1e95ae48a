"""Cross-validation chooses what is good on rows left out, sees no others, and survives what diverges."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fedgap.ids import OrgId
from fedgap.learning.local import LocalTraining, train
from fedgap.learning.models import linear
from fedgap.learning.rows import Index, Rows
from fedgap.learning.vector import FlatModel
from fedgap.simulation import tuning
from fedgap.simulation.tuning import Choice, best, checkpoints, curve, retrain, tuned

ME = OrgId("ash")
PLAN = LocalTraining(seed=1, lr=0.1, epochs=12, batch_size=8)
START = np.zeros(2 * 3 + 2, np.float32)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss of each row."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def model() -> FlatModel:
    """Logistic regression on three numbers."""
    return FlatModel(linear(3, 2), cross_entropy, torch.device("cpu"))


def rows(n: int = 60, *, noise: float = 0.3) -> Rows:
    """Rows that can be learned."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return Rows(x, (x[:, 0] - x[:, 1] + noise * rng.normal(size=n) > 0).astype(np.int64))


def folds(n: int = 60, count: int = 3) -> list[Index]:
    """Every `count`-th row together."""
    return [np.arange(n)[part::count] for part in range(count)]


@given(st.integers(1, 5000))
def test_checkpoints_grow_by_about_a_third_up_to_the_most(most: int) -> None:
    lengths = checkpoints(most)

    assert (lengths[0], lengths[-1]) == (1, most)
    assert all(a < b <= max(a + 1, round(a * 4 / 3)) for a, b in pairwise(lengths))


def test_without_epochs_nothing_is_judged() -> None:
    assert checkpoints(0) == ()


def test_best_is_the_smallest_mean_and_the_first_of_equals() -> None:
    def losses(value: float) -> np.ndarray:
        return np.full(4, value)

    chosen = best({0.1: {1: losses(3), 2: losses(1)}, 0.3: {1: losses(1), 2: losses(2)}})
    assert (chosen.lr, chosen.length, chosen.mean_loss) == (0.1, 2, 1)
    assert best({0.1: {1: losses(np.inf)}, 0.3: {1: losses(9)}}).lr == 0.3


def test_a_choice_without_rows_left_out_is_the_worst() -> None:
    assert Choice(lr=1, length=1, losses=np.zeros(0)).mean_loss == np.inf


def test_of_a_tiny_a_fair_and_a_wild_learning_rate_the_fair_one_is_chosen() -> None:
    _, choice = tuned(model(), START, rows(), folds(), PLAN, (1e-6, 0.3, 300.0), ME, "classification")

    assert choice.lr == 0.3
    assert choice.length >= 6
    assert choice.mean_loss < 0.5


def test_where_training_hurts_less_of_it_is_chosen() -> None:
    """Labels are coin tosses: every epoch makes the rows left out worse."""
    data = rows(40)
    noise = Rows(data.x, np.random.default_rng(1).integers(0, 2, 40))
    found = curve(model(), [START] * 4, noise, folds(40, 4), PLAN, ME, "classification")
    _, choice = tuned(model(), START, noise, folds(40, 4), PLAN, (1.0,), ME, "classification")

    assert found[0].mean() < found[12].mean()
    assert choice.length < 12


def test_every_row_is_judged_by_a_model_that_did_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows carry their number; what is trained on and what is watched never meet."""
    trained_on: list[set[float]] = []

    def spy(model: FlatModel, start: np.ndarray, data: Rows, *rest: object) -> object:
        trained_on.append(set(data.x[:, 0].tolist()))
        return train(model, start, data, *rest)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(tuning, "train", spy)
    data = Rows(np.repeat(np.arange(60, dtype=np.float32)[:, None] / 60, 3, axis=1), np.arange(60) % 2)
    found = curve(model(), [START] * 3, data, folds(), PLAN, ME, "classification")

    assert [len(seen) for seen in trained_on] == [40, 40, 40]
    for seen, left_out in zip(trained_on, folds(), strict=True):
        assert seen.isdisjoint(data.x[left_out, 0].tolist())
    assert sorted(found) == [0, *checkpoints(12)]
    assert all(np.isfinite(losses).all() for losses in found.values())


def test_a_curve_judges_the_model_of_each_epoch() -> None:
    """The loss at epoch 3 is the loss of a training of three epochs."""
    data, left_out = rows(), folds()[0]
    found = curve(model(), [START], data.take(np.arange(60)), [left_out], PLAN, ME, "classification")
    kept = data.take(np.setdiff1d(np.arange(60), left_out))
    workspace = model()
    three = retrain(workspace, START, kept, PLAN, Choice(lr=0.1, length=3, losses=np.zeros(0)), ME)
    outputs = workspace.outputs(three, data.take(left_out))

    expected = cross_entropy(torch.from_numpy(outputs), torch.from_numpy(data.y[left_out])).numpy()
    np.testing.assert_allclose(found[3][left_out], expected, rtol=1e-5)


def test_what_diverges_loses_and_does_no_harm() -> None:
    """Infinite losses, no warning and no NaN; the finite learning rate wins."""
    data = rows()
    data.x[:] *= 1e18
    found = curve(model(), [START] * 3, data, folds(), LocalTraining(seed=1, lr=1e30, epochs=4), ME, "classification")

    assert not any(np.isnan(losses).any() for losses in found.values())
    assert np.isinf(found[4]).any()


def test_a_single_row_trains_as_configured() -> None:
    vector, choice = tuned(model(), START, rows(1), [], PLAN, (0.01, 5.0), ME, "classification")

    assert (choice.lr, choice.length, choice.losses.size) == (0.1, 12, 0)
    assert vector.any()


def test_a_length_of_zero_keeps_the_start() -> None:
    choice = Choice(lr=0.1, length=0, losses=np.zeros(0))

    assert retrain(model(), START, rows(), PLAN, choice, ME) is START
