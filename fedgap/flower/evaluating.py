"""A round's utility and directions, computed in threads of their own while the server asks members for the next round.

Each opening looks at its own rows with its own model, so the halves are computed side by side; each alone in one
thread, so that the bits stay those of a simulation.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from fedgap.contribution.direction import Direction, Utility
from fedgap.contribution.openings import Divisible, directions
from fedgap.flower.stopwatch import Stopwatch
from fedgap.simulation.assessing import Array, Moved

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done(Generic[T]):
    """A result, and the processor time that it took."""

    result: T
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the directions of a round are taken of.

    Attributes:
        utilities: one for each opening.
        apart: whether each has a model of its own, so that they may be used at the same time.
        starts: of each U(w), if it is known; none, if not.
    """

    utilities: Sequence[Divisible]
    apart: bool
    starts: Sequence[float] = ()

    @property
    def groups(self) -> list[slice]:
        """Which of them are computed one after the other."""
        count = len(self.utilities)
        return [slice(at, at + 1) for at in range(count)] if self.apart else [slice(0, count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluating:
    """What is under way for one round.

    Attributes:
        watch: told what the threads used.
        moved: what the round did to the model.
    """

    watch: Stopwatch
    moved: Moved
    _value: Future[_Done[float]]
    _directions: Sequence[Future[_Done[list[Direction]]]]

    def value(self) -> float:
        """Wait for the utility of the model after the round, on all rows."""
        return self._wait(self._value)

    def directions(self) -> list[Direction]:
        """Wait for the directions.

        Raises:
            UtilityError: one is not finite.
        """
        return [one for part in self._directions for one in self._wait(part)]

    def _wait(self, future: Future[_Done[T]]) -> T:
        done = future.result()
        self.watch.count("directions", cpu_s=done.cpu_s)
        return done.result


@contextmanager
def evaluating(
    watch: Stopwatch, utility: Utility, parts: Parts, moved: Moved, mean: Array | None
) -> Iterator[Evaluating]:
    """Begin to evaluate a round; nothing of it runs any more when the block is left.

    Args:
        watch: told what the threads use.
        utility: on all rows; looked at once, with the model after the round.
        parts: of it, one for each opening.
        moved: what the round did to the model.
        mean: its weighted mean update X; None if its directions are known.
    """
    groups = [] if mean is None else parts.groups

    def directed(group: slice) -> list[Direction]:
        assert mean is not None  # noqa: S101 - there are groups; tells mypy
        starts = parts.starts[group]
        return directions(parts.utilities[group], moved.before, moved.after, mean, moved.step, starts=starts)

    with ThreadPoolExecutor(max_workers=len(groups) + 1, thread_name_prefix="evaluating") as pool:
        value = pool.submit(_timed, lambda: utility.value(moved.after.astype(np.float64)))
        under_way = [pool.submit(_timed, partial(directed, group)) for group in groups]
        yield Evaluating(watch=watch, moved=moved, _value=value, _directions=under_way)


def _timed(work: Callable[[], T]) -> _Done[T]:
    began = time.thread_time()
    result = work()
    return _Done(result=result, cpu_s=time.thread_time() - began)
