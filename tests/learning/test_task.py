"""The example that the module shows is complete: it is executed as it stands, and trained."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fedgap.learning.task
from fedgap.learning import Rows, Task
from fedgap.learning.task import DataError
from fedgap.learning.vector import build, initial


def example() -> str:
    """The indented block of the module's docstring."""
    docstring = ast.get_docstring(ast.parse(inspect.getsource(fedgap.learning.task)), clean=True)
    assert docstring is not None
    lines = docstring.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("    "))
    last = max(i for i, line in enumerate(lines) if line.startswith("    "))
    return textwrap.dedent("\n".join(lines[first : last + 1])) + "\n"


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a class made from a text
    """The class of the example."""
    module = ModuleType("meter")
    monkeypatch.setitem(sys.modules, "meter", module)
    exec(compile(example(), "meter.py", "exec"), module.__dict__)  # noqa: S102 - our own documentation
    return module.__dict__["Meter"]


def test_the_example_is_a_task_of_about_fifteen_lines(meter: Any) -> None:  # noqa: ANN401 - as above
    assert isinstance(meter(), Task)
    assert len([line for line in example().splitlines() if line.strip()]) <= 15


def test_the_example_loads_and_learns(meter: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as above
    failed = np.arange(6) % 2
    np.savez(tmp_path / "m.npz", readings=np.ones((6, 24)) * failed[:, None], failed=failed)
    task = meter()
    rows = task.load(tmp_path / "m.npz")
    model = build(task, rows, torch.device("cpu"))

    assert isinstance(rows, Rows)
    assert rows.x.dtype == np.float32
    assert model.outputs(initial(task, rows, 0), rows).shape == (6, 2)
    loss = task.loss(torch.zeros(6, 2), torch.from_numpy(rows.y))
    assert loss.tolist() == pytest.approx([np.log(2)] * 6)


class Least(Task):
    """Nothing but what must be given."""

    kind = "regression"

    def load(self, source: Path) -> Rows:
        """Refuse: nothing is loaded here."""
        raise DataError(f"{source} is not here.")

    def model(self, rows: Rows) -> torch.nn.Module:
        """Build the model."""
        return torch.nn.Linear(rows.x.shape[1], 1)


def test_a_task_needs_load_and_model() -> None:
    class Without(Task):
        kind = "regression"

    with pytest.raises(TypeError, match="abstract"):
        Without()  # type: ignore[abstract] # that is the point


def test_a_task_without_preprocessing_passes_its_rows_through() -> None:
    rows = Rows(np.ones((2, 3), np.float32), np.ones(2, np.float32))
    task = Least()

    assert task.statistics(rows) is None
    assert task.merge([None, None]) is None
    assert task.prepare(rows, None, None) is rows
    assert task.alone("shared", "own") == "own"
    assert task.target_scale(None, None) == (0, 1)
    assert task.describe(None, None) == {}
    assert task.notes(rows, None, None) == []


def test_data_of_its_own_kind_need_a_prepare_of_its_own() -> None:
    class Data:
        def __len__(self) -> int:
            return 1

        def take(self, index: Any) -> "Data":  # noqa: ANN401 - never called
            del index
            return self

        def labels(self) -> Any:  # noqa: ANN401 - never called
            return np.zeros(1)

    with pytest.raises(TypeError, match=r"Least\.load returns no Rows"):
        Least().prepare(Data(), None, None)


def test_the_loss_of_a_regression_is_half_the_squared_error() -> None:
    loss = Least().loss(torch.tensor([[1.0], [4.0]]), torch.tensor([0.0, 2.0]))

    assert loss.tolist() == [0.5, 2.0]


def test_a_data_error_is_a_failure_and_not_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Least().load(tmp_path)
    assert (caught.value.code, caught.value.exit_status) == ("data.unusable", 1)
