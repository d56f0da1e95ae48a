"""Many independent trainings as one stack, ordered so that the active ones are a prefix.

Whatever else is in the stack, a job meets the rows that `fedgap.learning.local` would give it, in that order and in
the same batches.

J jobs in a stack, B rows in a batch. Jobs are ordered by their number of steps, longest first, so at any step the
active ones are the first A of J. Only the last batch of an epoch may be short; it is filled up to B with rows of
weight zero. B depends on the job alone (not on its companions), so the shape of its arithmetic, and with it the bits
of its result, does not change with the stack it happens to be in.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap import counter
from fedgap.learning.packing import Job, Whole

WINDOW = 2**17
"""Row positions drawn ahead at a time; 1 MB."""


FEW_ROWS = 2**12
"""So many rows are drawn in less time than a few calls of numpy take."""


class Batch(NamedTuple):
    """What the active jobs of a stack meet in one step; a tuple, because a round has many.

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
        return weights(self.counts, self.rows.shape[-1], dtype)


class Window(NamedTuple):
    """Some steps of a stack, one after the other, drawn together.

    Attributes:
        first: number of the first, from 0.
        rows: as in `Batch`, shape (S, J, B); of a job that is done, some row of it.
        counts: likewise, shape (S, J).
        active: A of each step.
        full: whether all rows of the active jobs count, for each step.
    """

    first: int
    rows: Whole
    counts: Whole
    active: list[int]
    full: list[bool]

    def batches(self) -> Iterator[Batch]:
        """Each step."""
        for line, (active, full) in enumerate(zip(self.active, self.full, strict=True)):
            yield Batch(self.first + line, self.rows[line, :active], self.counts[line, :active], full)


