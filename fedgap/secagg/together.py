"""A period in which the roster changed: its parts are opened one by one, and their values add up to the period's.

Values are sums over rounds in one unit of utility, so those of the parts add up exactly, and a period's budget is
divided by them as if it had not been cut. Each part carries the values so far, so the last word is the whole period.
"""

from collections.abc import Sequence
from dataclasses import replace

from fedgap.secagg.credit import PROVISIONAL
from fedgap.secagg.valuation import BY_WEIGHT, CONTRACTED, VERIFIED, Settlement, Valued

PARTLY = "partly-by-weight"
_BEST_FIRST = (BY_WEIGHT, VERIFIED, PROVISIONAL, CONTRACTED)
"""What was opened counts as its weakest part; what was not opened says nothing about what was."""


def together(parts: Sequence[Settlement]) -> Settlement:
    """Add up the parts of a period.

    Args:
        parts: by roster, oldest first; at least one.

    Returns:
        the last one, with those before it. Each values its own roster in order of seats, then who left before.
    """
    first, *others = parts
    whole = first
    for part in others:
        before = {one.organisation: one for one in whole.valued}
        now = [_plus(before.get(one.organisation), one) for one in part.valued]
        names = {one.organisation for one in now}
        left = [one for one in whole.valued if one.organisation not in names]
        totals = tuple(a + b for a, b in zip(whole.totals, part.totals, strict=True))
        whole = replace(part, valued=(*now, *left), totals=totals, before=whole)
    return whole


def _plus(before: Valued | None, now: Valued) -> Valued:
    if before is None:
        return now
    weighed = {one.standing == BY_WEIGHT for one in (before, now) if any(one.values)}
    return replace(
        now,
        values=tuple(a + b for a, b in zip(before.values, now.values, strict=True)),
        standing=max(before.standing, now.standing, key=_BEST_FIRST.index),
        flags=tuple(sorted({*before.flags, *now.flags, *([PARTLY] if len(weighed) > 1 else [])})),
        vouched_by=tuple(sorted({*before.vouched_by, *now.vouched_by})),
    )
