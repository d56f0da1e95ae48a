"""What to plan: of all simulated federations the cheapest that reaches a target, or that is as good as a budget buys.

    minimise  c T + d D + l L     c, d, l: the policy's prices of processor time T, labelled rows D and labour L

A cell is a number of organisations, a part of their labelled rows and a number of rounds. It was drawn several times,
with other organisations and other rows each time; its utility has a 95 % interval, its cost a mean and a largest.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, stdev

from fedgap.contribution.interval import student
from fedgap.errors import FedgapError


class InfeasibleError(FedgapError):
    """No simulated federation does what is asked for."""

    code = "plan.infeasible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One simulated federation after some rounds.

    Attributes:
        organisations, rows_part, rounds: its cell.
        rows: labelled rows that it trained on.
        utility: of its model on the evaluation rows.
        cost: in minor units, exact.
    """

    organisations: int
    rows_part: Fraction
    rounds: int
    rows: int
    utility: float
    cost: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All draws of one number of organisations, part of rows and number of rounds.

    Attributes:
        organisations, rows_part, rounds: which.
        rows: mean number of labelled rows.
        utility, low, high: mean and 95 % interval over the draws.
        error: standard error of the mean.
        cost, most_cost: mean and largest, in minor units, rounded up.
    """

    organisations: int
    rows_part: Fraction
    rounds: int
    rows: int
    utility: float
    low: float
    high: float
    error: float
    cost: int
    most_cost: int


def cells(draws: Iterable[Drawn]) -> list[Cell]:
    """Put draws of the same cell together; a cell of a single draw tells nothing and is left out.

    Raises:
        InfeasibleError: no cell is left, because the numbers of nearly all federations ran away.
    """
    grouped: dict[tuple[int, Fraction, int], list[Drawn]] = {}
    for drawn in draws:
        grouped.setdefault((drawn.organisations, drawn.rows_part, drawn.rounds), []).append(drawn)
    kept = [_cell(group) for _, group in sorted(grouped.items()) if len(group) > 1]
    if not kept:
        raise InfeasibleError("The numbers of the simulated federations ran away.", remedy="Lower training.lr.")
    return kept


def frontier(found: Sequence[Cell]) -> list[Cell]:
    """The cells that no cheaper one beats, cheapest first."""
    best, kept = -math.inf, []
    for cell in sorted(found, key=lambda cell: (cell.cost, -cell.utility, cell.rounds)):
        if cell.utility > best:
            best = cell.utility
            kept.append(cell)
    return kept


def for_target(found: Sequence[Cell], target: float) -> Cell:
    """The cheapest cell whose whole interval reaches the target.

    Raises:
        InfeasibleError: none does.
    """
    reaching = [cell for cell in found if cell.low >= target]
    if not reaching:
        best = max(found, key=lambda cell: cell.low)
        raise InfeasibleError(
            f"No federation surely reaches a utility of {target:g}; the best has {best.utility:.4f} "
            f"({best.low:.4f} to {best.high:.4f}).",
            remedy=f"Ask for at most {math.floor(1e4 * best.low) / 1e4:g}, or find more organisations, rows or rounds.",
        )
    return min(reaching, key=lambda cell: (cell.cost, -cell.utility, cell.rounds))


def for_budget(found: Sequence[Cell], budget: int, shown: Callable[[int], str] = str) -> Cell:
    """The cheapest cell that is, but for one standard error, as good as the best that never costs more than the budget.

    Args:
        found: all cells.
        budget: in minor units.
        shown: writes an amount for people.

    Raises:
        InfeasibleError: every cell costs more.
    """
    within = [cell for cell in found if cell.most_cost <= budget]
    if not within:
        least = min(cell.most_cost for cell in found)
        raise InfeasibleError(
            f"Every simulated federation costs more than {shown(budget)}; the cheapest costs {shown(least)}.",
            remedy="Raise the budget, or simulate fewer organisations, rows or rounds.",
        )
    best = max(within, key=lambda cell: cell.utility)
    as_good = [cell for cell in within if cell.utility >= best.utility - best.error]
    return min(as_good, key=lambda cell: (cell.cost, -cell.utility, cell.rounds))


def cost_of(prices: Mapping[str, Fraction], *, cpu_ms: int, rows: int, labour_minutes: int) -> Fraction:
    """Compute c T + d D + l L in minor units; what has no price costs nothing."""
    quantities = {"cpu-ms": cpu_ms, "rows": rows, "labour-minutes": labour_minutes}
    return sum((prices.get(what, Fraction(0)) * amount for what, amount in quantities.items()), Fraction(0))


def _cell(group: Sequence[Drawn]) -> Cell:
    first, utilities = group[0], [drawn.utility for drawn in group]
    mean, error = fmean(utilities), stdev(utilities) / math.sqrt(len(group))
    reach = student(len(group) - 1) * error
    costs = [drawn.cost for drawn in group]
    return Cell(
        organisations=first.organisations,
        rows_part=first.rows_part,
        rounds=first.rounds,
        rows=round(fmean([drawn.rows for drawn in group])),
        utility=mean,
        low=mean - reach,
        high=mean + reach,
        error=error,
        cost=math.ceil(sum(costs, Fraction(0)) / len(costs)),
        most_cost=math.ceil(max(costs)),
    )
