"""What is opened: the directions of a round, one for each opening, as settlement scales, rounds and commits to them.

Server and organisations call this with the same public models and the same rows and must find the same directions. With
two openings each looks at one half of the rows, so that the two numbers of an organisation give its value an interval.
"""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.direction import Array, Direction, Numbers, Utility, direction
from fedgap.contribution.interval import halves


class Divisible(Utility, Protocol):
    """A utility that can be looked at on some of its rows."""

    def on(self, index: NDArray[np.int64]) -> Self:
        """The same utility on these rows."""
        ...


def openings(utility: Divisible, count: int, seed: int) -> list[Divisible]:
    """Divide the rows of a utility over the openings: all rows for one, a half each for two.

    Args:
        utility: on all validation rows of the period.
        count: 1 or 2.
        seed: public; fixes the halves.

    Raises:
        UtilityError: there are fewer rows than openings.
    """
    if count == 1:
        return [utility]
    return [utility.on(half) for half in halves(utility.rows, seed)]


def directions(
    parts: Sequence[Divisible],
    before: Numbers,
    after: Numbers,
    mean: Array,
    step: float | Array = 1.0,
    *,
    starts: Sequence[float | None] = (),
) -> list[Direction]:
    """Find the direction of a round for every opening; arguments as in `direction`.

    Returns:
        settlement takes `unrounded` of each: utility for each unit of the mean update, shape (d,).

    Raises:
        UtilityError: a utility or its gradient is not finite.
    """
    known = starts or [None] * len(parts)
    return [direction(part, before, after, mean, step, start=start) for part, start in zip(parts, known, strict=True)]
