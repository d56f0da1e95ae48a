"""Exact Shapley values agree with the closed forms of textbook games, and with another program's way to them."""

import json
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.contribution.errors import TooManyCoalitionsError
from fedgap.contribution.games import leave_one_out, membership, shapley

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "contribution").glob("*.json"))
worths = st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-9, 9), min_size=2**n, max_size=2**n))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_shapley_values_are_those_of_the_closed_form(path: Path) -> None:
    game = json.loads(path.read_text(encoding="utf-8"))
    expected = [float(Fraction(value)) for value in game["value"]]
    assert shapley([float(Fraction(worth)) for worth in game["worth"]]) == pytest.approx(expected, abs=1e-12)


def test_there_are_stored_games() -> None:
    assert len(VECTORS) >= 6


@given(worths)
def test_shapley_is_the_mean_over_all_orders(worth: list[float]) -> None:
    players = len(worth).bit_length() - 1
    orders = list(permutations(range(players)))
    total = np.zeros(players)
    for order in orders:
        coalition = 0
        for player in order:
            total[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    assert shapley(worth) == pytest.approx(total / len(orders), abs=1e-9)
    assert shapley(worth).sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


def test_leaving_one_out_is_the_last_marginal_contribution() -> None:
    assert leave_one_out([0, 1, 2, 5]) == pytest.approx([3, 4])


def test_membership_counts_in_bits() -> None:
    assert membership(2).tolist() == [[False, False], [True, False], [False, True], [True, True]]


@pytest.mark.parametrize("players", [0, 13])
def test_more_than_twelve_players_are_refused(players: int) -> None:
    with pytest.raises(TooManyCoalitionsError, match=str(players)):
        membership(players)


@pytest.mark.parametrize("length", [0, 1, 3, 6])
def test_a_table_has_a_worth_for_every_coalition(length: int) -> None:
    with pytest.raises(ValueError, match=r"2\*\*n"):
        shapley([0.0] * length)
