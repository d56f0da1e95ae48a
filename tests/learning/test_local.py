"""Local training is one definition: reproducible, bounded, honest about what it could not do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedgap import counter
from fedgap.ids import OrgId
from fedgap.learning.local import train
from fedgap.learning.models import linear, mlp
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining, Trained
from fedgap.learning.rows import Rows
from fedgap.learning.vector import FlatModel

ME = OrgId("clinic-1")
PLAN = LocalTraining(seed=3, lr=0.1, epochs=3, batch_size=4)
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss of each row."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def rows(n: int = 11, inputs: int = 3, seed: int = 0) -> Rows:
    """Random rows of three classes."""
    x = np.random.default_rng(seed).normal(size=(n, inputs)).astype(np.float32)
    return Rows(x, np.abs(x.sum(axis=1) * 2).astype(np.int64) % 3)


def flat(module: nn.Module | None = None, loss: Loss = cross_entropy, dtype: torch.dtype = torch.float32) -> FlatModel:
    """A workspace; by default logistic regression."""
    return FlatModel(linear(3, 3) if module is None else module, loss, torch.device("cpu"), dtype)


def trained(
    plan: LocalTraining = PLAN,
    who: OrgId = ME,
    round_number: int = 1,
    data: Rows | None = None,
    model: FlatModel | None = None,
    start: float = 0.0,
) -> Trained:
    """Train from a vector of equal numbers, which no layer's own drawing can move."""
    model = flat() if model is None else model
    begin = np.full(model.size, start, model.flat.detach().numpy().dtype)
    return train(model, begin, rows() if data is None else data, plan, who, round_number)


def test_the_same_training_gives_the_same_bits() -> None:
    assert trained().vector.tobytes() == trained().vector.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        lambda: trained(who=OrgId("clinic-2")),
        lambda: trained(round_number=2),
        lambda: trained(replace(PLAN, seed=4)),
    ],
)
def test_another_organisation_round_or_seed_meets_rows_in_another_order(other: Callable[[], Trained]) -> None:
    assert not np.array_equal(trained().vector, other().vector)
    np.testing.assert_allclose(trained().vector, other().vector, atol=0.2)


def test_each_epoch_has_its_own_order() -> None:
    """Two rounds of one epoch from the first one's end are not one round of two epochs."""
    order = counter.key(3, "train", 1, "clinic-1")
    first, second = (counter.permutation(counter.key(order, "epoch", epoch), 11).tolist() for epoch in (0, 1))

    assert first != second


