"""Which rounds count: once the utility stands still, organisations only pull against each other.

At each boundary of a settlement period t99 is the first round with 99 % of the best cumulative gain so far. The window
closes at the first boundary at or past 2 * t99 and never reopens, so that a value once settled stays as it is. With one
settlement at the end the whole run is known and the window ends with round 2 * t99 itself.
"""

from collections.abc import Sequence

REACHED = 0.99
LENGTHS = 2


def time_to_gain(utilities: Sequence[float]) -> int | None:
    """Give t99.

    Args:
        utilities: U before the first round, then after each round.

    Returns:
        the first round, from 1, with 99 % of the best cumulative gain; None if there never was a gain.
    """
    best = max(utilities) - utilities[0]
    if best <= 0:
        return None
    return next(t for t, now in enumerate(utilities) if now - utilities[0] >= REACHED * best)


def last_round(utilities: Sequence[float], boundaries: Sequence[int]) -> int:
    """Give the last round that counts.

    Args:
        utilities: U before the first round, then after each round up to the last boundary.
        boundaries: the last round of each period so far, increasing.

    Returns:
        the last boundary while the window is open.
    """
    if len(boundaries) == 1:
        reached = time_to_gain(utilities[: boundaries[0] + 1])
        return boundaries[0] if reached is None else min(boundaries[0], LENGTHS * reached)
    for boundary in boundaries:
        reached = time_to_gain(utilities[: boundary + 1])
        if reached is not None and boundary >= LENGTHS * reached:
            return boundary
    return boundaries[-1]
