"""Forward and backward through J stacks of linear layers at once, written out by hand: numpy only.

J models, B rows a batch, h_l what layer l gives, (J, B, width). The orders of the arrays are those in which batched
products of small matrices are fastest (measured; up to three times):

- W_1 is kept inputs first, (J, inputs + 1, outputs), with the bias as its last line, since every row ends with a one;
- later W_l are kept outputs first, (J, outputs, inputs), as in torch, with the bias beside them;
- the outputs of the last layer are feature-major, (J, outputs, B): they are few, and their rows make long lines.

Each model's numbers come from products and sums over its own lines only: the bits do not depend on J.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap import counter
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.stacked_slopes import activate, first_places, turn_into_slopes

Array = NDArray[Any]


class Layout:
    """How the flat vector is kept: torch's order, but for W_1 and its bias, which stand as (inputs + 1, outputs)."""

    def __init__(self, widths: Sequence[int]) -> None:
        self.inputs, self.outputs = widths[0], widths[1]
        self.first = (self.inputs + 1) * self.outputs
        self.later: list[tuple[slice, slice, tuple[int, int]]] = []
        at = self.first
        for before, after in pairwise(widths[1:]):
            weight, bias = slice(at, at + before * after), slice(at + before * after, at + (before + 1) * after)
            self.later.append((weight, bias, (after, before)))
            at = bias.stop
        inside = np.arange(at)
        inner = self.inputs * self.outputs
        transposed = inside[:inner].reshape(self.outputs, self.inputs).T
        self.from_torch = np.concatenate([transposed.reshape(-1), inside[inner:]])
        self.to_torch = np.argsort(self.from_torch)

    def change(self, weights: Array, start: Array) -> NDArray[np.float64]:
        """Weights, shape (J, d), minus the start, shape (d,), which is in torch's order like the result.

        Returns:
            float64, shape (J, d): exact differences.
        """
        found = np.empty(weights.shape, np.float64)
        inner = self.inputs * self.outputs
        matrices = weights[:, :inner].reshape(-1, self.inputs, self.outputs).swapaxes(1, 2)
        np.copyto(found[:, :inner].reshape(-1, self.outputs, self.inputs), matrices)
        found[:, inner:] = weights[:, inner:]
        found -= start.astype(np.float64)
        return found

    def views(self, flat: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """W_1, and W_l and b_l of the later layers, as views into (J, d) parameters or gradients."""
        first = flat[:, : self.first].reshape(len(flat), self.inputs + 1, self.outputs)
        later = [(flat[:, weight].reshape(len(flat), *shape), flat[:, bias]) for weight, bias, shape in self.later]
        return first, later


class StackedLayers:
    """Workspace for up to J models of one description and batches of B rows.

    Args:
        stack: the model.
        layout: of its parameters.
        models: J.
        rows: B.
        dtype: float32 or float64.

    Attributes:
        shape: (J, B).
        weights: parameters as in `Layout`, shape (J, d).
        gradient: of the batches' weighted losses, likewise.
    """

    def __init__(self, stack: LinearStack, layout: Layout, models: int, rows: int, dtype: DTypeLike) -> None:
        self.stack = stack
        self.shape = (models, rows)
        self.weights = np.empty((models, stack.size), dtype)
        self.gradient = np.empty_like(self.weights)
        self._layout = layout
        hidden = stack.widths[1:-1]
        self._hidden = [np.empty((models, rows, width), dtype) for width in hidden]
        self._bends = [np.empty((models, rows, width), dtype) for width in hidden]  # slopes of the activations
        self._kept = [np.empty((models, rows, width), dtype) for width in hidden if stack.dropout > 0]
        self._outputs = np.empty((models, stack.widths[-1], rows), dtype)
        self._places = first_places(self._outputs.shape)
        self._ones = np.ones((1, rows), dtype)
        self._known: dict[int, _Active] = {}

    def forward(self, x: Array, keys: Sequence[int]) -> Array:
        """What the models answer; valid until `backward`.

        Args:
            x: inputs with a last column of ones, shape (A, B, p + 1).
            keys: of each model's step, for dropout; ignored without.

        Returns:
            outputs, shape (A, outputs, B).
        """
        of = self._active(len(x))
        np.matmul(x, of.first, out=of.given[0])
        for number, later in enumerate(of.later):
            activate(self.stack.activation, of.given[number], of.bends[number])
            if self.stack.dropout > 0:
                self._drop(keys, number, of)
            if number < len(of.later) - 1:
                np.matmul(of.given[number], later.weights.swapaxes(1, 2), out=of.given[number + 1])
                of.given[number + 1] += later.biases
            else:
                np.matmul(later.weights, of.given[number].swapaxes(1, 2), out=of.outputs)
                np.add(of.outputs, later.biases.swapaxes(1, 2), out=of.outputs)
        return of.outputs

    def backward(self, x: Array, y: Array, weight: Array) -> None:
        """Write the gradient of each batch's weighted loss into `gradient[:A]`; after `forward` with the same x.

        Args:
            x: inputs with a last column of ones, shape (A, B, p + 1).
            y: class numbers or targets, shape (A, B).
            weight: of each row, to be broadcast to (A, 1, B): in the mean, or in a step that is its multiple.
        """
        of = self._active(len(x))
        turn_into_slopes(self.stack.loss, of.outputs, y, of.places)
        np.multiply(of.outputs, weight, out=of.outputs)
        slope = of.given[-1]
        for number in range(len(of.later) - 1, -1, -1):
            later, hidden = of.later[number], of.given[number]
            np.matmul(slope.swapaxes(1, 2), hidden, out=later.weight_slopes)
            np.matmul(self._ones, slope, out=later.bias_slopes)
            np.matmul(slope, later.weights, out=hidden)  # what the layer gave is no longer needed
            np.multiply(hidden, of.bends[number], out=hidden)
            slope = hidden
        np.matmul(x.swapaxes(1, 2), slope, out=of.first_slopes)

    def _drop(self, keys: Sequence[int], layer: int, of: "_Active") -> None:
        """Dropout: factors 0, or 1 / (1 - share), by the masks of `models.CounterDropout`."""
        kept = self._kept[layer][: len(of.outputs)]
        drawn = counter.uniform_of([counter.key(key, "dropout", layer) for key in keys], kept[0].size)
        keep = (drawn >= self.stack.dropout).reshape(kept.shape)
        np.multiply(keep, 1 / (1 - self.stack.dropout), out=kept, casting="same_kind")
        for factor in (of.given[layer], of.bends[layer]):
            np.multiply(factor, kept, out=factor)

    def _active(self, count: int) -> "_Active":
        """The first so many models' part of every array; taken once, since slicing takes as long as a small product."""
        known = self._known.get(count)
        if known is None:
            first, later = self._layout.views(self.weights[:count])
            first_slopes, later_slopes = self._layout.views(self.gradient[:count])
            outputs = self._outputs[:count]
            pairs = zip(later, later_slopes, strict=True)
            known = self._known[count] = _Active(
                first,
                first_slopes,
                [
                    _Later(weights, biases[:, None], slopes, beside[:, None])
                    for (weights, biases), (slopes, beside) in pairs
                ],
                [*(hidden[:count] for hidden in self._hidden), outputs.swapaxes(1, 2)],
                [bends[:count] for bends in self._bends],
                outputs,
                self._places[:count],
            )
        return known


class _Later(NamedTuple):
    """A layer after the first: (A, outputs, inputs) and (A, 1, outputs), and their slopes."""

    weights: Array
    biases: Array
    weight_slopes: Array
    bias_slopes: Array


class _Active(NamedTuple):
    """The part of the workspace that A models use; `given` holds what each layer gives, (A, B, width)."""

    first: Array
    first_slopes: Array
    later: list[_Later]
    given: list[Array]
    bends: list[Array]
    outputs: Array
    places: NDArray[np.int64]


def outputs(stack: LinearStack, layout: Layout, weights: Array, x: Array) -> Array:
    """What C models answer on the same rows.

    Args:
        stack: the model.
        layout: of `weights`.
        weights: shape (C, d).
        x: rows with a last column of ones, shape (n, p + 1).

    Returns:
        shape (C, n, outputs).
    """
    first, later = layout.views(weights)
    h = np.matmul(x, first)
    for weight, bias in later:
        activate(stack.activation, h)
        h = np.matmul(h, weight.swapaxes(1, 2))
        h += bias[:, None]
    return np.asarray(h)
