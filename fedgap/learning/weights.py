"""Aggregation weights: how much each organisation's update counts in the sum.

Capped rows are the default, and the most unequal rule allowed with secure aggregation: an organisation that dominates
the sum would be visible in it, and inflating a row count would pay.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from statistics import median

from fedgap.ids import OrgId

CAP = 3
"""An organisation counts at most as much as this many median ones."""

_ROOT_SCALE = 10**12

_RULES: dict[str, Callable[[int], int]] = {
    "capped": lambda count: count,
    "equal": lambda count: 1,  # noqa: ARG005 - the rule is to ignore the count
    "sqrt": lambda count: math.isqrt(count * _ROOT_SCALE),
    "rows": lambda count: count,
}


def counts(rule: str, rows: Mapping[OrgId, int]) -> dict[OrgId, int]:
    """Turn (attested) row counts into whole-number weights.

    Args:
        rule: capped (rows), equal, sqrt (square root of rows, to 1e-6), all three at most `CAP` times their median; or
            rows, which is not capped.
        rows: rows of each organisation, at least 1.

    Returns:
        positive numbers, in name order.
    """
    parts = {org: _RULES[rule](rows[org]) for org in sorted(rows)}
    if rule == "rows":
        return parts
    cap = math.floor(CAP * Fraction(median(map(Fraction, parts.values()))))
    return {org: min(part, cap) for org, part in parts.items()}


def weights(rule: str, rows: Mapping[OrgId, int]) -> dict[OrgId, Fraction]:
    """Turn row counts into shares of the mean (see `counts`): exact fractions that sum to 1, in name order."""
    parts = counts(rule, rows)
    total = sum(parts.values())
    return {org: Fraction(part, total) for org, part in parts.items()}