@given(n=st.integers(1, 20), batch=st.integers(1, 25), epochs=st.integers(1, 4))
def test_an_epoch_takes_every_row_once(n: int, batch: int, epochs: int) -> None:
    """The last batch may be short; none is left out or filled up."""
    seen: list[int] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.extend(targets.tolist())
        return outputs.sum(dim=1) * 0

    numbered = Rows(np.zeros((n, 1), np.float32), np.arange(n))
    model = flat(linear(1, 1), loss)
    got = train(model, np.zeros(2, np.float32), numbered, replace(PLAN, batch_size=batch, epochs=epochs), ME, 1)

    assert [sorted(seen[e * n : (e + 1) * n]) for e in range(epochs)] == [list(range(n))] * epochs
    assert len(seen) == n * epochs
    assert got.steps == epochs * -(-n // batch)


@pytest.mark.parametrize(("steps", "epochs"), [(3, 1), (6, 2), (9, 3)])
def test_as_many_steps_as_epochs_have_are_the_same_training(steps: int, epochs: int) -> None:
    """11 rows in batches of 4 are 3 steps an epoch."""
    by_steps = trained(replace(PLAN, epochs=None, steps=steps))

    assert by_steps.steps == steps
    assert by_steps.vector.tobytes() == trained(replace(PLAN, epochs=epochs)).vector.tobytes()


def test_steps_may_end_in_the_middle_of_an_epoch() -> None:
    four = trained(replace(PLAN, epochs=None, steps=4))

    assert four.steps == 4
    assert four.vector.tobytes() != trained(replace(PLAN, epochs=None, steps=5)).vector.tobytes()
    assert np.isfinite(four.loss)


def test_epochs_or_steps_and_early_stopping_only_by_epochs() -> None:
    for wrong in (
        {"epochs": 1, "steps": 1},
        {"epochs": None, "steps": None},
        {"epochs": None, "steps": 1, "patience": 1},
    ):
        with pytest.raises(ValueError, match="epochs"):
            replace(PLAN, **wrong)


def softmax_regression(data: Rows, plan: LocalTraining, round_number: int) -> NDArray[np.float64]:
    """The whole of local training once more, in numpy: SGD with weight decay, clipping and FedProx, from 0."""
    x, y = data.x.astype(np.float64), np.eye(3)[data.y]
    weight, bias = np.zeros((3, 3)), np.zeros(3)
    course = counter.key(plan.seed, "train", round_number, "clinic-1")
    for epoch in range(plan.epochs or 0):
        order = np.argsort(counter.words(counter.key(course, "epoch", epoch), len(x)))
        for first in range(0, len(x), plan.batch_size):
            batch = order[first : first + plan.batch_size]
            z = x[batch] @ weight.T + bias
            error = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - y[batch]
            grad_w, grad_b = error.T @ x[batch] / len(batch), error.mean(axis=0)
            grad_w, grad_b = grad_w + plan.prox_mu * weight, grad_b + plan.prox_mu * bias  # the anchor is 0
            norm = np.sqrt((grad_w**2).sum() + (grad_b**2).sum())
            scale = 1.0 if plan.clip_norm is None else min(1.0, plan.clip_norm / norm)
            weight -= plan.lr * (scale * grad_w + plan.weight_decay * weight)
            bias -= plan.lr * (scale * grad_b + plan.weight_decay * bias)
    return np.concatenate([weight.reshape(-1), bias])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"batch_size": 11},
        {"batch_size": 1},
        {"weight_decay": 0.1},
        {"prox_mu": 0.5},
        {"clip_norm": 0.05},
        {"weight_decay": 0.1, "prox_mu": 0.5, "clip_norm": 0.3, "lr": 0.7},
    ],
)
def test_the_update_is_that_of_an_independent_program(changed: dict[str, float | int]) -> None:
    """Row order, batches, gradient and step; to 1e-12 in float64 and 1e-6 in float32."""
    plan = replace(PLAN, **changed)  # type: ignore[arg-type] # the keys are fields
    expected = softmax_regression(rows(), plan, 4)

    exact = trained(plan, round_number=4, model=flat(dtype=torch.float64))
    np.testing.assert_allclose(exact.vector, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trained(plan, round_number=4).vector, expected, rtol=0, atol=1e-6)


def test_fedprox_pulls_towards_where_the_round_began() -> None:
    far = [np.abs(trained(replace(PLAN, prox_mu=mu), start=1.0).vector - 1).max() for mu in (0.0, 1.0, 9.0)]

    assert far[0] > far[1] > far[2] > 0


@given(norm=st.floats(1e-3, 1.0), lr=st.floats(0.01, 10.0))
@settings(max_examples=20)
def test_clipping_bounds_how_far_a_training_goes(norm: float, lr: float) -> None:
    """Each of its 9 steps is at most lr times the norm long."""
    got = trained(replace(PLAN, clip_norm=norm, lr=lr))

    assert np.linalg.norm(got.vector.astype(float)) <= 9 * lr * norm * 1.0001


