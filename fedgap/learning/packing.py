"""What trains: the rows of many organisations, packed once, and independent trainings on them.

A training (`Job`) is one organisation's rows, the key of its random numbers, and how long it lasts. Federation rounds,
folds, learning rates and seeds are all jobs of this kind, and none knows of another; `stacking` runs them together.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap.learning.rows import Rows

Whole = NDArray[np.int64]


class Place(NamedTuple):
    """Where some rows lie among the packed ones.

    Attributes:
        first: position of the first.
        size: how many.
    """

    first: int
    size: int


class PackedRows:
    """The rows of many organisations in one array each of inputs and of targets; the same rows are kept once.

    Attributes:
        x: inputs, shape (N, p), or (N, p + 1) with `ones`; only the first `used` lines count.
        y: targets, shape (N,).
        used: rows packed so far.

    Args:
        like: what rows look like.
        dtype: of the inputs and of regression targets.
        ones: whether to append a 1 to every row, for models that keep the bias beside the weights.
    """

    def __init__(self, like: Rows, dtype: DTypeLike, *, ones: bool) -> None:
        self._width = int(np.prod(like.x.shape[1:], dtype=np.int64))
        self.x: NDArray[Any] = np.empty((0, self._width + ones), dtype)
        self.y: NDArray[Any] = np.empty(0, dtype if like.y.dtype.kind == "f" else np.int64)
        self.used = 0
        self._places: dict[int, tuple[Rows, Place]] = {}

    def place(self, rows: Rows) -> Place:
        """Pack these rows, unless the very same object is packed already, and say where they lie."""
        return self.places([rows])[0]

    def places(self, many: Sequence[Rows]) -> list[Place]:
        """Pack the rows of many organisations in one go, each object once, and say where they lie."""
        known = self._places
        new = [rows for rows in {id(rows): rows for rows in many if id(rows) not in known}.values() if len(rows)]
        if new:
            ends = list(accumulate(map(len, new), initial=self.used))
            self._make_room(ends[-1])
            lines = slice(self.used, ends[-1])
            parts = [rows.x.reshape(len(rows), self._width) for rows in new]
            np.concatenate(parts, out=self.x[lines, : self._width])
            self.x[lines, self._width :] = 1
            np.concatenate([rows.y for rows in new], out=self.y[lines])
            self.used = ends[-1]
            for rows, first in zip(new, ends, strict=False):
                known[id(rows)] = rows, Place(first, len(rows))  # held, so that the identity stays taken
        nothing = Place(0, 0)
        return [known[id(rows)][1] if id(rows) in known else nothing for rows in many]

    def _make_room(self, needed: int) -> None:
        if needed > len(self.x):
            room = max(needed, 2 * len(self.x))
            self.x = np.concatenate(
                [self.x[: self.used], np.empty((room - self.used, *self.x.shape[1:]), self.x.dtype)]
            )
            self.y = np.concatenate([self.y[: self.used], np.empty(room - self.used, self.y.dtype)])


class Job(NamedTuple):
    """One training; a tuple, because a round of many makes many.

    Attributes:
        start: line of its starting vector among those given.
        place: its rows, at least one.
        key: `counter.key(seed, "train", round, organisation)`, from which all its randomness follows.
        lr: learning rate.
        epochs: passes over the rows, or None when `steps` counts.
        steps: optimiser steps, or None when `epochs` counts.
        only: positions within `place` of the rows it trains on, or None for all.
    """

    start: int
    place: Place
    key: int
    lr: float
    epochs: int | None = 1
    steps: int | None = None
    only: Whole | None = None

    @property
    def rows(self) -> int:
        """How many rows it trains on."""
        return self.place.size if self.only is None else len(self.only)

    def length(self, batch_size: int) -> int:
        """Optimiser steps it takes in all."""
        return self.steps if self.steps is not None else (self.epochs or 0) * -(-self.rows // batch_size)

    def width(self, batch_size: int) -> int:
        """B: rows of its batches; for fewer rows than that, their number rounded up to a power of two."""
        return min(batch_size, 1 << (self.rows - 1).bit_length())
