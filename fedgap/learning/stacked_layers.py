"""Forward and backward through J stacks of linear layers at once, written out by hand: numpy only.

J models, B rows a batch, h_l layer l's output; arrays are feature-major: h_l has shape (J, width, B), so that layers
with few outputs still give the matrix product long lines. Biases stand beside the weights, as the last column of
W_l (J, outputs, inputs + 1), and every h_l has a last line of ones. One product a layer then does both.

Each model's numbers come from products and sums over its own lines only: the bits do not depend on J.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap import counter
from fedgap.learning.linear_stack import Activation, LinearStack, Loss

Array = NDArray[Any]


class Layout:
    """Where each layer stands in the flat vector, and how the order with biases inside comes from torch's order."""

    def __init__(self, widths: Sequence[int]) -> None:
        shapes = [(after, before + 1) for before, after in pairwise(widths)]
        ends = list(accumulate((rows * columns for rows, columns in shapes), initial=0))
        self.shapes = tuple(shapes)
        self.places = tuple(slice(first, last) for first, last in pairwise(ends))
        parts = []
        for (rows, columns), place in zip(self.shapes, self.places, strict=True):
            inside = np.arange(place.start, place.stop)
            weights = inside[: rows * (columns - 1)].reshape(rows, columns - 1)
            parts.append(np.concatenate([weights, inside[rows * (columns - 1) :, None]], axis=1).reshape(-1))
        self.from_torch = np.concatenate(parts)
        self.to_torch = np.argsort(self.from_torch)

    def change(self, weights: Array, start: Array) -> NDArray[np.float64]:
        """Weights, shape (J, d), minus the start, shape (d,), which is in torch's order like the result.

        Returns:
            float64, shape (J, d): exact differences.
        """
        found = np.empty(weights.shape, np.float64)
        for place, (rows, columns), layer in zip(self.places, self.shapes, self.views(weights), strict=True):
            split = place.start + rows * (columns - 1)
            inner = start[place.start : split].reshape(rows, columns - 1)
            view = found[:, place.start : split].reshape(len(found), rows, columns - 1)
            np.subtract(layer[:, :, :-1], inner, out=view, dtype=np.float64)
            np.subtract(layer[:, :, -1], start[split : place.stop], out=found[:, split : place.stop], dtype=np.float64)
        return found

    def views(self, flat: Array) -> list[Array]:
        """W_l of every layer as views into (J, d) parameters or gradients."""
        pairs = zip(self.places, self.shapes, strict=True)
        return [flat[:, place].reshape(len(flat), *shape) for place, shape in pairs]


class StackedLayers:
    """Workspace for up to J models of one description and batches of B rows.

    Args:
        stack: the model.
        models: J.
        rows: B.
        dtype: float32 or float64.

    Attributes:
        shape: (J, B).
        weights: parameters with biases inside (`Layout`), shape (J, d).
        gradient: of the batches' mean losses, likewise.
    """

    def __init__(self, stack: LinearStack, layout: Layout, models: int, rows: int, dtype: DTypeLike) -> None:
        self.stack = stack
        self.shape = (models, rows)
        self.weights = np.empty((models, stack.size), dtype)
        self.gradient = np.empty_like(self.weights)
        self._layers, self._slopes = layout.views(self.weights), layout.views(self.gradient)
        self._hidden = [np.ones((models, width + 1, rows), dtype) for width in stack.widths[1:-1]]
        self._before = [np.empty((models, width, rows), dtype) for width in stack.widths[1:-1]]
        self._kept = [np.empty((models, width, rows), dtype) for width in stack.widths[1:-1] if stack.dropout > 0]
        self._outputs = np.empty((models, stack.widths[-1], rows), dtype)
        self._places = _first_places(self._outputs.shape)

    def step(
        self, x: Array, y: Array, weight: Array | np.floating[Any], keys: Sequence[int], *, losses: bool
    ) -> Array | None:
        """Write the gradient of each batch's weighted loss into `gradient[:A]`.

        Args:
            x: inputs with a last column of ones, shape (A, B, p + 1).
            y: class numbers or targets, shape (A, B).
            weight: of each row in the mean, shape (A, 1, B), or a single number.
            keys: of each model's step, for dropout; ignored without.
            losses: whether to tell what each row lost, shape (A, B).
        """
        active = len(x)
        inputs = x.swapaxes(1, 2)
        for number, hidden in enumerate(self._hidden):
            before = self._before[number][:active]
            np.matmul(self._layers[number][:active], inputs, out=before)
            activate(self.stack.activation, before, hidden[:active, :-1])
            if self.stack.dropout > 0:
                kept = self._kept[number][:active]
                self._draw(keys, number, kept)
                hidden[:active, :-1] *= kept
            inputs = hidden[:active]
        outputs = self._outputs[:active]
        np.matmul(self._layers[-1][:active], inputs, out=outputs)
        lost = slope_of_loss(self.stack.loss, outputs, y, losses=losses, places=self._places[:active])
        outputs *= weight
        self._backward(x, outputs)
        return lost

    def _backward(self, x: Array, slope: Array) -> None:
        """Carry the slope at the outputs, (A, outputs, B), back through the layers."""
        active = len(x)
        for number in range(len(self._hidden), 0, -1):
            hidden, before = self._hidden[number - 1][:active], self._before[number - 1][:active]
            np.matmul(slope, hidden.swapaxes(1, 2), out=self._slopes[number][:active])
            inwards = np.matmul(self._layers[number][:active, :, :-1].swapaxes(1, 2), slope)
            inwards *= derivative(self.stack.activation, before)
            if self.stack.dropout > 0:
                inwards *= self._kept[number - 1][:active]
            slope = inwards
        np.matmul(slope, x, out=self._slopes[0][:active])

    def _draw(self, keys: Sequence[int], layer: int, kept: Array) -> None:
        """Fill in the factors of dropout: 0, or 1 / (1 - share); the masks of `models.CounterDropout`."""
        _, units, rows = kept.shape
        drawn = counter.uniform_of([counter.key(key, "dropout", layer) for key in keys], units * rows)
        keep = (drawn >= self.stack.dropout).reshape(-1, rows, units).swapaxes(1, 2)
        np.multiply(keep, 1 / (1 - self.stack.dropout), out=kept, casting="same_kind")


