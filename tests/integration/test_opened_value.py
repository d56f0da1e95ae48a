"""The value that members and server open together is the value that a simulation computes from single updates."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from fedgap.contribution.interval import half_split
from fedgap.contribution.openings import directions, openings
from fedgap.contribution.steps import ServerStep
from fedgap.contribution.value import Account
from fedgap.ids import OrgId
from fedgap.learning.coalitions import Plan, Player, local_steps
from fedgap.learning.stack_utility import StackUtility
from fedgap.secagg.plain import mean_of, plain_parts, plain_sum
from tests.settling.settled_run import SettledRun

INPUTS, CLASSES, ROUNDS, MEMBERS, SEED = 11, 9, 10, 4, 1
SIZE = (INPUTS + 1) * CLASSES
PLAN = Plan(widths=(INPUTS, CLASSES), rounds=ROUNDS, steps=2, lr=0.5)


class Learned:
    """A federation of four that learns classes from noisy prototypes, one round after the other, as settlement asks."""

    def __init__(self, count: int) -> None:
        draw = np.random.default_rng(2)
        prototypes = draw.normal(size=(CLASSES, INPUTS))

        def rows(many: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            y = draw.integers(0, CLASSES, many)
            return prototypes[y] + draw.normal(scale=0.8, size=(many, INPUTS)), y

        self.players = [Player(*rows(12 + 9 * k), weight=1.0) for k in range(MEMBERS)]
        self.utilities = openings(StackUtility(PLAN.widths, "tanh", "brier", *rows(80)), count, SEED)
        self.models = [np.zeros(SIZE, np.float32)]
        self.accounts = [
            Account(organisations=tuple(OrgId(f"org-{k:02d}") for k in range(MEMBERS))) for _ in range(count)
        ]
        self.run: SettledRun

    def update(self, round_: int, seat: int) -> NDArray[np.float32]:
        """What a member trains in a round, within the clip norm; the last one sends nothing."""
        model = self.models[round_ - 1].astype(np.float64)
        moved = local_steps(self.players[seat], model[None], PLAN)[0] - model
        factor = 0.0 if seat == MEMBERS - 1 else 1 / max(1.0, float(np.linalg.norm(moved)))
        sent: NDArray[np.float32] = (factor * moved).astype(np.float32)
        return sent

    def directions(self, round_: int) -> list[NDArray[np.float64]]:
        """What everybody recomputes; the first time the round is closed with the integers that were summed."""
        mean = self._mean(round_)
        if len(self.models) == round_:
            self.models.append((self.models[-1] + mean).astype(np.float32))
        found = directions(self.utilities, self.models[round_ - 1], self.models[round_], mean)
        if len(self.accounts[0].utilities) in {0, round_}:
            given = {m.id: self.run.contribution(round_, k) for k, m in enumerate(self.run.manifest.members)}
            for account, one in zip(self.accounts, found, strict=True):
                account.add(one, plain_parts(self.run.manifest, given, clip=1.0, round_=round_))
        return [one.unrounded for one in found]

    def _mean(self, round_: int) -> NDArray[np.float64]:
        members = self.run.manifest.members
        given = [(m.id, self.run.contribution(round_, k)) for k, m in enumerate(members)]
        total, seats = plain_sum(self.run.manifest, given, clip=1.0, round_=round_)
        return mean_of(self.run.manifest, total, seats=seats, clip=1.0).update


@pytest.mark.parametrize("count", [1, 2])
def test_opened_values_agree_with_plain_ones_and_nothing_is_worth_nothing(count: int) -> None:
    """Through every message of the rounds, the closing exchange and the settlement."""
    ServerStep(optimizer="fedavg").check_openable()
    learned = Learned(count)
    run = learned.run = SettledRun(
        n=MEMBERS,
        d=SIZE,
        rounds=ROUNDS,
        openings=count,
        directions=learned.directions,
        updates=learned.update,
    )
    settlement = run.whole()
    assert [one.standing for one in settlement.valued] == ["verified"] * MEMBERS
    for slot, account in enumerate(learned.accounts):
        settled = account.settle(last=ROUNDS)
        plain = np.array(list(settled.values.values()))
        opened = np.array([float(one.values[slot]) for one in settlement.valued])
        assert settled.gain > 0.1
        assert np.abs(opened - plain).max() <= 0.005 * np.abs(plain).max()
        assert sum(plain) + settled.gap == pytest.approx(settled.gain, rel=1e-6)
        assert opened[-1] == plain[-1] == 0
    if count == 2:
        pairs = [tuple(map(float, one.values)) for one in settlement.valued]
        made = half_split([a for a, _ in pairs], [b for _, b in pairs], (40, 40))
        for one, interval in zip(settlement.valued, made, strict=True):
            assert interval.low is not None
            assert interval.value == pytest.approx(float(sum(one.values, Fraction(0)) / 2))
