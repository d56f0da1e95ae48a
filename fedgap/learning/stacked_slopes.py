"""Losses and activations of many models at once, each with its slope, in place and in numpy only.

A models, B rows a batch; outputs and their slopes are feature-major, (A, outputs, B). Everything is element-wise over
models and rows: the numbers of one do not depend on how many there are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.linear_stack import Activation, Loss

Array = NDArray[Any]

BINARY = 2
"""Classes of a softmax that is a sigmoid of the difference of its outputs."""


def turn_into_slopes(loss: Loss, z: Array, y: Array, places: NDArray[np.int64] | None = None) -> None:
    """Turn outputs in place into the slope of each row's loss.

    Args:
        loss: which.
        z: outputs, shape (A, outputs, B), contiguous.
        y: class numbers or targets, shape (A, B).
        places: where in z each row's first output stands, shape (A, B), if it is known already.
    """
    if loss == "softmax" and z.shape[1] == BINARY:
        chance = sigmoid(z[:, 1] - z[:, 0])
        np.subtract(chance, y, out=z[:, 1], casting="same_kind")
        np.negative(z[:, 1], out=z[:, 0])
    elif loss == "softmax":
        z -= _over_classes(np.maximum, z)[:, None]
        np.exp(z, out=z)
        z /= _over_classes(np.add, z)[:, None]
        place = y * z.shape[2]
        place += first_places(z.shape) if places is None else places
        z.reshape(-1)[place] -= 1
    else:
        flat = z[:, 0]
        if loss == "sigmoid":
            flat[:] = sigmoid(flat)
        elif loss == "poisson":
            np.exp(flat, out=flat)
        flat -= y


def row_losses(loss: Loss, z: Array, y: Array) -> Array:
    """Loss of each row, shape (A, B), at outputs z, shape (A, outputs, B), and class numbers or targets y."""
    if loss == "softmax" and z.shape[1] == BINARY:
        return _softplus(z[:, 1] - z[:, 0], y)
    if loss == "softmax":
        above = z - _over_classes(np.maximum, z)[:, None]
        of_class = np.take_along_axis(above, y[:, None], axis=1)[:, 0]
        np.exp(above, out=above)
        return np.asarray(np.log(_over_classes(np.add, above)) - of_class)
    flat = z[:, 0]
    if loss == "squared":
        return np.asarray(0.5 * (flat - y) ** 2)
    if loss == "sigmoid":
        return _softplus(flat, y)
    return np.asarray(np.exp(flat) - y * flat)


def first_places(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Where in a flat array of this shape, (A, outputs, B), each row's first output stands; shape (A, B)."""
    models, classes, rows = shape
    return np.arange(models)[:, None] * (classes * rows) + np.arange(rows)


def _softplus(margin: Array, y: Array) -> Array:
    """log(1 + exp(m)) - y m, without overflow."""
    lost = np.abs(margin)
    np.negative(lost, out=lost)
    np.exp(lost, out=lost)
    lost += 1
    np.log(lost, out=lost)  # its error is absolute, of the size of the last bit of 1; log1p takes ten times as long
    lost += np.maximum(margin, 0)
    lost -= np.asarray(y, margin.dtype) * margin
    return lost


def _over_classes(combine: np.ufunc, z: Array) -> Array:
    """Combine the classes one by one, (A, classes, B) to (A, B); cheaper than a reduction where they are few."""
    if z.shape[1] == 1:
        return z[:, 0].copy()
    found: Array = combine(z[:, 0], z[:, 1])
    for number in range(2, z.shape[1]):
        combine(found, z[:, number], out=found)
    return found


def activate(activation: Activation, z: Array, slope: Array | None = None) -> None:
    """Turn z in place into activation(z), and write the slope there into `slope`, if it is given.

    ReLU is a product with 0 or 1, which numpy does several times as fast as a maximum. A z that is not a number stays
    so, and an infinite one becomes so or stays infinite: either way the training counts as diverged.
    """
    if activation == "relu":
        if slope is None:
            np.maximum(z, 0, out=z)
            return
        np.copyto(slope, z > 0)
        z *= slope
    elif activation == "gelu":
        below = _normal_cdf(z)
        if slope is not None:
            density = np.exp(-0.5 * z * z) * z.dtype.type(0.3989422804014327)  # 1 / sqrt(2 pi)
            np.add(below, z * density, out=slope)
        z *= below
    elif activation == "tanh":
        np.tanh(z, out=z)
        if slope is not None:
            np.subtract(1, z * z, out=slope)
    else:
        z[:] = sigmoid(z)
        if slope is not None:
            np.multiply(z, 1 - z, out=slope)


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), without overflow."""
    half = z.dtype.type(0.5)
    found = np.asarray(half * z)
    np.tanh(found, out=found)
    found *= half
    found += half
    return found


def _normal_cdf(z: Array) -> Array:
    from scipy.special import ndtr  # noqa: PLC0415 - slow to import; only GELU needs it

    return np.asarray(ndtr(z))
