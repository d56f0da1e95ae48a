"""What the interval of a value in a record means: the value, and Student's t times one standard error to either side.

The standard error is pooled over the organisations of a period. They share the validation rows, so however many they
are, together they know as much as `SHARED_ROWS` that were independent: 5 n / (n + 4) degrees of freedom for n of them.
With n degrees intervals covered 91 % instead of 95 % (development seeds; `fedgap bench contribution` measures it on
others).
"""

from fractions import Fraction
from typing import Final

SHARED_ROWS: Final = 5

_T975: Final = (Fraction("12.706"), Fraction("4.303"), Fraction("3.182"), Fraction("2.776"))
"""97.5 % points of Student's t with 1, 2, 3 and 4 degrees of freedom; there are never more."""


def errors_in_half_an_interval(organisations: int) -> Fraction:
    """How many standard errors half a 95 % interval is, where two openings gave so many organisations one."""
    degrees = SHARED_ROWS * organisations // (organisations + SHARED_ROWS - 1)
    return _T975[max(1, degrees) - 1]