def scarce(limit: int) -> Loss:
    """A loss for which memory suffices up to `limit` rows."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if len(targets) > limit:
            raise torch.OutOfMemoryError("not enough memory")
        return cross_entropy(outputs, targets)

    return loss


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10])
def test_out_of_memory_changes_how_a_batch_is_computed_and_not_the_update(limit: int) -> None:
    plan = replace(PLAN, batch_size=11, weight_decay=0.1, clip_norm=1.0)
    split = trained(plan, model=flat(loss=scarce(limit)))
    whole = trained(plan)

    np.testing.assert_allclose(split.vector, whole.vector, rtol=0, atol=1e-6)
    assert split.steps == whole.steps
    assert split.loss == pytest.approx(whole.loss)
    assert whole.notes == ()
    assert split.notes
    assert all("out of memory" in note for note in split.notes)


def test_out_of_memory_at_a_single_row_is_not_hidden() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        trained(model=flat(loss=scarce(0)))


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_dropout_is_the_same_however_the_batch_is_cut(limit: int) -> None:
    """The mask belongs to the row of the step, not to the piece."""
    plan = replace(PLAN, batch_size=8)
    whole, split, other = (
        trained(plan, round_number=number, model=flat(mlp(3, (6,), 3, "tanh", 0.5), loss), start=0.3)
        for number, loss in ((1, cross_entropy), (1, scarce(limit)), (2, cross_entropy))
    )

    np.testing.assert_allclose(split.vector, whole.vector, rtol=0, atol=1e-6)
    assert not np.allclose(whole.vector, other.vector, atol=1e-4)


def test_torch_s_own_dropout_is_reproducible_too() -> None:
    def once() -> Trained:
        return trained(model=flat(nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.5), nn.Linear(6, 3))), start=0.3)

    torch.manual_seed(1)
    first = once()
    torch.manual_seed(2)

    assert first.vector.tobytes() == once().vector.tobytes()
    plain = trained(model=flat(nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 3))), start=0.3)
    assert not np.allclose(first.vector, plain.vector, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_an_error_and_never_a_model(bad: float) -> None:
    data = rows()
    data.x[4, 1] = bad

    with pytest.raises(DivergedError, match="clinic-1 in round 1") as caught:
        trained(data=data)
    assert caught.value.code == "learning.diverged"


def test_clipping_does_not_turn_an_infinite_gradient_into_a_step() -> None:
    data = rows()
    data.x[:] = 3e38

    with pytest.raises(DivergedError):
        trained(replace(PLAN, clip_norm=1.0), data=data, start=1.0)


def test_a_learning_rate_out_of_all_proportion_diverges() -> None:
    def squared(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.reshape(-1) - targets) ** 2

    with pytest.raises(DivergedError):
        trained(replace(PLAN, lr=1e6, epochs=30), model=flat(linear(3, 1), squared), start=1.0)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(EmptyTrainingError, match="clinic-1"):
        trained(data=rows(0))


def test_one_row_is_enough() -> None:
    got = trained(data=rows(1))

    assert got.steps == 3
    assert got.vector.any()


def test_training_gets_better() -> None:
    losses = [trained(replace(PLAN, epochs=epochs), data=rows(60)).loss for epochs in (1, 5, 30)]

    assert losses == sorted(losses, reverse=True)


class Rising(nn.Module):
    """One parameter; the loss on held-out rows falls while it is below 1 and rises beyond."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """The parameter, once a row: pushed upwards in training, judged by its distance to 1 otherwise."""
        return -self.w.expand(len(x)) if self.training else (self.w - 1).abs().expand(len(x))


def itself(outputs: Tensor, targets: Tensor) -> Tensor:
    """The output is the loss."""
    del targets
    return outputs


def test_early_stopping_keeps_the_best_epoch() -> None:
    """The parameter grows by 0.3 an epoch: 0.9 after three is nearest to 1; two more epochs, then it stops."""
    ended: list[int] = []
    plan = LocalTraining(seed=1, lr=0.3, epochs=50, batch_size=100, patience=2, holdout=0.2)
    got = train(flat(Rising(), itself), np.zeros(1, np.float32), rows(10), plan, ME, 1, ended.append)

    assert got.vector.tolist() == pytest.approx([0.9])
    assert got.notes == ("early stopping kept epoch 3",)
    assert ended == [1, 2, 3, 4, 5]
    assert got.steps == 5


def test_early_stopping_may_keep_the_start() -> None:
    plan = LocalTraining(seed=1, lr=0.3, epochs=50, batch_size=100, patience=3)
    got = train(flat(Rising(), itself), np.full(1, 1.0, np.float32), rows(10), plan, ME, 1)

    assert got.vector.tolist() == [1.0]
    assert got.notes == ("early stopping kept epoch 0",)


def test_held_out_rows_are_not_trained_on() -> None:
    taught: set[int] = set()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            taught.update(targets.tolist())
        return outputs.sum(dim=1) * 0

    numbered = Rows(np.zeros((20, 1), np.float32), np.arange(20))
    train(flat(linear(1, 1), loss), np.zeros(2, np.float32), numbered, replace(PLAN, patience=9, holdout=0.25), ME, 1)

    assert len(taught) == 15


def test_with_too_few_rows_to_hold_out_it_trains_on_all_and_says_so() -> None:
    got = trained(replace(PLAN, patience=2), data=rows(1))

    assert got.vector.tobytes() == trained(data=rows(1)).vector.tobytes()
    assert got.notes == ("too few rows to hold any out: trained for all epochs without early stopping",)


def test_what_happens_after_an_epoch_may_look_but_changes_nothing() -> None:
    model, seen = flat(), list[float]()
    looked = train(
        model, np.zeros(12, np.float32), rows(), PLAN, ME, 1, lambda _: seen.append(float(model.read().sum()))
    )

    assert len(set(seen)) == 3
    assert looked.vector.tobytes() == trained().vector.tobytes()
