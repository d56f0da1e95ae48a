"""A description in numbers and the torch module made of it are the same model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedgap.config.task import ImageOptions, TabularOptions
from fedgap.learning.images import ImageTask
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.models import module_of
from fedgap.learning.rows import Rows
from fedgap.learning.tabular import TabularTask
from fedgap.learning.task import Task, described
from fedgap.learning.vector import build, initial


def rows(shape: tuple[int, ...] = (7,), classes: int = 3) -> Rows:
    """Rows of this shape."""
    return Rows(np.zeros((5, *shape), np.float32), np.arange(5) % classes)


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 30), max_size=3),
    dropout=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**40),
    kind=st.sampled_from(["classification", "regression"]),
)
def test_the_starting_model_has_the_bits_that_torch_s_has(
    hidden: list[int], dropout: float, seed: int, kind: str
) -> None:
    options = {"model": "mlp", "hidden": tuple(hidden), "dropout": dropout} if hidden else {"model": "linear"}
    task = TabularTask(TabularOptions.model_validate({"label": "y", **options}), kind)  # type: ignore[arg-type] # one of two
    data = rows() if kind == "classification" else Rows(np.zeros((5, 7), np.float32), np.zeros(5, np.float32))
    stack = described(task, data)
    assert stack is not None

    drawn = stack.initial(seed)

    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(initial(task, data, seed), drawn)
    assert build(task, data, torch.device("cpu")).size == stack.size == drawn.size


def test_names_are_those_of_the_linear_layers() -> None:
    for dropout in (0.0, 0.5):
        stack = LinearStack(widths=(4, 3, 3, 2), dropout=dropout)
        module = module_of(stack)

        assert [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)] == list(stack.names())


@pytest.mark.parametrize(
    ("options", "widths"),
    [({"model": "linear"}, (64, 3)), ({"model": "mlp", "hidden": (9,)}, (64, 9, 3)), ({"model": "cnn"}, None)],
)
def test_images_are_described_where_their_model_is_linear(
    options: dict[str, object], widths: tuple[int, ...] | None
) -> None:
    found = described(ImageTask(ImageOptions.model_validate(options)), rows((1, 8, 8)))

    assert widths == (None if found is None else found.widths)


class Mine(TabularTask):
    """Somebody's own model under an inherited description."""

    def model(self, rows: Rows) -> nn.Module:
        """Build another model."""
        del rows
        return nn.Linear(7, 3, bias=False)


class MyLoss(TabularTask):
    """Somebody's own loss."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each row."""
        return super().loss(outputs, targets) * 2


@pytest.mark.parametrize("task", [Mine, MyLoss])
def test_an_inherited_description_does_not_speak_for_another_model(task: type[TabularTask]) -> None:
    options = TabularOptions(label="y")

    assert described(TabularTask(options, "classification"), rows()) is not None
    assert described(task(options, "classification"), rows()) is None


def test_a_task_describes_nothing_of_itself() -> None:
    class Least(Task):
        """A task with nothing but what must be given."""

        kind = "classification"

        def load(self, source: object) -> Rows:
            """Load."""
            del source
            return rows()

        def model(self, rows: Rows) -> nn.Module:
            """Build the model."""
            return nn.Linear(rows.x.shape[1], 3)

    assert described(Least(), rows()) is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"widths": (3,)}, "inputs and of its outputs"), ({"widths": (3, 2), "loss": "squared"}, "one output")],
)
def test_an_impossible_description_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LinearStack(**wrong)  # type: ignore[arg-type] # that is the point
