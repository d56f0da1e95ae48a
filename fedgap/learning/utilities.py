"""Which utility a task has, and how it is differentiated."""

from typing import TYPE_CHECKING

from fedgap.learning.engines import need_torch
from fedgap.learning.rows import Rows
from fedgap.learning.stack_utility import StackUtility
from fedgap.learning.task import Task, described
from fedgap.learning.utility import DEFAULT

if TYPE_CHECKING:
    from fedgap.learning.torch_utility import TorchUtility


def utility_of(task: Task, like: Rows, rows: Rows) -> "StackUtility | TorchUtility":
    """Open the task's utility on some rows: in closed form if its model is a stack of linear layers, else by torch.

    Args:
        task: says which model and which kind of utility.
        like: rows that fix the shape of the model.
        rows: validation rows, prepared.

    Raises:
        NoRowsError: there are none.
        ModelError: the model does not compute in float64.
        MissingExtraError: torch is needed and not installed.
    """
    stack, measure = described(task, like), DEFAULT[task.kind]
    if stack is not None:
        return StackUtility.of(stack.widths, stack.activation, measure, rows)
    need_torch("this model")
    from fedgap.learning.torch_utility import TorchUtility  # noqa: PLC0415 - loads torch

    return TorchUtility.of(task, like, measure, rows)
