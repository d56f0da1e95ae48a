"""The utility of any model that torch can differentiate, in float64 on the processor.

Rows are dear here, so `slopes` looks at blocks of them: one gradient a block costs no more than one gradient of all.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedgap.learning.parameters import ModelError
from fedgap.learning.rows import Index, Rows
from fedgap.learning.task import Task
from fedgap.learning.utility import MOST_SQUARED_ERROR, Measure, NoRowsError
from fedgap.learning.vector import FlatModel, build

Array = NDArray[np.float64]
BLOCKS = 32
IGNORED = -100
"""The target of a token that does not count, as everywhere in torch."""
_CHUNK = 1024
_IMAGE_AXES = 4


class TorchUtility:
    """Utility on given rows of a task's model.

    Args:
        model: in float64; its parameters are overwritten.
        measure: which utility.
        rows: as the task prepared them; outputs may be one vector a row or, for `likelihood`, one a token.

    Raises:
        NoRowsError: there are no rows.
    """

    def __init__(self, model: FlatModel, measure: Measure, rows: Rows) -> None:
        if len(rows) == 0:
            raise NoRowsError("There are no validation rows.")
        self.model, self.measure, self.data = model, measure, rows

    @classmethod
    def of(cls, task: Task, like: Rows, measure: Measure, rows: Rows) -> Self:
        """Build the task's model in float64 and try it.

        Raises:
            ModelError: it does not compute in float64, or cannot be differentiated.
        """
        model = build(task, like, torch.device("cpu"), torch.float64)
        images = like.x.ndim == _IMAGE_AXES and any(isinstance(layer, nn.Conv2d) for layer in model.module.modules())
        model.channels_last = images  # in float64 a quarter less work
        found = cls(model, measure, rows)
        try:
            found.on(np.arange(1)).gradient(np.zeros(model.size))
        except Exception as error:  # somebody else's model may fail in any way
            raise ModelError(
                "The model does not compute in float64, or cannot be differentiated.",
                remedy="Let its layers take the type of their parameters, so that contribution can be measured.",
            ) from error
        return found

    @property
    def rows(self) -> int:
        """How many rows there are, R."""
        return len(self.data)

    def on(self, index: Index) -> "TorchUtility":
        """The same utility on some of the rows."""
        return TorchUtility(self.model, self.measure, self.data.take(index))

    def value(self, vector: Array) -> float:
        """U at these parameters, shape (d,)."""
        self.model.write(vector)
        with torch.inference_mode():
            total = sum(float(self._summed(first)) for first in range(0, self.rows, _CHUNK))
        return total / self.rows

    def gradient(self, vector: Array) -> Array:
        """The gradient of U, shape (d,)."""
        return np.asarray(self._gradient(vector, np.arange(self.rows)) / self.rows)

    def slopes(self, vector: Array, along: Array) -> Array:
        """How fast the utility of blocks of rows grows along each direction, shape (k, d); returns (blocks, k).

        A block's entry is scaled so that the plain mean over blocks is `along @ gradient(vector)`.
        """
        count = min(BLOCKS, self.rows)
        blocks = [np.arange(first, self.rows, count) for first in range(count)]  # rows of one origin lie together
        columns = [along @ self._gradient(vector, block) for block in blocks]
        return np.stack(columns) * (len(blocks) / self.rows)

    def _gradient(self, vector: Array, index: Index) -> Array:
        """Gradient of the summed utility of some rows."""
        self.model.write(vector)
        self.model.gradient.zero_()
        for first in range(0, len(index), _CHUNK):
            torch.autograd.backward(self._of(self.data.take(index[first : first + _CHUNK])))
        found: Array = self.model.gradient.numpy().astype(np.float64, copy=True)
        return found

    def _summed(self, first: int) -> Tensor:
        return self._of(self.data.take(np.arange(first, min(first + _CHUNK, self.rows))))

    def _of(self, rows: Rows) -> Tensor:
        self.model.module.eval()
        x, y = self.model.batch(rows)
        return row_utilities(self.measure, self.model.module(x), y).sum()


def row_utilities(measure: Measure, outputs: Tensor, y: Tensor) -> Tensor:
    """One number a row, 0 to 1, shape (n,); `fedgap.learning.utility` has the formulas.

    Args:
        measure: which utility.
        outputs: shape (n, classes), (n, 1), or (n, tokens, classes) for `likelihood`.
        y: class numbers (-1: a class nobody trained on), targets, or token numbers (n, tokens), some of them ignored.
    """
    if measure == "squared-error":
        error = outputs.reshape(y.shape) - y
        return 1 - (error * error).clamp(max=MOST_SQUARED_ERROR) / MOST_SQUARED_ERROR
    p = nn.functional.softmax(outputs, dim=-1)
    known = y >= 0
    if measure == "brier":
        hit = nn.functional.one_hot(y.clamp(min=0), p.shape[1]).to(p) * known[:, None]
        return 1 - ((p - hit) ** 2).sum(dim=1) / 2
    least = 1 / p.shape[-1]
    likelihood = p.gather(-1, y.clamp(min=0)[..., None])[..., 0] * known
    bounded: Tensor = 1 + torch.log((1 - least) * likelihood + least) / -np.log(least)
    if bounded.dim() == 1:
        return bounded
    counts = y != IGNORED
    mean: Tensor = (bounded * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)
    return mean
