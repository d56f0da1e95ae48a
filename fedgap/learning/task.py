"""What a federation learns: a model, a loss, a metric, and how an organisation's rows are loaded.

A task of your own is a class; this one is complete (save it as `meter.py`, name it `task = "meter:Meter"`):

    import numpy as np
    from torch import nn
    from fedgap.learning import Rows, Task

    class Meter(Task):
        \"\"\"Will the meter fail within a week? 24 hourly readings a row.\"\"\"

        kind = "classification"

        def load(self, source):
            with np.load(source, allow_pickle=False) as file:
                return Rows(file["readings"].astype(np.float32), file["failed"].astype(np.int64))

        def model(self, rows):
            return nn.Sequential(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 2))

The class is installed at every organisation like any other package; nothing of it ever comes from the server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedgap.errors import FedgapError
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.rows import Data, Rows

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["classification", "regression"]


class DataError(FedgapError):
    """An organisation's data cannot be used as they are; nothing was trained."""

    code = "data.unusable"
    remedy = "Correct the file named here; `fedgap config check` tries every file again."


class Task(ABC):
    """A model, a loss, a metric and a data loader. Subclass it; only `kind`, `load` and `model` must be given.

    Statistics for preprocessing are sums, so that those of several organisations can be added: `statistics` computes
    one organisation's, `merge` adds them, `prepare` uses them. A task that needs none leaves these three alone.
    """

    kind: Kind
    """Decides the loss and the metrics: cross-entropy and accuracy, or squared error and R2."""

    @abstractmethod
    def load(self, source: Path) -> Data:
        """Read one organisation's rows from its own file.

        Raises:
            DataError: the file cannot be used; say which and why, without showing a value from a row.
        """

    @abstractmethod
    def model(self, rows: Rows) -> nn.Module:
        """Build the untrained model that fits rows like these (look at shapes only)."""

    def stack(self, rows: Rows) -> LinearStack | None:
        """Describe `model(rows)`, if it is a stack of linear layers, so that it can be trained without torch.

        Fast engines compute what this says in place of `model` and `loss`; None, the default, keeps them out.
        """
        del rows
        return None

    def statistics(self, data: Data) -> Any:  # noqa: ANN401 - each task has its own statistics
        """Sum up what preprocessing needs to know of one organisation's training rows."""
        del data

    def merge(self, parts: Sequence[Any]) -> Any:  # noqa: ANN401 - each task has its own statistics
        """Add the statistics of several organisations."""
        del parts

    def prepare(self, data: Data, shared: Any, own: Any) -> Rows:  # noqa: ANN401 - each task has its own statistics
        """Turn loaded rows into numbers a model can take.

        Args:
            data: rows of one organisation, training or test.
            shared: merged statistics of everyone who trains together.
            own: statistics of this organisation alone.
        """
        del shared, own
        if not isinstance(data, Rows):
            raise TypeError(f"{type(self).__name__}.load returns no Rows, so it must define prepare")
        return data

    def alone(self, shared: Any, own: Any) -> Any:  # noqa: ANN401 - each task has its own statistics
        """Statistics of an organisation that trains alone: its own means, but the classes and levels everyone knows."""
        del shared
        return own

    def target_scale(self, shared: Any, own: Any) -> tuple[float, float]:  # noqa: ANN401 - each task has its own
        """Mean and scale that turn a prediction back into the target's own units (regression)."""
        del shared, own
        return 0.0, 1.0

    def describe(self, shared: Any, own: Any) -> Mapping[str, Any]:  # noqa: ANN401 - each task has its own statistics
        """Say in plain JSON values what `prepare` would do; kept with the trained model."""
        del shared, own
        return {}

    def notes(self, data: Data, shared: Any, own: Any) -> list[str]:  # noqa: ANN401 - each task has its own statistics
        """Say what `prepare` had to work around in these rows: missing cells, unseen categories, constant columns."""
        del data, shared, own
        return []

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each row, shape (n,). By default cross-entropy, or half the squared error."""
        from torch.nn import functional  # noqa: PLC0415 - a task can be named and checked without torch

        if self.kind == "classification":
            return functional.cross_entropy(outputs, targets, reduction="none")
        return 0.5 * (outputs.reshape(targets.shape) - targets) ** 2


def described(task: Task, rows: Rows) -> LinearStack | None:
    """The stack of linear layers that the task trains, or None.

    A description counts only if nothing was overridden below the class that gives it: somebody who derives a task and
    changes its `model` or `loss` gets these trained, whatever an inherited `stack` says.
    """
    lineage = type(task).__mro__
    giver = next(number for number, of in enumerate(lineage) if "stack" in vars(of))
    if any(name in vars(of) for of in lineage[:giver] for name in ("model", "loss")):
        return None
    return task.stack(rows)