def weights(counts: Whole, width: int, dtype: DTypeLike) -> NDArray[Any]:
    """Weight of each row in the mean loss: 1 / count for the first `count` of `width`, else 0; shape (..., width)."""
    there = np.arange(width) < counts[..., None]
    return np.asarray(there / counts[..., None], dtype=dtype)


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
        self.sizes = _sizes(self.jobs)
        self.per_epoch: Whole = -(-self.sizes // batch_size)
        self.steps = _lengths(self.jobs, self.per_epoch)
        self._last_count = self.sizes - (self.per_epoch - 1) * np.minimum(batch_size, self.sizes)
        self._firsts: Whole = np.array([job.place.first for job in jobs], np.int64)
        self._partly = any(job.only is not None for job in self.jobs)
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
        for window in self.windows():
            yield from window.batches()

    def windows(self) -> Iterator[Window]:
        """All steps, as many at a time as are drawn together."""
        longest = int(self.steps[0])
        ahead = max(1, WINDOW // (len(self.jobs) * self.width))
        for first in range(0, longest, ahead):
            last = min(first + ahead, longest)
            numbers = np.arange(first, last)
            in_last = (numbers[:, None] + 1) % self.per_epoch == 0
            counts = np.where(in_last, self._last_count, self.width)
            short = counts < self.width
            first_short = np.where(short.any(axis=1), short.argmax(axis=1), len(self.jobs))
            active = np.searchsorted(-self.steps, -numbers)
            yield Window(first, self._window(first, last), counts, active.tolist(), (first_short >= active).tolist())

    def _window(self, first: int, last: int) -> Whole:
        """Row positions of the steps first .. last - 1, shape (last - first, J, B)."""
        window = np.empty((last - first, len(self.jobs), self.width), np.int64)
        window[:] = self._firsts[:, None]
        active = self.active(first)
        begins = first // self.per_epoch[:active]
        epochs = -(-np.minimum(last, self.steps[:active]) // self.per_epoch[:active]) - begins
        for some in _drawn_together(self.sizes[:active]):
            of, within = _counted(some, epochs[some])
            order = self._orders(some, begins[some], epochs[some], of)
            batches = -(-order.shape[1] // self.batch_size)
            lines = np.zeros((len(of), batches * self.width), np.int64)
            lines[:, : order.shape[1]] = order
            lines += self._firsts[of, None]
            steps = ((begins[of] + within) * self.per_epoch[of] - first)[:, None] + np.arange(batches)
            there = np.arange(batches) < self.per_epoch[of, None]
            there &= (steps >= 0) & (steps < last - first)
            jobs = np.broadcast_to(of[:, None], there.shape)
            window[steps[there], jobs[there]] = lines.reshape(*there.shape, self.width)[there]
        return window

    def _orders(self, some: Whole, begins: Whole, epochs: Whole, of: Whole) -> Whole:
        """Order of the rows of some jobs in their epochs, one line each; drawn once for equal keys.

        Args:
            some: positions of the jobs, shape (s,).
            begins: first epoch of each.
            epochs: how many.
            of: job of each line.

        Returns:
            positions within a job's place; where a line is longer than its job, over again some of its rows.
        """
        keys, sizes = [self.jobs[at].key for at in some.tolist()], self.sizes[some]
        if len(set(keys)) == len(keys):
            order = counter.permutations_of(self._keys_of_epochs(keys, begins, epochs), self.sizes[of])
        else:
            order = self._orders_again(list(zip(keys, sizes.tolist(), strict=True)), begins, epochs)
        if order.shape[1] > sizes.min():
            np.minimum(order, self.sizes[of, None] - 1, out=order)
        if self._partly:
            for line, job in enumerate(of.tolist()):
                only = self.jobs[job].only
                order[line] = order[line] if only is None else only[order[line]]
        return order

    def _orders_again(self, same: list[tuple[int, int]], begins: Whole, epochs: Whole) -> Whole:
        """Orders of jobs of which some have the key and the size of others."""
        spans: dict[tuple[int, int], tuple[int, int]] = {}
        for job, begin, count in zip(same, begins.tolist(), epochs.tolist(), strict=True):
            spans[job] = begin, max(count, spans.get(job, (0, 0))[1])
        counts = np.array([count for _, count in spans.values()])
        keys = self._keys_of_epochs([key for key, _ in spans], np.array([begin for begin, _ in spans.values()]), counts)
        order = counter.permutations_of(keys, np.repeat([size for _, size in spans], counts))
        place = dict(zip(spans, (np.cumsum(counts) - counts).tolist(), strict=True))
        counted = zip(same, epochs.tolist(), strict=True)
        return order[[place[job] + number for job, count in counted for number in range(count)]]

    def _keys_of_epochs(self, keys: Sequence[int], begins: Whole, counts: Whole) -> list[int]:
        """Keys of so many epochs of each job in turn."""
        if (counts == 1).all() and (begins == begins[0]).all():
            return counter.keys_of(keys, "epoch", int(begins[0]))
        spans = zip(keys, begins.tolist(), counts.tolist(), strict=True)
        return [self._epoch_key(key, begin + number) for key, begin, count in spans for number in range(count)]

    def _epoch_key(self, key: int, epoch: int) -> int:
        known = self._epoch_keys.get((key, epoch))
        if known is None:
            known = self._epoch_keys[key, epoch] = counter.key(key, "epoch", epoch)
        return known


def stacks(jobs: Sequence[Job], batch_size: int, most: int) -> Iterator[Stack]:
    """Cut the jobs into stacks of at most `most`, few enough for a processor's cache, and of about the same size.

    Jobs of one stack have one B; those with the same rows and key come together, so that their order is drawn once.
    """
    sizes = _sizes(jobs)
    widths = np.minimum(batch_size, 1 << np.frexp(sizes - 1)[1].astype(np.int64))
    lengths = _lengths(jobs, -(-sizes // batch_size))
    keys = np.array([job.key for job in jobs], np.uint64)
    order = np.lexsort((keys, sizes, -lengths, widths))
    for run in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        for chunk in np.array_split(run, -(-len(run) // most)):
            yield Stack(chunk.tolist(), [jobs[at] for at in chunk.tolist()], batch_size)


def _sizes(jobs: Sequence[Job]) -> Whole:
    """Rows that each trains on, shape (J,)."""
    return np.array([job.place.size if job.only is None else len(job.only) for job in jobs], np.int64)


def _lengths(jobs: Sequence[Job], per_epoch: Whole) -> Whole:
    """Steps that each takes in all, shape (J,)."""
    steps = np.array([-1 if job.steps is None else job.steps for job in jobs], np.int64)
    epochs = np.array([job.epochs or 0 for job in jobs], np.int64)
    return np.where(steps < 0, epochs * per_epoch, steps)


def _counted(items: Whole, counts: Whole) -> tuple[Whole, Whole]:
    """Each item as often as it counts, and the numbers 0, 1, ... of its repetitions."""
    ends = np.cumsum(counts)
    return np.repeat(items, counts), np.arange(ends[-1]) - np.repeat(ends - counts, counts)


def _drawn_together(sizes: Whole) -> Iterator[Whole]:
    """Positions of jobs of like sizes: all of them if they are few, else those with 1, 2, 3 to 4, 5 to 8, ... rows."""
    if len(sizes) * int(sizes.max()) <= FEW_ROWS or (sizes == sizes[0]).all():
        yield np.arange(len(sizes))
        return
    classes = np.frexp(sizes - 1)[1]
    for one in np.unique(classes).tolist():
        yield np.flatnonzero(classes == one)
