"""The direction of a round: what one unit of anybody's update was worth to the utility while the model moved.

    w  model before the round        X  weighted mean update         s  the server's step, element by element
    w' model after it, w + s * X     U  utility, to be maximised     v  integral of grad U along the way from w to w'

`U(w') - U(w) = <w' - w, v>` (the gradient theorem), so an organisation whose part of X is x_i gets `<s * x_i, v>`, and
the parts add up to the gain. The integral is taken with 5 Gauss-Legendre nodes in float64; what is missing to the exact
gain is made up by the factor r. v depends on public models and validation rows only, never on a single update.

Source: Aumann and Shapley, Values of Non-Atomic Games, 1974; Friedman, Paths and consistency in additive cost sharing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.errors import UtilityError

Array = NDArray[np.float64]
Numbers = NDArray[np.float32] | NDArray[np.float64]

NODES = 5
LEAST_FACTOR, MOST_FACTOR = 0.5, 2.0


class Utility(Protocol):
    """A smooth function of the model, the mean of one bounded number a validation row; float64 throughout."""

    @property
    def rows(self) -> int:
        """How many validation rows there are, R."""
        ...

    def value(self, vector: Array) -> float:
        """U at these parameters, shape (d,)."""
        ...

    def gradient(self, vector: Array) -> Array:
        """The gradient of U, shape (d,)."""
        ...

    def slopes(self, vector: Array, along: Array) -> Array:
        """How fast each row's number grows along each of k directions, shape (k, d); returns shape (R, k).

        Where rows are dear, blocks of rows. The mean over the first axis is `along @ gradient(vector)`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """What a round's updates are multiplied with.

    Attributes:
        vector: s * v, float64, shape (d,), unrounded: utility per unit of the mean update X, before the factor.
        path: v itself, shape (d,).
        factor: r, exact gain / gain by quadrature, or 1 where that is not within [1/2, 2].
        start: U before the round.
        end: U after it.
        gap: the part of the gain that is given to nobody; 0 unless the factor was out of bounds.
    """

    vector: Array
    path: Array
    factor: float
    start: float
    end: float
    gap: float

    @property
    def gain(self) -> float:
        """What the round brought."""
        return self.end - self.start

    @property
    def unrounded(self) -> Array:
        """What settlement scales, rounds and opens: r * s * v, utility per unit of the mean update, shape (d,)."""
        return self.factor * self.vector

    def values(self, parts: Array) -> Array:
        """Multiply with each organisation's part of the mean update (they sum to X), shape (n, d); returns (n,)."""
        return np.asarray(parts @ self.unrounded, dtype=np.float64)


def path_nodes(before: Numbers, after: Numbers, nodes: int = NODES) -> Iterator[tuple[float, Array]]:
    """Places between two models and their weights in the integral; the weights sum to 1."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    start, end = before.astype(np.float64), after.astype(np.float64)
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        yield weight / 2, start + (place + 1) / 2 * (end - start)


def path_gradient(utility: Utility, before: Numbers, after: Numbers, nodes: int = NODES) -> Array:
    """Integrate the gradient of U along the straight line between two models.

    Returns:
        v, float64, shape (d,).
    """
    total = np.zeros(before.size, np.float64)
    for weight, place in path_nodes(before, after, nodes):
        total += weight * utility.gradient(place)
    return total


def path_slopes(utility: Utility, before: Numbers, after: Numbers, moves: Array, nodes: int = NODES) -> Array:
    """Integrate, along the same line, how fast each row's number grows with each organisation's move of the model.

    Args:
        utility: on R rows.
        before: the model before.
        after: the model after.
        moves: s * x_i, shape (n, d).
        nodes: of the quadrature.

    Returns:
        shape (R, n); the mean over rows is each organisation's value before the factor.
    """
    parts = [weight * utility.slopes(place, moves) for weight, place in path_nodes(before, after, nodes)]
    return np.asarray(np.sum(parts, axis=0))


def direction(
    utility: Utility,
    before: Numbers,
    after: Numbers,
    mean: Array,
    step: float | Array = 1.0,
    *,
    nodes: int = NODES,
    start: float | None = None,
) -> Direction:
    """Find what a round's updates are multiplied with.

    Args:
        utility: on the validation rows, or on one half of them.
        before: w, the model the round started from, shape (d,).
        after: w', the model it ended with: w + step * mean, rounded to float32.
        mean: X, the weighted mean of the updates, float64, shape (d,).
        step: s: the learning rate of fedavg, or one number a parameter (see `steps.elementwise_step`).
        nodes: of the quadrature.
        start: U(w), if it is known: the last round's `end`.

    Raises:
        UtilityError: the utility or its gradient is not finite.
    """
    start = utility.value(before.astype(np.float64)) if start is None else start
    end = utility.value(after.astype(np.float64))
    path = path_gradient(utility, before, after, nodes)
    if not (math.isfinite(start) and math.isfinite(end) and np.isfinite(path).all()):
        raise UtilityError("The utility or its gradient is not finite.")
    vector = np.asarray(step * path, dtype=np.float64)
    counted = float(mean @ vector)
    factor = quadrature_factor(end - start, counted)
    return Direction(
        vector=vector, path=path, factor=factor, start=start, end=end, gap=_rest(end - start, factor, counted)
    )


def quadrature_factor(gain: float, counted: float) -> float:
    """Give exact gain / counted gain if it lies within [1/2, 2], else 1."""
    if counted == 0:
        return 1.0
    with np.errstate(over="ignore"):
        factor = gain / counted
    return factor if LEAST_FACTOR <= factor <= MOST_FACTOR else 1.0


def _rest(gain: float, factor: float, counted: float) -> float:
    """What the factor does not reach; what it reaches is reached but for rounding."""
    return gain - counted if factor == 1.0 else 0.0
