"""Two small algorithms that money needs: filling up to caps, and whole cents that add up."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

K = TypeVar("K")


def fill(amount: Fraction, sizes: Mapping[K, Fraction], caps: Mapping[K, Fraction]) -> dict[K, Fraction]:
    """Divide in proportion to sizes, but give nobody more than its cap; what a cap cuts off goes to the others.

    Args:
        amount: to divide.
        sizes: at least 0.
        caps: one for each size.

    Returns:
        For each size its part. Less than the amount only if every part with a size above 0 is at its cap.
    """
    parts = dict.fromkeys(sizes, Fraction(0))
    open_ones = {key: size for key, size in sizes.items() if size > 0}
    left = amount
    while open_ones:
        each = left / sum(open_ones.values())
        full = [key for key, size in open_ones.items() if size * each >= caps[key]]
        if not full:
            return parts | {key: size * each for key, size in open_ones.items()}
        for key in full:
            parts[key] = caps[key]
            left -= caps[key]
            del open_ones[key]
    return parts


def whole(exact: Sequence[Fraction]) -> list[int]:
    """Round numbers whose sum is whole so that the rounded ones have the same sum, each less than one from its own.

    The largest remainders are rounded up; of equal ones, the first.

    Raises:
        ValueError: the sum is not whole.
    """
    total = sum(exact, Fraction(0))
    if total.denominator != 1:
        raise ValueError("these numbers do not add up to a whole one")
    floors = [number.__floor__() for number in exact]
    missing = int(total) - sum(floors)
    order = sorted(range(len(exact)), key=lambda at: (floors[at] - exact[at], at))
    up = set(order[:missing])
    return [floor + (at in up) for at, floor in enumerate(floors)]
