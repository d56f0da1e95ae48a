"""The stacked engine gives every training what `fedgap.learning.local` gives it alone; company changes no bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fedgap.ids import OrgId
from fedgap.learning.closed_form import ClosedFormEngine
from fedgap.learning.engine import Finished, Member, Training
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.local import train
from fedgap.learning.models import module_of
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining, Trained
from fedgap.learning.rows import Rows
from fedgap.learning.vector import FlatModel

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": lambda z, y: functional.cross_entropy(z, y, reduction="none"),
    "squared": lambda z, y: 0.5 * (z.reshape(y.shape) - y) ** 2,
    "sigmoid": lambda z, y: functional.binary_cross_entropy_with_logits(z.reshape(y.shape), y, reduction="none"),
    "poisson": lambda z, y: functional.poisson_nll_loss(z.reshape(y.shape), y, reduction="none"),
}
torch.set_num_threads(1)  # small products; a second thread only waits
PLAN = LocalTraining(seed=1, lr=0.05, epochs=2, batch_size=8)


def rows(n: int, stack: LinearStack, seed: int = 0) -> Rows:
    """Random rows with targets that suit the loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, stack.widths[0])).astype(np.float32)
    targets: dict[str, Any] = {
        "softmax": rng.integers(0, stack.widths[-1], n),
        "squared": rng.normal(size=n).astype(np.float32),
        "sigmoid": rng.integers(0, 2, n).astype(np.float32),
        "poisson": rng.poisson(2, n).astype(np.float32),
    }
    return Rows(x, targets[stack.loss])


def alone(stack: LinearStack, training: Training, dtype: torch.dtype = torch.float64) -> Trained:
    """The definition: one organisation, with torch."""
    model = FlatModel(module_of(stack), LOSSES[stack.loss], torch.device("cpu"), dtype)
    return train(model, training.start, training.rows, training.plan, training.org, training.round_number)


@st.composite
def stacks(draw: st.DrawFn) -> LinearStack:
    """Any description."""
    loss: Any = draw(st.sampled_from(sorted(LOSSES)))
    widths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3))
    activation: Any = draw(st.sampled_from(["relu", "gelu", "tanh", "sigmoid"]))
    outputs = draw(st.integers(2, 5)) if loss == "softmax" else 1
    return LinearStack(
        widths=(*widths, outputs), activation=activation, dropout=draw(st.sampled_from([0.0, 0.4])), loss=loss
    )


@st.composite
def plans(draw: st.DrawFn) -> LocalTraining:
    """Any plan that the configuration can ask for."""
    patience = draw(st.sampled_from([0, 0, 1, 2]))
    steps = None if patience else draw(st.sampled_from([None, None, 1, 5]))
    return LocalTraining(
        seed=draw(st.integers(0, 9)),
        optimizer=draw(st.sampled_from(["sgd", "momentum", "nesterov", "adam", "adamw"])),
        lr=draw(st.sampled_from([0.003, 0.05])),
        epochs=draw(st.integers(1, 4)) if steps is None else None,
        steps=steps,
        batch_size=draw(st.sampled_from([1, 3, 8, 64])),
        weight_decay=draw(st.sampled_from([0.0, 0.1])),
        clip_norm=draw(st.sampled_from([None, 0.3])),
        prox_mu=draw(st.sampled_from([0.0, 0.5])),
        patience=patience,
    )


def cohort(stack: LinearStack, plan: LocalTraining, sizes: list[int]) -> list[Training]:
    """One training a size, each with its own learning rate and name."""
    start = stack.initial(3)
    return [
        Training(
            start=start.astype(np.float64) if number % 2 else start,
            rows=rows(size, stack, number),
            plan=replace(plan, lr=plan.lr * (1 + number)),
            org=OrgId(f"site-{number}"),
            round_number=number,
        )
        for number, size in enumerate(sizes)
    ]


