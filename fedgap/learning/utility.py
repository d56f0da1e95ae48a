"""The utility of a federation: one bounded, smooth number a validation row, and its slope in the model's outputs.

    brier          1 - |p - onehot(y)|^2 / 2            classification; proper, one row counts for 1 at most
    squared-error  1 - min((o - y)^2, 4) / 4             regression on standardised targets
    likelihood     1 + ln((1 - e) p_y + e) / ln(1 / e)   language models; e = 1 / classes, so it lies in [0, 1]

`o` outputs, p = softmax(o), y class number (-1: a class nobody trained on) or target. float64. The first two are the
utility that reports show (`scores.utility`).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedgap.errors import FedgapError
from fedgap.learning.task import Kind

Array = NDArray[np.float64]
Measure = Literal["brier", "squared-error", "likelihood"]
DEFAULT: dict[Kind, Measure] = {"classification": "brier", "regression": "squared-error"}
MOST_SQUARED_ERROR = 4.0
"""In target variances: where a regression row's number reaches 0."""


class NoRowsError(FedgapError):
    """There is no validation row to measure a utility on."""

    code = "utility.no-rows"
    remedy = "Give evaluation.data, or leave organisations test rows."


def row_utilities(measure: Measure, outputs: Array, y: NDArray[Any]) -> Array:
    """One number a row, 0 to 1 (classification: shape (n, classes) outputs), shape (n,)."""
    if measure == "squared-error":
        error = outputs.reshape(len(y)) - y
        return np.asarray(1 - np.minimum(error * error, MOST_SQUARED_ERROR) / MOST_SQUARED_ERROR)
    p = softmax(outputs)
    if measure == "brier":
        return np.asarray(1 - ((p - _onehot(p, y)) ** 2).sum(axis=1) / 2)
    least = 1 / p.shape[1]
    return np.asarray(1 + np.log((1 - least) * _of_label(p, y) + least) / np.log(1 / least))


def row_slopes(measure: Measure, outputs: Array, y: NDArray[Any]) -> Array:
    """The slope of each row's number in its own outputs, shape (n, outputs)."""
    if measure == "squared-error":
        error = outputs.reshape(len(y)) - y
        inside = error * error < MOST_SQUARED_ERROR
        return np.asarray(np.where(inside, -2 * error / MOST_SQUARED_ERROR, 0.0)[:, None])
    p = softmax(outputs)
    if measure == "brier":
        off = p - _onehot(p, y)
        return np.asarray(-p * (off - (p * off).sum(axis=1, keepdims=True)))
    least = 1 / p.shape[1]
    likelihood = _of_label(p, y)
    inner = (1 - least) * likelihood / (((1 - least) * likelihood + least) * np.log(1 / least))
    return np.asarray(inner[:, None] * (_onehot(p, y) - p))


def softmax(outputs: Array) -> Array:
    """Probabilities, shape (n, classes)."""
    z = outputs - outputs.max(axis=1, keepdims=True)
    e = np.exp(z)
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _onehot(p: Array, y: NDArray[Any]) -> Array:
    hit = np.zeros_like(p)
    known = np.flatnonzero(y >= 0)
    hit[known, y[known]] = 1
    return hit


def _of_label(p: Array, y: NDArray[Any]) -> Array:
    """Probability of what happened; 0 for a class nobody trained on."""
    return np.where(y >= 0, p[np.arange(len(y)), np.maximum(y, 0)], 0.0)
