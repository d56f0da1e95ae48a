"""From numbers to places on an axis, with round tick marks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_FLOOR = -1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, both in data units; `step` is the distance of two ticks."""

    low: float
    high: float
    step: float

    def share(self, value: float) -> float:
        """Where `value` stands: 0 at the low end, 1 at the high end; what lies outside stands at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self) -> list[tuple[float, str]]:
        """The tick marks and their labels."""
        first, last = math.ceil(self.low / self.step - 1e-6), math.floor(self.high / self.step + 1e-6)
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        return [(at * self.step, _label(at * self.step, digits)) for at in range(first, last + 1)]


def around(values: Iterable[float], *, intervals: int) -> Scale:
    """Span an axis that shows every value, in about `intervals` steps of 1, 2 or 5 times a power of ten."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        margin = 0.05 * (abs(low) or 1.0)
        low, high = low - margin, high + margin
    step = _round_step((high - low) / intervals)
    return Scale(step * math.floor(low / step + 1e-6), step * math.ceil(high / step - 1e-6), step)


def for_scores(values: Iterable[float]) -> Scale:
    """Span an axis for scores; what lies below -1 is left to its edge.

    R2 has no lower end, and one model at -20 would press all others into one point.
    """
    known = list(values)
    if any(value > 0 for value in known):
        known = [max(value, _FLOOR) for value in known]
    return around(known, intervals=4)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _label(value: float, digits: int) -> str:
    shown = f"{value:.{digits}f}"
    if len(shown) > 7:  # noqa: PLR2004 - wider labels would touch each other
        shown = f"{value:.3g}"
    return shown.removeprefix("-") if float(shown) == 0 else shown
