"""May this model be stacked? Two organisations take two steps both ways, and the parameters are compared.

No list of safe layers: a list goes out of date in silence. What is found here, and was found in earnest, is a
normalisation over the batch (its statistics see the rows that fill up a short batch), a buffer that a forward pass
writes to (one for all models), a branch on the data, and torch's own random numbers.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fedgap.errors import FedgapError
from fedgap.ids import OrgId
from fedgap.learning.engine import Finished, Training
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.stacked_autograd import AutogradKernel
from fedgap.learning.task import Task
from fedgap.learning.tensor_engine import TensorEngine
from fedgap.learning.vector import initial

TOLERANCE = 1e-5
"""Largest difference of a parameter after two steps, in units of the larger of 1 and the largest parameter."""

STEPS = 2


def obstacle(task: Task, like: Rows, plan: LocalTraining, device: torch.device) -> str | None:
    """Say why the task's model cannot be stacked, or None if it can.

    In float64, where the device has it: there a difference is one of meaning. In float32 Adam, and a pooling with two
    equal inputs, make a large one of the last bit.

    Args:
        task: model and loss.
        like: at least one row of the federation; the trial uses these rows, over and over if they are few.
        plan: optimiser and batch size; the trial takes two of its steps.
        device: where.
    """
    dtype = torch.float32 if device.type == "mps" else torch.float64
    tried = replace(plan, epochs=None, steps=STEPS, patience=0)
    trainings = [
        Training(start=start, rows=rows, plan=tried, org=OrgId(f"trial-{number}"), round_number=0)
        for number, rows in enumerate(trial_rows(like, plan.batch_size))
        for start in [initial(task, like, plan.seed)]
    ]
    one_by_one = SequentialEngine(task, like, tried, device, dtype=dtype)
    before = _buffers(one_by_one.model.module)
    expected = one_by_one.train_many(trainings)
    written = [name for name, old in before.items() if not torch.equal(old, _buffers(one_by_one.model.module)[name])]
    if written:
        return f"its forward pass writes to the buffer {written[0]}, which a stack would share"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # vmap warns where it falls back to a loop, which would be slower
            found = TensorEngine(task, like, tried, device, kernel=AutogradKernel.name, dtype=dtype).train_many(
                trainings
            )
    except FedgapError:
        raise
    except Exception as error:  # noqa: BLE001 - somebody else's model may fail in any way
        return f"torch cannot run it for several organisations at once ({_first_line(error)})"
    apart = difference(expected, found)
    if not apart <= TOLERANCE:
        return f"stacked, it learns something else (parameters differ by {apart:.1e} after {STEPS} steps)"
    return None


def trial_rows(like: Rows, batch_size: int) -> tuple[Rows, Rows]:
    """Rows of two organisations: one with a full batch and a short one, one with two full batches."""
    short = batch_size + max(1, batch_size // 2)
    index = np.arange(short + 2 * batch_size, dtype=np.int64) % len(like)
    return like.take(index[:short]), like.take(index[short:])


def difference(expected: Sequence[Finished], found: Sequence[Finished]) -> float:
    """Largest difference between two lists of trained parameters, relative to the largest of them if above 1."""
    largest = 0.0
    for one, other in zip(expected, found, strict=True):
        size = max(1.0, float(np.abs(one.trained.vector).max()))
        largest = max(largest, float(np.abs(one.trained.vector - other.trained.vector).max()) / size)
    return largest


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers()}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__
