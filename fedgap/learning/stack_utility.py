"""The utility of a stack of linear layers in closed form: numpy and float64 only, for linear models and perceptrons.

    h_0 = x     z_l = h_(l-1) W_l' + b_l     h_l = f(z_l)     outputs = z_L

A vector holds W_1, b_1, W_2, ... row by row, as torch's named_parameters() do. Dropout is off, as in every evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.rows import Index, Rows
from fedgap.learning.utility import Measure, NoRowsError, row_slopes, row_utilities

Array = NDArray[np.float64]
_Layer = tuple[Array, Array]

_ROOT_2, _ROOT_2PI = np.sqrt(2.0), np.sqrt(2 * np.pi)


def _gelu_parts(z: Array) -> tuple[Array, Array]:
    from scipy.special import erf  # noqa: PLC0415 - comes with scikit-learn; only this activation needs it

    below = (1 + erf(z / _ROOT_2)) / 2
    return np.asarray(z * below), np.asarray(below + z * np.exp(-z * z / 2) / _ROOT_2PI)


def _sigmoid_parts(z: Array) -> tuple[Array, Array]:
    half = np.tanh(z / 2) / 2  # no overflow on either side
    return np.asarray(0.5 + half), np.asarray(0.25 - half * half)


ACTIVATIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "relu": lambda z: (np.maximum(z, 0), (z > 0).astype(np.float64)),
    "tanh": lambda z: (np.tanh(z), 1 - np.tanh(z) ** 2),
    "sigmoid": _sigmoid_parts,
    "gelu": _gelu_parts,
}
"""Each gives the activation and its slope."""


@dataclass(frozen=True, slots=True, eq=False)
class StackUtility:
    """Utility on given rows of models that are stacks of linear layers.

    Attributes:
        widths: inputs, hidden layers, outputs.
        activation: relu, tanh, sigmoid or gelu, between layers.
        measure: which utility.
        x: float64, shape (R, inputs).
        y: class numbers or targets, shape (R,).
    """

    widths: tuple[int, ...]
    activation: str
    measure: Measure
    x: Array
    y: NDArray[Any]

    @classmethod
    def of(cls, widths: tuple[int, ...], activation: str, measure: Measure, rows: Rows) -> Self:
        """Take rows as a task prepared them.

        Raises:
            NoRowsError: there are none.
        """
        if len(rows) == 0:
            raise NoRowsError("There are no validation rows.")
        return cls(widths, activation, measure, rows.x.reshape(len(rows), -1).astype(np.float64), rows.y)

    @property
    def rows(self) -> int:
        """How many rows there are, R."""
        return len(self.y)

    def on(self, index: Index) -> "StackUtility":
        """The same utility on some of the rows."""
        return StackUtility(self.widths, self.activation, self.measure, self.x[index], self.y[index])

    def value(self, vector: Array) -> float:
        """U at these parameters, shape (d,)."""
        return float(row_utilities(self.measure, self._forward(vector)[0], self.y).mean())

    def values(self, vectors: Array) -> Array:
        """U of several models at once, shape (m, d) in, (m,) out."""
        return np.array([self.value(vector) for vector in vectors])

    def gradient(self, vector: Array) -> Array:
        """The gradient of U, shape (d,)."""
        outputs, held, slopes = self._forward(vector)
        layers = self._layers(vector)
        back = row_slopes(self.measure, outputs, self.y) / self.rows
        parts: list[Array] = []
        for number in reversed(range(len(layers))):
            parts += [back.sum(axis=0), (back.T @ held[number]).reshape(-1)]
            if number:
                back = (back @ layers[number][0]) * slopes[number - 1]
        return np.concatenate(parts[::-1])

    def slopes(self, vector: Array, along: Array) -> Array:
        """How fast each row's number grows along each direction, shape (k, d); returns shape (R, k)."""
        outputs, held, slopes = self._forward(vector)
        out = row_slopes(self.measure, outputs, self.y)
        layers = self._layers(vector)
        columns = [self._pushed(layers, self._layers(one), held, slopes, out) for one in along]
        return np.stack(columns, axis=1) if columns else np.zeros((self.rows, 0))

    def _pushed(
        self, layers: list[_Layer], moves: list[_Layer], held: list[Array], slopes: list[Array], out: Array
    ) -> Array:
        """Push one direction forward through the layers; shape (R,)."""
        change = np.zeros((self.rows, 0))
        for number, ((weight, _), (to_weight, to_bias)) in enumerate(zip(layers, moves, strict=True)):
            moved = held[number] @ to_weight.T + to_bias
            change = moved + (change * slopes[number - 1]) @ weight.T if number else moved
        return np.asarray((out * change).sum(axis=1))

    def _forward(self, vector: Array) -> tuple[Array, list[Array], list[Array]]:
        """Outputs, what enters each layer, and the slopes of the activations between them."""
        activation = ACTIVATIONS[self.activation]
        held, slopes = [self.x], []
        z = self.x
        for number, (weight, bias) in enumerate(self._layers(vector)):
            if number:
                entering, slope = activation(z)
                held.append(entering)
                slopes.append(slope)
            z = held[-1] @ weight.T + bias
        return z, held, slopes

    def _layers(self, vector: Array) -> list[_Layer]:
        first, layers = 0, []
        for inputs, outputs in pairwise(self.widths):
            weight = vector[first : first + inputs * outputs].reshape(outputs, inputs)
            first += inputs * outputs
            layers.append((weight, vector[first : first + outputs]))
            first += outputs
        return layers
