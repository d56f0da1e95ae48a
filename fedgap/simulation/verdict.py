"""Is it worth it for you? The rule, in one place, and its words."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["join", "neutral", "stay-out", "too-little-data"]
Interval = tuple[float, float]

MARGIN = 0.01
"""A gain below one point is no reason to join."""

WIDEST = 0.10
"""An interval wider than ten points to either side cannot tell."""

FEWEST_ROWS = 5
"""With fewer different test rows of its own, an organisation is not told to stay out or that nothing changes."""

RULE = (
    "The gain is the score of the model an organisation would use after joining (the common model, fine-tuned where "
    "its own held-out rows say so) minus the score of its own model. "
    f"Its own test rows decide if there are {FEWEST_ROWS} or more: stay-out if the 95 % interval of the gain on them "
    "lies below 0, join if it lies above 0. If they cannot tell: join if the gain on them is not negative, and on all "
    f"organisations' test rows the interval lies above 0 and the gain is {100 * MARGIN:.0f} point or more; neutral if "
    f"there are {FEWEST_ROWS} or more own test rows and the interval on them, or on all rows, is at most "
    f"{100 * WIDEST:.0f} points wide to either side. too-little-data: anything else."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Joining minus staying alone, in score units; None where the rows cannot say."""

    mean: float | None
    interval: Interval | None


def decide(own: Gain, common: Gain, own_rows: int) -> tuple[Verdict, str]:
    """Apply `RULE`.

    Args:
        own: gain on the organisation's own test rows.
        common: gain on all organisations' test rows.
        own_rows: how many different test rows of its own it has.

    Returns:
        the verdict and its reason in words.
    """
    if own.interval is not None and own_rows >= FEWEST_ROWS:
        if own.interval[1] < 0:
            return "stay-out", f"on its own test rows joining costs {_points(own)}"
        if own.interval[0] > 0:
            return "join", f"on its own test rows joining gains {_points(own)}"
    if (
        common.mean is not None
        and common.interval is not None
        and common.interval[0] > 0
        and common.mean >= MARGIN
        and (own.mean is None or own.mean >= 0)
    ):
        return "join", f"on all organisations' test rows joining gains {_points(common)}; its own rows cannot tell"
    if own_rows >= FEWEST_ROWS and _narrow(own):
        return "neutral", f"on its own test rows joining makes no clear difference ({_points(own)})"
    if own_rows >= FEWEST_ROWS and _narrow(common):
        return "neutral", f"its own test rows show no gain ({_points(own)}), all organisations' {_points(common)}"
    cannot_tell = f"its {own_rows} different test rows cannot tell a gain from a loss"
    return "too-little-data", cannot_tell if own_rows else "it has no test rows of its own"


def _narrow(gain: Gain) -> bool:
    return gain.interval is not None and gain.interval[1] - gain.interval[0] <= 2 * WIDEST


def _points(gain: Gain) -> str:
    """The gain in points (hundredths of the score), with its interval."""
    if gain.mean is None or gain.interval is None:
        return "an unknown amount"
    low, high = gain.interval
    return f"{100 * gain.mean:+.1f} points, 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
