"""Every coalition at once gives what each would have trained alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedgap.contribution.games import membership
from fedgap.learning.coalitions import Plan, Player, local_steps, train_coalitions
from fedgap.learning.stack_utility import StackUtility
from fedgap.learning.utility import softmax


def players(outputs: int, factors: tuple[float, ...] = (1.0, 1.0, -1.0, 0.0)) -> list[Player]:
    draw = np.random.default_rng(1)
    found = []
    for place, factor in enumerate(factors):
        rows = 5 + 2 * place
        y: NDArray[np.int64] | NDArray[np.float64] = draw.integers(0, outputs, rows)
        if outputs == 1:
            y = draw.normal(size=rows)
        found.append(Player(x=draw.normal(size=(rows, 3)), y=y, weight=1.0 + place, factor=factor))
    return found


PLANS = [
    Plan(widths=(3, 2), rounds=3, steps=2, lr=0.3),
    Plan(widths=(3, 4, 2), rounds=3, steps=2, lr=0.3),
    Plan(widths=(3, 4, 1), activation="relu", rounds=2, steps=1, lr=0.1),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: "-".join(map(str, plan.widths)))
def test_a_coalition_beside_others_trains_as_it_would_alone(plan: Plan) -> None:
    start = np.random.default_rng(2).normal(size=plan.size)
    cast = players(plan.widths[-1])
    everyone = train_coalitions(cast, membership(4), plan, start)
    for coalition, inside in enumerate(membership(4)):
        alone = train_coalitions(cast, inside[None], plan, start)
        assert everyone[coalition] == pytest.approx(alone[0], abs=1e-12)
    assert np.array_equal(everyone[0], start)
    assert np.array_equal(everyone[8], start)  # the rider alone moves nothing


def test_a_local_step_is_a_step_down_the_mean_loss() -> None:
    plan, player = PLANS[1], players(2)[0]
    model = np.random.default_rng(3).normal(size=plan.size)
    utility = StackUtility(plan.widths, "tanh", "brier", player.x, np.asarray(player.y))

    def loss(vector: NDArray[np.float64]) -> float:
        p = softmax(utility._forward(vector)[0])
        return float(-np.log(p[np.arange(len(player.y)), np.asarray(player.y)]).mean())

    one = Plan(widths=plan.widths, rounds=1, steps=1, lr=1.0)
    gradient = model - local_steps(player, model[None], one)[0]
    for place in range(plan.size):
        move = np.zeros(plan.size)
        move[place] = 1e-6
        assert gradient[place] == pytest.approx((loss(model + move) - loss(model - move)) / 2e-6, abs=1e-7)


def test_who_watches_sees_updates_that_make_the_next_model() -> None:
    seen = []
    cast = players(2)
    weight = np.array([player.weight for player in cast])

    def watch(
        number: int, before: NDArray[np.float64], updates: NDArray[np.float64], after: NDArray[np.float64]
    ) -> None:
        assert after == pytest.approx(before + np.tensordot(weight / weight.sum(), updates, axes=1))
        assert not updates[3].any()
        seen.append(number)

    final = train_coalitions(cast, np.ones((1, 4), bool), PLANS[0], np.zeros(PLANS[0].size), watch)
    assert seen == [1, 2, 3]
    assert final == pytest.approx(train_coalitions(cast, np.ones((1, 4), bool), PLANS[0], np.zeros(PLANS[0].size)))
