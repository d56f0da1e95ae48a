"""How the benchmarks measure time."""

import time
from collections.abc import Callable

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
