"""The stacked torch engines: any mixture of trainings gives what each of them gives alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.config.task import TabularOptions
from fedgap.ids import OrgId
from fedgap.learning import tensor_engine
from fedgap.learning.engine import Finished, Member, Training
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.tabular import TabularTask
from fedgap.learning.tensor_engine import TensorEngine
from fedgap.learning.vector import initial

CPU = torch.device("cpu")
TASK = TabularTask(
    TabularOptions(label="y", classes=("0", "1"), model="mlp", hidden=(5,), dropout=0.2), "classification"
)
PLAN = LocalTraining(seed=5, lr=0.1, batch_size=4)
KERNELS = ("stacked-manual", "stacked-autograd")


def rows(n: int, seed: int, size: float = 1.0) -> Rows:
    """Random rows of two classes."""
    x = (size * np.random.default_rng(seed).normal(size=(n, 3))).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


LIKE = rows(3, 0)
STARTS = [initial(TASK, LIKE, seed) for seed in range(3)]
ENGINES = {kernel: TensorEngine(TASK, LIKE, PLAN, CPU, kernel=kernel) for kernel in KERNELS}
REFERENCE = SequentialEngine(TASK, LIKE, PLAN, CPU)

lengths = st.one_of(
    st.builds(lambda n: {"epochs": n, "steps": None}, st.integers(1, 3)),
    st.builds(lambda n: {"epochs": None, "steps": n}, st.integers(1, 9)),
)


@st.composite
def trainings(draw: st.DrawFn) -> list[Training]:
    """A mixture of sizes, starts, rates, lengths, optimisers and things to watch."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        length = draw(lengths)
        plan = replace(
            PLAN,
            lr=draw(st.sampled_from([0.01, 0.1])),
            weight_decay=draw(st.sampled_from([0.0, 0.1])),
            optimizer=draw(st.sampled_from(["sgd", "momentum"])),
            patience=draw(st.sampled_from([0, 0, 0, 1])) if length["epochs"] else 0,
            **length,
        )
        watched = rows(draw(st.integers(1, 5)), 50 + number) if draw(st.booleans()) else None
        judged = tuple(range(1, (length["epochs"] or 0) + 1, 2)) if watched is not None else ()
        made.append(
            Training(
                start=draw(st.sampled_from(STARTS)),
                rows=rows(draw(st.integers(1, 11)), number),
                plan=plan,
                org=OrgId(f"org-{draw(st.integers(0, 9))}"),
                round_number=draw(st.integers(0, 3)),
                watched=watched,
                judged=judged if not plan.patience else (),
            )
        )
    return made


def assert_alike(expected: list[Finished], found: list[Finished]) -> None:
    """Parameters, answers, steps, losses and notes."""
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other.trained.vector, one.trained.vector, rtol=0, atol=1e-6)
        np.testing.assert_allclose(other.answers, one.answers, rtol=0, atol=1e-5)
        assert other.trained.loss == pytest.approx(one.trained.loss, abs=1e-5)
        assert (other.trained.steps, other.trained.notes) == (one.trained.steps, one.trained.notes)
        assert other.cpu_seconds >= 0


@pytest.mark.parametrize("kernel", KERNELS)
@given(trainings())
@settings(max_examples=25)
def test_any_mixture_gives_what_each_training_gives_alone(kernel: str, mixture: list[Training]) -> None:
    assert_alike(REFERENCE.train_many(mixture), ENGINES[kernel].train_many(mixture))


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_cut_into_chunks_and_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """Neither does packing the rows anew in every round."""
    cohort = [Member(org=OrgId(f"org-{number}"), rows=rows(3 + number, number)) for number in range(9)]
    engine = TensorEngine(TASK, LIKE, PLAN, CPU, kernel=kernel)
    whole = list(engine.run_round(STARTS[0], cohort, 1))
    for name in ("CACHE_BYTES", "RESULT_BYTES", "KEPT_ROWS_BYTES"):
        monkeypatch.setattr(tensor_engine, name, 1)
    for _ in range(2):
        for one, other in zip(whole, engine.run_round(STARTS[0], cohort[::-1], 1), strict=True):
            assert one.org == other.org
            np.testing.assert_allclose(other.delta, one.delta, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_that_runs_away_is_named_and_harms_nobody(kernel: str) -> None:
    engine = ENGINES[kernel]
    some = [
        Training(start=STARTS[0], rows=data, plan=PLAN, org=OrgId(name), round_number=1)
        for name, data in (("calm", rows(9, 1)), ("wild", rows(9, 2, 1e30)))
    ]
    calm, wild = engine.train_many(some)

    assert wild.diverged is not None
    assert_alike(REFERENCE.train_many(some[:1]), [calm])
    with pytest.raises(DivergedError, match="wild"):
        list(engine.run_round(STARTS[0], [Member(org=one.org, rows=one.rows) for one in some], 1))


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_rows_are_refused_before_anything_is_trained(kernel: str) -> None:
    with pytest.raises(EmptyTrainingError, match="none"):
        list(ENGINES[kernel].run_round(STARTS[0], [Member(org=OrgId("none"), rows=rows(0, 1))], 1))
    assert ENGINES[kernel].train_many([]) == []


def test_outputs_are_the_models() -> None:
    np.testing.assert_array_equal(ENGINES[KERNELS[1]].outputs(STARTS[1], LIKE), REFERENCE.outputs(STARTS[1], LIKE))


def test_without_a_wish_the_first_kernel_that_can_is_taken() -> None:
    assert TensorEngine(TASK, LIKE, PLAN, CPU).name == "stacked-manual"


def test_the_starting_vectors_are_left_alone() -> None:
    before = STARTS[0].copy()
    for engine in ENGINES.values():
        list(engine.run_round(STARTS[0], [Member(org=OrgId("a"), rows=rows(9, 1))], 1))

    np.testing.assert_array_equal(before, STARTS[0])
