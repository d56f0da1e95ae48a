"""The utility: what reports show, differentiated; the closed form and torch agree."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fedgap.config import ImageOptions
from fedgap.learning import models, scores
from fedgap.learning.images import ImageTask
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.parameters import ModelError
from fedgap.learning.rows import Rows
from fedgap.learning.stack_utility import ACTIVATIONS, StackUtility
from fedgap.learning.task import Kind, Task
from fedgap.learning.torch_utility import IGNORED, TorchUtility
from fedgap.learning.torch_utility import row_utilities as torch_rows
from fedgap.learning.utilities import utility_of
from fedgap.learning.utility import DEFAULT, Measure, NoRowsError, row_utilities
from fedgap.learning.vector import FlatModel

MEASURES: list[tuple[Measure, int]] = [("brier", 3), ("likelihood", 3), ("squared-error", 1)]


def rows(measure: Measure, seed: int = 1, count: int = 70) -> Rows:
    """Random rows; some classes nobody trained on, some targets far off."""
    draw = np.random.default_rng(seed)
    y: NDArray[Any] = draw.integers(-1, 3, count)
    if measure == "squared-error":
        y = (2 * draw.normal(size=count)).astype(np.float32)
    return Rows(draw.normal(size=(count, 4)).astype(np.float32), y)


def stack(measure: Measure, widths: tuple[int, ...], activation: str = "tanh") -> tuple[StackUtility, TorchUtility]:
    """The same utility in closed form and by torch."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ({"sigmoid": nn.Sigmoid} | models.ACTIVATIONS)[activation]()]
    module = nn.Sequential(*layers[:-1])
    flat = FlatModel(module, nn.functional.cross_entropy, torch.device("cpu"), torch.float64)
    data = rows(measure)
    return StackUtility.of(widths, activation, measure, data), TorchUtility(flat, measure, data)


def parameters(widths: tuple[int, ...], seed: int = 2) -> NDArray[np.float64]:
    size = sum((a + 1) * b for a, b in pairwise(widths))
    return np.random.default_rng(seed).normal(scale=0.7, size=size)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("measure", "outputs"), MEASURES)
def test_the_closed_form_is_what_torch_computes(measure: Measure, outputs: int, activation: str) -> None:
    widths = (4, 6, 5, outputs)
    closed, by_torch = stack(measure, widths, activation)
    at, along = parameters(widths), np.random.default_rng(3).normal(size=(3, parameters(widths).size))

    assert closed.value(at) == pytest.approx(by_torch.value(at), abs=1e-12)
    assert closed.values(np.stack([at, 2 * at]))[1] == pytest.approx(by_torch.value(2 * at), abs=1e-12)
    assert closed.gradient(at) == pytest.approx(by_torch.gradient(at), abs=1e-12)
    for utility in (closed, by_torch):
        assert utility.slopes(at, along).mean(axis=0) == pytest.approx(along @ closed.gradient(at), abs=1e-12)
        assert utility.rows == 70


@pytest.mark.parametrize(("measure", "outputs"), MEASURES)
def test_the_gradient_is_the_limit_of_differences_row_by_row(measure: Measure, outputs: int) -> None:
    closed, _ = stack(measure, (4, outputs))
    at, step = parameters((4, outputs)), 1e-6
    along = np.random.default_rng(4).normal(size=(2, at.size))
    for column, move in enumerate(along):
        high, low = (closed._forward(at + sign * step * move)[0] for sign in (1, -1))
        change = row_utilities(measure, high, closed.y) - row_utilities(measure, low, closed.y)
        assert closed.slopes(at, along)[:, column] == pytest.approx(change / (2 * step), abs=1e-6)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_default_utility_is_the_one_that_reports_show(kind: Kind) -> None:
    measure = DEFAULT[kind]
    outputs = 1 if kind == "regression" else 3
    closed, _ = stack(measure, (4, outputs))
    at = parameters((4, outputs))
    answers = closed._forward(at)[0].astype(np.float32)
    assert closed.value(at) == pytest.approx(scores.utility(kind, answers, closed.y), abs=1e-6)


