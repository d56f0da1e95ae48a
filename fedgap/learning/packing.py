"""Many independent trainings as one stack: rows packed once, trainings ordered so that the active ones are a prefix.

A training (`Job`) is one organisation's rows, the key of its random numbers, and how long it lasts. Federation rounds,
folds, learning rates and seeds are all jobs of this kind, and none knows of another: whatever else is in the stack, a
job meets the rows that `fedgap.learning.local` would give it, in that order and in the same batches.

J jobs in a stack, B rows in a batch. Jobs are ordered by their number of steps, longest first, so at any step the
active ones are the first A of J. Only the last batch of an epoch may be short; it is filled up to B with rows of
weight zero. B depends on the job alone (not on its companions), so the shape of its arithmetic, and with it the bits
of its result, does not change with the stack it happens to be in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap import counter
from fedgap.learning.rows import Rows

Whole = NDArray[np.int64]

WINDOW = 2**17
"""Row positions drawn ahead at a time; 1 MB."""


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
        known = self._places.get(id(rows))
        if known is not None:
            return known[1]
        place = Place(first=self.used, size=len(rows))
        self._make_room(self.used + len(rows))
        lines = slice(self.used, self.used + len(rows))
        self.x[lines, : self._width] = rows.x.reshape(len(rows), self._width)
        self.x[lines, self._width :] = 1
        self.y[lines] = rows.y
        self.used += len(rows)
        self._places[id(rows)] = rows, place  # held, so that the identity stays taken
        return place

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What the active jobs of a stack meet in one step.

    Attributes:
        number: of the step, from 0.
        rows: positions among the packed rows, int64, shape (A, B); where a batch is short, some row of the job.
        counts: rows that count in each batch, from the left, int64, shape (A,).
        full: whether all of them do.
    """

    number: int
    rows: Whole
    counts: Whole
    full: bool

    @property
    def active(self) -> int:
        """A: the first so many jobs of the stack take this step."""
        return len(self.rows)

    def weights(self, dtype: DTypeLike) -> NDArray[Any]:
        """Weight of each row in the mean loss: 1 / count, or 0 where the batch is filled up; shape (A, B)."""
        there = np.arange(self.rows.shape[1]) < self.counts[:, None]
        return np.asarray(there / self.counts[:, None], dtype=dtype)


