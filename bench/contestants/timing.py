"""How the benchmarks measure time."""

import time
from collections.abc import Callable, Mapping
from statistics import median

Seconds = float
Work = Callable[[], object]


def cpu_s(work: Work, *, repeats: int = 5) -> Seconds:
    """Least CPU time of a few repetitions."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


SHORT_S: Seconds = 0.3
"""What takes longer is done once a turn."""


def in_turns(works: Mapping[str, Work], *, turns: int) -> dict[str, list[Seconds]]:
    """CPU time of several works, measured in turns, so that what disturbs the machine for a while disturbs all of them.

    Args:
        works: by name; each is done once before anything is measured.
        turns: how often each is measured: three runs, of which the least counts, or one run if any of them is long.

    Returns:
        for each work the seconds of every turn.
    """
    runs = 3 if max(cpu_s(work, repeats=1) for work in works.values()) < SHORT_S else 1
    measured: dict[str, list[Seconds]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            measured[name].append(cpu_s(work, repeats=runs))
    return measured


def times(one: list[Seconds], other: list[Seconds]) -> float:
    """How many times as long as `one` the `other` takes: the median over the turns."""
    return median(b / a for a, b in zip(one, other, strict=True))
