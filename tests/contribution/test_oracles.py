"""What other methods say, on games where it can be said by hand."""

import numpy as np
import pytest

from fedgap.contribution.direction import Array
from fedgap.contribution.games import membership, shapley
from fedgap.contribution.oracles import PlainRound, Truncation, cosine, fedsv, gtg

WEIGHTS = np.array([0.5, 0.3, 0.2])
UPDATES = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
PLAYED = PlainRound(before=np.zeros(2), updates=UPDATES, weights=WEIGHTS)


def straight(models: Array) -> Array:
    return np.asarray(models @ np.array([1.0, 2.0]))


def bent(models: Array) -> Array:
    return np.asarray(-((models - 0.4) ** 2).sum(axis=1))


def test_a_coalitions_model_is_the_mean_of_its_own_updates() -> None:
    found = PLAYED.models(np.array([[False] * 3, [True, False, False], [True, True, False]]))
    assert found == pytest.approx(np.array([[0, 0], [1, 0], [0.625, 0.375]]))


def test_fedsv_is_the_exact_value_of_the_game_of_one_round() -> None:
    worth = bent(PLAYED.models(membership(3)))
    assert fedsv(PLAYED, bent) == pytest.approx(shapley(worth))
    assert fedsv(PLAYED, bent).sum() == pytest.approx(float(worth[-1] - worth[0]))


def test_gtg_without_truncation_comes_close_to_fedsv_and_sums_to_the_gain() -> None:
    rule = Truncation(between=0, within=0, orders=200, converged=0)
    found, evaluated = gtg(PLAYED, bent, 1, rule)
    assert found == pytest.approx(fedsv(PLAYED, bent), abs=0.02)
    assert found.sum() == pytest.approx(fedsv(PLAYED, bent).sum())
    assert evaluated == 8


def test_gtg_leaves_a_round_out_that_gained_nothing() -> None:
    still = PlainRound(before=np.zeros(2), updates=0 * UPDATES, weights=WEIGHTS)
    found, evaluated = gtg(still, bent, 1)
    assert found.tolist() == [0, 0, 0]
    assert evaluated == 2


def test_gtg_stops_when_its_values_do_not_move() -> None:
    eager, _ = gtg(PLAYED, straight, 1, Truncation(orders=2))
    patient, _ = gtg(PLAYED, straight, 1, Truncation(orders=50, converged=10.0))
    assert patient == pytest.approx(eager)


def test_cosine_looks_at_directions_only_and_leaves_the_empty_at_nothing() -> None:
    updates = np.array([[2.0, 0.0], [1.0, 0.0], [-3.0, 0.0], [0.0, 0.0]])
    played = PlainRound(before=np.zeros(2), updates=updates, weights=np.array([1.0, 1.0, 0.1, 1.0]))
    assert cosine(played).tolist() == [1, 1, -1, 0]