@pytest.mark.parametrize(("measure", "outputs"), MEASURES)
def test_every_rows_number_is_bounded(measure: Measure, outputs: int) -> None:
    far = np.random.default_rng(5).normal(scale=1e4, size=(200, outputs))
    y = rows(measure, count=200).y
    found = row_utilities(measure, far, y)
    assert found.min() >= 0
    assert found.max() <= 1


def test_parts_of_the_rows_average_to_the_whole() -> None:
    for utility in stack("brier", (4, 3)):
        at = parameters((4, 3))
        halves = [utility.on(np.arange(35)), utility.on(np.arange(35, 70))]
        assert sum(half.value(at) for half in halves) / 2 == pytest.approx(utility.value(at), abs=1e-12)


def test_tokens_that_are_ignored_do_not_count() -> None:
    outputs = torch.from_numpy(np.random.default_rng(6).normal(size=(2, 3, 4)))
    y = torch.tensor([[1, 2, IGNORED], [0, IGNORED, IGNORED]])
    found = torch_rows("likelihood", outputs, y)
    first = torch_rows("likelihood", outputs[0, :2], y[0, :2]).mean()
    assert found[0] == pytest.approx(float(first))
    assert found[1] == pytest.approx(float(torch_rows("likelihood", outputs[1, :1], y[1, :1])[0]))


def test_no_rows_are_refused() -> None:
    none = Rows(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    _, by_torch = stack("brier", (4, 3))
    with pytest.raises(NoRowsError):
        StackUtility.of((4, 3), "tanh", "brier", none)
    with pytest.raises(NoRowsError):
        TorchUtility(by_torch.model, "brier", none)


class Single(Task):
    """A model that insists on float32."""

    kind = "classification"

    def load(self, source: object) -> Rows:
        """Not needed here."""
        raise NotImplementedError

    def model(self, rows: Rows) -> nn.Module:
        """Cast to float32 first."""

        class Cast(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.float()

        del rows
        return nn.Sequential(Cast(), nn.Linear(4, 3))


def test_a_model_that_computes_in_single_precision_only_is_a_clear_error() -> None:
    with pytest.raises(ModelError, match="float64") as refused:
        TorchUtility.of(Single(), rows("brier"), "brier", rows("brier"))
    assert "type of their parameters" in refused.value.remedy


def test_stacks_of_linear_layers_need_no_torch_and_everything_else_uses_it() -> None:
    class Described(Single):
        def model(self, rows: Rows) -> nn.Module:
            del rows
            return nn.Linear(4, 3)

        def stack(self, rows: Rows) -> LinearStack:
            del rows
            return LinearStack(widths=(4, 3))

    class Convolved(Single):
        def model(self, rows: Rows) -> nn.Module:
            del rows
            return nn.Linear(4, 3)

    data = rows("brier")
    closed, by_torch = utility_of(Described(), data, data), utility_of(Convolved(), data, data)
    assert isinstance(closed, StackUtility)
    assert isinstance(by_torch, TorchUtility)
    at = parameters((4, 3))
    assert closed.gradient(at) == pytest.approx(by_torch.gradient(at), abs=1e-12)


def test_a_convolution_is_the_same_with_channels_innermost() -> None:
    draw = np.random.default_rng(3)
    data = Rows(draw.normal(size=(9, 2, 6, 5)).astype(np.float32), draw.integers(0, 3, 9))
    task = ImageTask(ImageOptions(channels=(4, 6), classes=3))
    quick = utility_of(task, data, data)
    assert isinstance(quick, TorchUtility)
    assert quick.model.channels_last
    vector = draw.normal(scale=0.3, size=quick.model.size)
    found = quick.value(vector), quick.gradient(vector)
    quick.model.channels_last = False

    assert found[0] == pytest.approx(quick.value(vector), abs=1e-13)
    np.testing.assert_allclose(found[1], quick.gradient(vector), atol=1e-13)