class Stack:
    """Jobs that take their steps together.

    Attributes:
        order: the jobs' positions in the list they came from, longest first, shape (J,).
        jobs: in that order.
        batch_size: of the plan.
        width: B.
        steps: of each, shape (J,); never increasing.
        per_epoch: steps of an epoch of each, shape (J,).
    """

    def __init__(self, order: Sequence[int], jobs: Sequence[Job], batch_size: int) -> None:
        self.order, self.jobs = tuple(order), tuple(jobs)
        self.batch_size = batch_size
        self.width = self.jobs[0].width(batch_size)
        self.sizes: Whole = np.array([job.rows for job in jobs], np.int64)
        self.steps: Whole = np.array([job.length(batch_size) for job in jobs], np.int64)
        self.per_epoch: Whole = -(-self.sizes // batch_size)
        self._last_count = self.sizes - (self.per_epoch - 1) * np.minimum(batch_size, self.sizes)
        self._epoch_keys: dict[tuple[int, int], int] = {}

    def active(self, number: int) -> int:
        """A: how many jobs, from the first, take step `number` (from 0)."""
        return int(np.searchsorted(-self.steps, -number))

    def last_epoch(self) -> Whole:
        """Number of the step with which each job's last epoch begins, shape (J,)."""
        return np.maximum(self.steps - 1, 0) // self.per_epoch * self.per_epoch

    def ends_epoch(self, batch: Batch) -> NDArray[np.bool_]:
        """Which of the active jobs went over all their rows with this step, shape (A,)."""
        return np.asarray((batch.number + 1) % self.per_epoch[: batch.active] == 0)

    def step_keys(self, batch: Batch) -> list[int]:
        """Key of each active job's step: `counter.key(epoch key, step)`, as dropout needs it."""
        epochs, steps = np.divmod(batch.number, self.per_epoch[: batch.active])
        pairs = zip(self.jobs, epochs.tolist(), steps.tolist(), strict=False)
        return [counter.key(self._epoch_key(job.key, epoch), step) for job, epoch, step in pairs]

    def batches(self) -> Iterator[Batch]:
        """Every step, from the first to the last of the longest job."""
        longest = int(self.steps[0])
        ahead = max(1, WINDOW // (len(self.jobs) * self.width))
        for first in range(0, longest, ahead):
            last = min(first + ahead, longest)
            drawn = self._window(first, last)
            numbers = np.arange(first, last)
            in_last = (numbers[:, None] + 1) % self.per_epoch == 0
            counts = np.where(in_last, self._last_count, self.width)
            short = counts < self.width
            first_short = np.where(short.any(axis=1), short.argmax(axis=1), len(self.jobs)).tolist()
            for line, active in enumerate(np.searchsorted(-self.steps, -numbers).tolist()):
                yield Batch(
                    number=first + line,
                    rows=drawn[line, :active],
                    counts=counts[line, :active],
                    full=first_short[line] >= active,
                )

    def _window(self, first: int, last: int) -> Whole:
        """Row positions of the steps first .. last - 1, shape (last - first, J, B)."""
        drawn = np.zeros((last - first, len(self.jobs), self.width), np.int64)
        active = self.active(first)
        sizes, which = np.unique(self.sizes[:active], return_inverse=True)
        for group, size in enumerate(sizes.tolist()):
            members = np.flatnonzero(which == group)
            per_epoch = int(self.per_epoch[members[0]])
            longest = int(self.steps[members].max())
            epochs = range(first // per_epoch, -(-min(last, longest) // per_epoch))
            order = self._orders([self.jobs[m].key for m in members], epochs, size)
            padded = np.zeros((len(members), len(epochs), per_epoch * self.width), np.int64)
            for line, member in zip(order, members.tolist(), strict=True):
                only = self.jobs[member].only
                if only is not None:
                    line[:] = only[line]
            padded[:, :, :size] = order
            padded += np.array([self.jobs[m].place.first for m in members])[:, None, None]
            by_step = padded.reshape(len(members), -1, self.width)[:, first - epochs.start * per_epoch :]
            by_step = by_step[:, : last - first]
            drawn[: by_step.shape[1], members] = by_step.swapaxes(0, 1)
        return drawn

    def _orders(self, keys: Sequence[int], epochs: range, size: int) -> Whole:
        """Order of `size` rows for each key and epoch, shape (keys, epochs, size); drawn once for equal keys."""
        distinct = list(dict.fromkeys(keys))
        drawn = counter.permutations([self._epoch_key(key, epoch) for key in distinct for epoch in epochs], size)
        drawn = drawn.reshape(len(distinct), len(epochs), size)
        if len(distinct) == len(keys):
            return drawn
        number = {key: position for position, key in enumerate(distinct)}
        return drawn[[number[key] for key in keys]]

    def _epoch_key(self, key: int, epoch: int) -> int:
        known = self._epoch_keys.get((key, epoch))
        if known is None:
            known = self._epoch_keys[key, epoch] = counter.key(key, "epoch", epoch)
        return known


def stacks(jobs: Sequence[Job], batch_size: int, most: int) -> Iterator[Stack]:
    """Cut the jobs into stacks of at most `most`, few enough for a processor's cache.

    Jobs of one stack have one B; those with the same rows and key come together, so that their order is drawn once.
    """
    widths = [job.width(batch_size) for job in jobs]
    ranks = [(width, -job.length(batch_size), job.rows, job.key) for width, job in zip(widths, jobs, strict=True)]
    longest_first = sorted(range(len(jobs)), key=ranks.__getitem__)
    for chunk in _chunks(longest_first, widths, most):
        yield Stack(chunk, [jobs[at] for at in chunk], batch_size)


def _chunks(order: Iterable[int], widths: Sequence[int], most: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for at in order:
        if chunk and (len(chunk) == most or widths[at] != widths[chunk[0]]):
            yield chunk
            chunk = []
        chunk.append(at)
    if chunk:
        yield chunk
