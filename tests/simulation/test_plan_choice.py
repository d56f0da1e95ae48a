"""Choosing among simulated federations: the cheapest that surely reaches a target, the best that a budget pays."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.simulation.plan_choice import (
    Cell,
    Drawn,
    InfeasibleError,
    cells,
    cost_of,
    for_budget,
    for_target,
    frontier,
)


def drawn(organisations: int, rounds: int, utility: float, cost: int) -> Drawn:
    return Drawn(
        organisations=organisations,
        rows_part=Fraction(1),
        rounds=rounds,
        rows=10 * organisations,
        utility=utility,
        cost=Fraction(cost),
    )


many = st.lists(
    st.builds(
        drawn, st.integers(3, 6), st.integers(1, 3), st.floats(0, 1), st.integers(1, 50)
    ),
    min_size=30,
    max_size=60,
)  # fmt: skip


@given(many)
def test_the_frontier_rises_with_cost_and_nothing_cheaper_is_better(draws: list[Drawn]) -> None:
    found = cells(draws)
    best = frontier(found)

    assert [cell.cost for cell in best] == sorted(cell.cost for cell in best)
    assert [cell.utility for cell in best] == sorted(cell.utility for cell in best)
    for cell in best:
        assert not [other for other in found if other.cost < cell.cost and other.utility >= cell.utility]


@given(many, st.integers(1, 60))
def test_a_budget_is_never_exceeded_by_any_draw(draws: list[Drawn], budget: int) -> None:
    found = cells(draws)
    try:
        chosen = for_budget(found, budget)
    except InfeasibleError:
        assert all(cell.most_cost > budget for cell in found)
        return
    of_it = [d for d in draws if (d.organisations, d.rounds) == (chosen.organisations, chosen.rounds)]
    assert max(d.cost for d in of_it) <= budget
    best = max(cell.utility for cell in found if cell.most_cost <= budget)
    assert chosen.utility >= best - max(cell.error for cell in found)


@given(many, st.floats(0, 1))
def test_a_target_is_reached_by_the_whole_interval_and_nothing_cheaper_reaches_it(
    draws: list[Drawn], target: float
) -> None:
    found = cells(draws)
    try:
        chosen = for_target(found, target)
    except InfeasibleError:
        assert all(cell.low < target for cell in found)
        return
    assert chosen.low >= target
    assert chosen.cost == min(cell.cost for cell in found if cell.low >= target)


def test_the_interval_is_students_over_the_draws() -> None:
    (cell,) = cells([drawn(3, 1, utility, 7) for utility in (0.7, 0.8, 0.9)])

    assert cell.utility == pytest.approx(0.8)
    assert (cell.low, cell.high) == pytest.approx((0.8 - 4.303 * 0.1 / 3**0.5, 0.8 + 4.303 * 0.1 / 3**0.5))
    assert (cell.cost, cell.most_cost) == (7, 7)


def test_one_draw_tells_nothing() -> None:
    with pytest.raises(InfeasibleError, match="ran away"):
        cells([drawn(3, 1, 0.5, 1)])


def test_costs_are_exact_and_what_has_no_price_is_free() -> None:
    prices = {"cpu-ms": Fraction(1, 450000), "rows": Fraction(2500)}

    assert cost_of(prices, cpu_ms=9, rows=4, labour_minutes=60) == Fraction(9, 450000) + 10000


def test_a_dear_federation_says_what_the_cheapest_costs() -> None:
    cell: Cell = cells([drawn(3, 1, 0.5, 40), drawn(3, 1, 0.6, 42)])[0]

    with pytest.raises(InfeasibleError, match="the cheapest costs 42 cents"):
        for_budget([cell], 7, lambda amount: f"{amount} cents")
