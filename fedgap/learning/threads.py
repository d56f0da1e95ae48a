"""How many threads compute. One: sums keep their order, so that the same seed gives the same bits."""

import sys
from functools import cache

from threadpoolctl import threadpool_limits


def use_one_thread() -> None:
    """Let this process compute in one thread: the linear algebra under numpy, and torch if it is there already."""
    use_threads(1)


def use_threads(count: int) -> None:
    """Let this process compute in so many threads; with more than one the same seed may give other bits."""
    _limit_numpy(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@cache
def _limit_numpy(count: int) -> None:
    """Ask once; finding the libraries takes a few milliseconds."""
    threadpool_limits(count)
