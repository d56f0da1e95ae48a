"""Cross-validation chooses what is good on rows left out, sees no others, and survives what diverges."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.closed_form import ClosedFormEngine
from fedgap.learning.engine import Finished, Training
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Index, Rows
from fedgap.simulation.lockstep import answered_by
from fedgap.simulation.tuning import Choice, Losses, best, checkpoints, curves, retrained, tuned

ME = OrgId("ash")
PLAN = LocalTraining(seed=1, lr=0.1, epochs=12, batch_size=8)
START = np.zeros(2 * 3 + 2, np.float32)


class Spy(ClosedFormEngine):
    """Logistic regression on three numbers, which remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(LinearStack(widths=(3, 2)), rows(1), PLAN)
        self.asked: list[Training] = []

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Remember, and train."""
        self.asked += trainings
        return super().train_many(trainings)


def tune(
    data: Rows, parts: Sequence[Index], plan: LocalTraining = PLAN, lrs: Sequence[float] = (0.1,)
) -> tuple[Vector, Choice]:
    """Tune from zeros."""
    engine = Spy()
    return answered_by(engine, tuned(engine.outputs, START, data, parts, plan, lrs, ME, "classification"))


def curve(
    data: Rows, parts: Sequence[Index], plan: LocalTraining = PLAN, engine: Spy | None = None
) -> dict[int, Losses]:
    """The losses of one learning rate."""
    engine = engine or Spy()
    starts = [START] * len(parts)
    course = curves(engine.outputs, starts, data, parts, plan, (plan.lr,), ME, "classification")
    return answered_by(engine, course)[plan.lr]


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
    _, choice = tune(rows(), folds(), lrs=(1e-6, 0.3, 300.0))

    assert choice.lr == 0.3
    assert choice.length >= 6
    assert choice.mean_loss < 0.5


def test_where_training_hurts_less_of_it_is_chosen() -> None:
    """Labels are coin tosses: every epoch makes the rows left out worse."""
    data = rows(40)
    noise = Rows(data.x, np.random.default_rng(1).integers(0, 2, 40))
    found = curve(noise, folds(40, 4))
    _, choice = tune(noise, folds(40, 4), lrs=(1.0,))

    assert found[0].mean() < found[12].mean()
    assert choice.length < 12


def test_every_row_is_judged_by_a_model_that_did_not_see_it() -> None:
    """Rows carry their number; what is trained on and what is watched never meet."""
    engine = Spy()
    data = Rows(np.repeat(np.arange(60, dtype=np.float32)[:, None] / 60, 3, axis=1), np.arange(60) % 2)
    found = curve(data, folds(), engine=engine)

    assert [len(training.rows) for training in engine.asked] == [40, 40, 40]
    for training, left_out in zip(engine.asked, folds(), strict=True):
        assert training.watched is not None
        assert training.watched.x[:, 0].tolist() == data.x[left_out, 0].tolist()
        assert set(training.rows.x[:, 0].tolist()).isdisjoint(data.x[left_out, 0].tolist())
    assert sorted(found) == [0, *checkpoints(12)]
    assert all(np.isfinite(losses).all() for losses in found.values())


def test_learning_rates_share_the_rows_of_their_folds() -> None:
    """So that an engine can pack them once."""
    engine = Spy()
    answered_by(engine, curves(engine.outputs, [START] * 3, rows(), folds(), PLAN, (0.1, 0.2), ME, "classification"))

    assert len(engine.asked) == 6
    assert len({id(training.rows) for training in engine.asked}) == 3


def test_a_curve_judges_the_model_of_each_epoch() -> None:
    """The loss at epoch 3 is the loss of a training of three epochs; at 0 it is that of the start."""
    data, left_out = rows(), folds()[0]
    found = curve(data, [left_out])
    kept, watched = data.take(np.setdiff1d(np.arange(60), left_out)), data.take(left_out)
    engine = Spy()
    three = answered_by(engine, retrained(START, kept, PLAN, Choice(lr=0.1, length=3, losses=np.zeros(0)), ME))

    for length, vector in ((0, START), (3, three)):
        expected = scores.row_losses("classification", engine.outputs(vector, watched), watched.y)
        np.testing.assert_allclose(found[length][left_out], expected, rtol=1e-6)


def test_what_diverges_loses_and_does_no_harm() -> None:
    """Infinite losses, no warning and no NaN; the finite learning rate wins."""
    data = rows()
    data.x[:] *= 1e18
    found = curve(data, folds(), LocalTraining(seed=1, lr=1e30, epochs=4))

    assert not any(np.isnan(losses).any() for losses in found.values())
    assert np.isinf(found[4]).any()


def test_a_single_row_trains_as_configured() -> None:
    vector, choice = tune(rows(1), [], lrs=(0.01, 5.0))

    assert (choice.lr, choice.length, choice.losses.size) == (0.1, 12, 0)
    assert vector.any()


def test_a_length_of_zero_keeps_the_start() -> None:
    choice = Choice(lr=0.1, length=0, losses=np.zeros(0))

    assert answered_by(Spy(), retrained(START, rows(), PLAN, choice, ME)) is START