def slope_of_loss(
    loss: Loss, z: Array, y: Array, *, losses: bool, places: NDArray[np.int64] | None = None
) -> Array | None:
    """Turn outputs in place into the slope of each row's loss.

    Args:
        loss: which.
        z: outputs, shape (A, outputs, B), contiguous.
        y: class numbers or targets, shape (A, B).
        losses: whether to tell the losses, shape (A, B).
        places: where in z each row's first output stands, shape (A, B), if it is known already.
    """
    if loss == "softmax":
        return _softmax(z, y, _first_places(z.shape) if places is None else places, losses=losses)
    flat = z[:, 0]
    lost = None
    if loss == "squared":
        flat -= y
        lost = 0.5 * flat**2 if losses else None
    elif loss == "sigmoid":
        lost = np.logaddexp(0, flat) - y * flat if losses else None
        flat[:] = sigmoid(flat)
        flat -= y
    else:
        lost = np.exp(flat) - y * flat if losses else None
        np.exp(flat, out=flat)
        flat -= y
    return lost


def row_losses(loss: Loss, z: Array, y: Array) -> Array:
    """Loss of each row, shape (A, B); the outputs z, shape (A, outputs, B), are left as they are."""
    lost = slope_of_loss(loss, np.array(z, order="C"), y, losses=True)
    if lost is None:
        raise AssertionError("losses were asked for")
    return lost


def _first_places(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Where in a flat array of this shape, (A, outputs, B), each row's first output stands; shape (A, B)."""
    models, classes, rows = shape
    return np.arange(models)[:, None] * (classes * rows) + np.arange(rows)


def _softmax(z: Array, y: Array, places: NDArray[np.int64], *, losses: bool) -> Array | None:
    place = y * z.shape[2]
    place += places
    z -= _over_classes(np.maximum, z)[:, None]
    flat = z.reshape(-1)
    of_class = flat[place] if losses else None
    np.exp(z, out=z)
    total = _over_classes(np.add, z)
    z /= total[:, None]
    flat[place] -= 1
    return None if of_class is None else np.asarray(np.log(total) - of_class)


def _over_classes(combine: np.ufunc, z: Array) -> Array:
    """Combine the classes one by one, (A, classes, B) to (A, B); cheaper than a reduction where they are few."""
    if z.shape[1] == 1:
        return z[:, 0].copy()
    found: Array = combine(z[:, 0], z[:, 1])
    for number in range(2, z.shape[1]):
        combine(found, z[:, number], out=found)
    return found


def activate(activation: Activation, z: Array, out: Array) -> None:
    """Write activation(z) into `out`."""
    if activation == "relu":
        np.maximum(z, 0, out=out)
    elif activation == "tanh":
        np.tanh(z, out=out)
    elif activation == "sigmoid":
        out[:] = sigmoid(z)
    else:
        np.multiply(z, _normal_cdf(z), out=out)


def derivative(activation: Activation, z: Array) -> Array:
    """Slope of the activation at z."""
    if activation == "relu":
        return np.asarray(z > 0)
    if activation == "tanh":
        return np.asarray(1 - np.tanh(z) ** 2)
    if activation == "sigmoid":
        s = sigmoid(z)
        return np.asarray(s * (1 - s))
    density = np.exp(-0.5 * z * z) * z.dtype.type(0.3989422804014327)  # 1 / sqrt(2 pi)
    return np.asarray(_normal_cdf(z) + z * density)


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), without overflow."""
    half = z.dtype.type(0.5)
    return np.asarray(half + half * np.tanh(half * z))


def _normal_cdf(z: Array) -> Array:
    from scipy.special import ndtr  # noqa: PLC0415 - slow to import; only GELU needs it

    return np.asarray(ndtr(z))


def outputs(stack: LinearStack, layout: Layout, weights: Array, x: Array) -> Array:
    """What C models answer on the same rows.

    Args:
        stack: the model.
        layout: of `weights`.
        weights: shape (C, d), biases inside.
        x: rows with a last column of ones, shape (n, p + 1).

    Returns:
        shape (C, n, outputs).
    """
    layers = layout.views(weights)
    h = np.broadcast_to(x.T, (len(weights), *x.T.shape))
    for layer in layers[:-1]:
        z = np.matmul(layer, h)
        h = np.ones((len(z), z.shape[1] + 1, z.shape[2]), z.dtype)
        activate(stack.activation, z, h[:, :-1])
    return np.asarray(np.matmul(layers[-1], h).swapaxes(1, 2))
