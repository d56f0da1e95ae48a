"""Every engine gives the updates of the deployed code; and the comparison notices an engine that does not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedgap.learning import conformance
from fedgap.learning.closed_form import ClosedFormEngine
from fedgap.learning.engine import Engine, Member, Update
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.stacked_manual import written_out
from fedgap.learning.task import Task, described
from fedgap.learning.tensor_engine import TensorEngine
from fedgap.learning.vector import build

CPU = torch.device("cpu")
FLOATS = [torch.float32, torch.float64]
QUICK = ("linear", "mlp tanh, dropout", "own module", "cnn, colour, dropout")


def manual(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine | None:
    """The written-out backward pass, for chains of linear layers."""
    if not written_out(task, build(task, like, CPU)):
        return None
    return TensorEngine(task, like, plan, CPU, kernel="stacked-manual", dtype=dtype)


def autograd(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine:
    """The stacked forward, for every model."""
    return TensorEngine(task, like, plan, CPU, kernel="stacked-autograd", dtype=dtype)


def closed_form(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine | None:
    """The numpy engine, for stacks of linear layers."""
    stack = described(task, like)
    kind = np.float64 if dtype == torch.float64 else np.float32
    return None if stack is None else ClosedFormEngine(stack, like, plan, kind)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("make", "cases"), [(manual, 5), (closed_form, 5)])
def test_engines_of_linear_layers_give_the_deployed_updates(
    make: conformance.MakeEngine, cases: int, dtype: torch.dtype
) -> None:
    found = list(conformance.compare(make, dtype=dtype))

    assert len(found) == cases * len(conformance.PLANS)
    assert [case for case in found if not case.holds] == []


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_autograd_engine_gives_the_deployed_updates(dtype: torch.dtype) -> None:
    """A few families here, all of them among the slow tests."""
    found = list(conformance.compare(autograd, families=QUICK, plans=("sgd, clipped", "adamw"), dtype=dtype))

    assert len(found) == 2 * len(QUICK)
    assert [case for case in found if not case.holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_autograd_engine_gives_the_deployed_updates_for_every_family_and_plan(dtype: torch.dtype) -> None:
    found = list(conformance.compare(autograd, dtype=dtype))

    assert len(found) == len(conformance.FAMILIES) * len(conformance.PLANS)
    assert [case for case in found if not case.holds] == []


def test_channels_innermost_change_no_more_than_the_last_bits() -> None:
    def make(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine:
        return SequentialEngine(task, like, plan, CPU, dtype=dtype, channels_last=True)

    for found in conformance.compare(make, families=("cnn",), plans=("sgd", "adam"), dtype=torch.float64):
        assert found.holds, found


class _Wrong:
    """An engine that does one thing differently."""

    name = "wrong"

    def __init__(self, engine: Engine, *, factor: float = 1.0, steps: int = 0, loss: float = 0.0) -> None:
        self.engine, self.plan = engine, engine.plan
        self.factor, self.steps, self.loss = factor, steps, loss
        self.train_many, self.outputs = engine.train_many, engine.outputs

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """A little off."""
        for update in self.engine.run_round(start, cohort, round_number):
            yield replace(
                update, delta=self.factor * update.delta, steps=update.steps + self.steps, loss=update.loss + self.loss
            )


@pytest.mark.parametrize("wrong", [{"factor": 1.0001}, {"steps": 1}, {"loss": 1e-4}], ids=str)
def test_an_engine_that_is_a_little_off_is_found(wrong: dict[str, float]) -> None:
    def make(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine:
        return _Wrong(SequentialEngine(task, like, plan, CPU, dtype=dtype), **wrong)  # type: ignore[arg-type]

    (found,) = conformance.compare(make, families=("linear",), plans=("sgd",))

    assert not found.holds


def test_an_engine_that_ignores_the_proximal_term_or_the_clipping_is_found() -> None:
    def make(task: Task, like: Rows, plan: LocalTraining, dtype: torch.dtype) -> Engine:
        return SequentialEngine(task, like, replace(plan, prox_mu=0.0, clip_norm=None), CPU, dtype=dtype)

    found = {case.plan: case.holds for case in conformance.compare(make, families=("mlp relu",))}

    assert [plan for plan, holds in found.items() if not holds] == ["sgd, clipped", "sgd, FedProx", "momentum", "adamw"]


def test_an_engine_may_be_made_for_some_tasks_only() -> None:
    assert list(conformance.compare(lambda *_: None)) == []