def bits(finished: Finished) -> tuple[bytes, int, float]:
    """All that must be equal."""
    return finished.trained.vector.tobytes(), finished.trained.steps, finished.trained.loss


@settings(max_examples=150, deadline=None)
@given(stack=stacks(), plan=plans(), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_every_training_is_the_deployed_one(stack: LinearStack, plan: LocalTraining, sizes: list[int]) -> None:
    """In float64 to 1e-12: the same rows, batches, masks, steps, losses, notes and early stops."""
    trainings = cohort(stack, plan, sizes)
    engine = ClosedFormEngine(stack, trainings[0].rows, plan, np.float64)

    for training, finished in zip(trainings, engine.train_many(trainings), strict=True):
        expected = alone(stack, replace_start(training))
        np.testing.assert_allclose(finished.trained.vector, expected.vector, rtol=0, atol=1e-12 * scale(expected))
        assert finished.trained.loss == pytest.approx(expected.loss, rel=1e-9, abs=1e-12)
        assert (finished.trained.steps, finished.trained.notes) == (expected.steps, expected.notes)


def replace_start(training: Training) -> Training:
    """The same in float64."""
    return replace(training, start=training.start.astype(np.float64))


def scale(trained: Trained) -> float:
    """Largest parameter, at least 1."""
    return max(1.0, float(np.abs(trained.vector).max()))


@settings(max_examples=60, deadline=None)
@given(stack=stacks(), plan=plans(), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_in_float32_an_update_is_the_deployed_one_to_a_millionth(
    stack: LinearStack, plan: LocalTraining, sizes: list[int]
) -> None:
    """One round. Adam divides by the root of squares near zero, so its first steps show no more than that."""
    plan = replace(plan, patience=0, optimizer=plan.optimizer.replace("adamw", "sgd").replace("adam", "momentum"))
    trainings = [replace(t, start=t.start.astype(np.float32)) for t in cohort(stack, plan, sizes)]
    engine = ClosedFormEngine(stack, trainings[0].rows, plan)

    for training, finished in zip(trainings, engine.train_many(trainings), strict=True):
        expected = alone(stack, training, torch.float32)
        assert finished.trained.vector.dtype == np.float32
        np.testing.assert_allclose(finished.trained.vector, expected.vector, rtol=0, atol=1e-6 * scale(expected))


@settings(max_examples=40, deadline=None)
@given(stack=stacks(), plan=plans(), sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6), data=st.data())
def test_the_bits_do_not_depend_on_the_company(
    stack: LinearStack, plan: LocalTraining, sizes: list[int], data: st.DataObject
) -> None:
    """Alone, with some of the others, or in another order: so neither workers nor batches of splits change a result."""
    trainings = cohort(stack, plan, sizes)
    together = ClosedFormEngine(stack, trainings[0].rows, plan).train_many(trainings)
    some = data.draw(st.permutations(range(len(sizes))))[: data.draw(st.integers(1, len(sizes)))]
    again = ClosedFormEngine(stack, trainings[0].rows, plan).train_many([trainings[at] for at in some])

    assert [bits(together[at]) for at in some] == [bits(finished) for finished in again]


def test_more_trainings_than_fit_the_cache_are_cut_into_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = LinearStack(widths=(5, 4, 3))
    trainings = cohort(stack, PLAN, [9, 3, 30, 17, 1])
    whole = ClosedFormEngine(stack, trainings[0].rows, PLAN).train_many(trainings)
    monkeypatch.setattr("fedgap.learning.closed_form.CACHE_BYTES", 1)

    cut = ClosedFormEngine(stack, trainings[0].rows, PLAN).train_many(trainings)

    assert [bits(finished) for finished in whole] == [bits(finished) for finished in cut]


def test_watched_rows_are_answered_by_the_model_of_each_epoch() -> None:
    stack = LinearStack(widths=(4, 6, 3), activation="tanh")
    (training,) = cohort(stack, replace(PLAN, epochs=5), [21])
    watched = rows(7, stack, 9)
    engine = ClosedFormEngine(stack, watched, PLAN)
    (finished,) = engine.train_many([replace(training, watched=watched, judged=(1, 3, 5))])

    assert finished.answers.shape == (3, 7, 3)
    for epochs, answers in zip((1, 3, 5), finished.answers, strict=True):
        (shorter,) = engine.train_many([replace(training, plan=replace(training.plan, epochs=epochs))])
        np.testing.assert_array_equal(answers, engine.outputs(shorter.vector(), watched))


def test_what_runs_away_is_told_and_harms_nobody() -> None:
    stack = LinearStack(widths=(3, 1), loss="squared")
    calm, wild = cohort(stack, replace(PLAN, epochs=40), [12, 12])
    wild = replace(wild, plan=replace(wild.plan, lr=1e30))
    (expected,) = ClosedFormEngine(stack, calm.rows, PLAN).train_many([calm])
    first, second = ClosedFormEngine(stack, calm.rows, PLAN).train_many([calm, wild])

    assert bits(expected) == bits(first)
    assert first.diverged is None
    assert isinstance(second.diverged, DivergedError)
    with pytest.raises(DivergedError, match="site-1 in round 1"):
        second.vector()


def test_a_training_without_rows_is_refused() -> None:
    stack = LinearStack(widths=(3, 2))

    with pytest.raises(EmptyTrainingError, match="site-0"):
        ClosedFormEngine(stack, rows(1, stack), PLAN).train_many(cohort(stack, PLAN, [0]))


def test_a_round_gives_updates_in_name_order_and_is_repeatable() -> None:
    stack = LinearStack(widths=(3, 8, 2))
    members = [Member(org=OrgId(name), rows=rows(5 + n, stack, n)) for n, name in enumerate("cab")]
    engine, start = ClosedFormEngine(stack, members[0].rows, PLAN), stack.initial(0)
    first = list(engine.run_round(start, members, 1))
    list(engine.run_round(start, members, 2))

    assert [update.org for update in first] == ["a", "b", "c"]
    again = list(engine.run_round(start, members[::-1], 1))
    assert [update.delta.tobytes() for update in first] == [update.delta.tobytes() for update in again]
    assert all(update.delta.dtype == np.float64 and update.wall_seconds > 0 for update in first)


def test_who_was_prepared_is_packed_once_for_all_rounds_and_trains_alike() -> None:
    stack = LinearStack(widths=(3, 8, 2))
    members = [Member(org=OrgId(name), rows=rows(5 + n, stack, n)) for n, name in enumerate("abc")]
    start, packed = stack.initial(0), ClosedFormEngine(stack, members[0].rows, PLAN)
    packed.prepare(members)
    kept = packed.packed.x

    for number, some in enumerate(([members[2]], members), 1):
        fresh = ClosedFormEngine(stack, members[0].rows, PLAN).run_round(start, some, number)
        found = packed.run_round(start, some, number)
        assert [update.delta.tobytes() for update in found] == [update.delta.tobytes() for update in fresh]
    assert packed.packed.x is kept
    assert len(kept) == sum(len(member.rows) for member in members)


def test_answers_are_those_of_the_module() -> None:
    """Also for images, for more rows than are answered at a time, and for none."""
    stack = LinearStack(widths=(12, 5, 3), activation="gelu")
    x = np.random.default_rng(0).normal(size=(5000, 1, 3, 4)).astype(np.float32)
    data, start = Rows(x, np.zeros(5000, np.int64)), stack.initial(2)
    model = FlatModel(module_of(stack), LOSSES["softmax"], torch.device("cpu"))
    engine = ClosedFormEngine(stack, data, PLAN)

    np.testing.assert_allclose(engine.outputs(start, data), model.outputs(start, data), atol=1e-6)
    assert engine.outputs(start, data.take(np.zeros(0, np.int64))).shape == (0, 3)
