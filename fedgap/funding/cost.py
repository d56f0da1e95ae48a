"""What an organisation spent, at the policy's prices: metered up to the server's bound, declared as it was stated."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fedgap.funding.policy import Policy
from fedgap.records import CostBounded, CostClaimed, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One quantity of a claim.

    Attributes:
        what: with its unit.
        claimed: as it was claimed.
        counted: as it is paid: no more than the bound, nothing without a price.
        price: of one, in minor units.
        is_declared: stated by a person, not measured.
        flags: `over-bound`, `no-price`, `declared`, `declared-not-paid`.
    """

    what: str
    claimed: int
    counted: int
    price: Fraction
    is_declared: bool
    flags: tuple[str, ...]

    @property
    def amount(self) -> Fraction:
        """In minor units, exact."""
        return self.counted * self.price


def cost_lines(claimed: CostClaimed | None, bounded: CostBounded | None, policy: Policy) -> tuple[CostLine, ...]:
    """Price a claim, line by line, in the order of the claim."""
    if claimed is None:
        return ()
    bounds = {quantity.what: quantity.amount for quantity in bounded.bounds} if bounded else {}
    prices = {price.what: price.each for price in policy.prices}
    return (
        *_lines(claimed.metered, bounds, prices, is_declared=False, is_paid=True),
        *_lines(claimed.declared, {}, prices, is_declared=True, is_paid=policy.pays_declared),
    )


def _lines(
    quantities: Sequence[Quantity],
    bounds: dict[str, int],
    prices: dict[str, Fraction],
    *,
    is_declared: bool,
    is_paid: bool,
) -> tuple[CostLine, ...]:
    lines, left = [], dict(bounds)
    for quantity in quantities:
        most = left.get(quantity.what, quantity.amount)
        if quantity.what in left:
            left[quantity.what] = max(0, most - quantity.amount)  # of one name there may be several lines
        flags = {
            "over-bound": quantity.amount > most,
            "no-price": quantity.what not in prices,
            "declared": is_declared,
            "declared-not-paid": is_declared and not is_paid,
        }
        is_counted = is_paid and quantity.what in prices
        lines.append(
            CostLine(
                what=quantity.what,
                claimed=quantity.amount,
                counted=min(quantity.amount, most) if is_counted else 0,
                price=prices.get(quantity.what, Fraction(0)),
                is_declared=is_declared,
                flags=tuple(flag for flag, is_so in flags.items() if is_so),
            )
        )
    return tuple(lines)
