"""Rounds of a federation are local trainings, a mean and a step; a cheat does what its name says and no more."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from fedgap.config.organisation import Behaviour
from fedgap.config.task import TabularOptions
from fedgap.ids import OrgId
from fedgap.learning.engine import Member
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError, LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.server import ServerRule
from fedgap.learning.tabular import TabularTask
from fedgap.secagg.errors import QuorumLostError
from fedgap.simulation.aggregate import PlainMean
from fedgap.simulation.federate import FederationPlan, RoundDone, federate, present

TASK = TabularTask(TabularOptions(label="y"), "classification")
ASH, BIRCH = OrgId("ash"), OrgId("birch")
HALVES = {ASH: Fraction(1, 2), BIRCH: Fraction(1, 2)}
START = np.full(8, 0.1, np.float32)


def member(org: OrgId, seed: int) -> Member:
    """An organisation with ten rows."""
    x = np.random.default_rng(seed).normal(size=(10, 3)).astype(np.float32)
    return Member(org=org, rows=Rows(x, (x[:, 0] > 0).astype(np.int64)))


COHORT = [member(ASH, 0), member(BIRCH, 1)]


def engine(lr: float = 0.5) -> SequentialEngine:
    """A fresh one."""
    plan = LocalTraining(seed=1, lr=lr, epochs=2, batch_size=4)
    return SequentialEngine(TASK, COHORT[0].rows, plan, torch.device("cpu"))


def model(rounds: int = 3, cohort: list[Member] = COHORT, **behave: str) -> Vector:
    """The model after some rounds."""
    behaviours = {OrgId(org): Behaviour(kind) for org, kind in behave.items()}  # type: ignore[arg-type] # literal words
    plan = FederationPlan(rule=ServerRule(), rounds=rounds, behaviours=behaviours)
    return federate(engine(), START, cohort, plan, PlainMean(HALVES)).model


def test_a_federation_of_one_round_is_the_mean_of_local_trainings() -> None:
    deltas = [update.delta for update in engine().run_round(START, COHORT, 1)]

    np.testing.assert_array_equal(model(1), (START + (0.5 * deltas[0] + 0.5 * deltas[1])).astype(np.float32))


def test_every_round_starts_from_the_last_one_s_model() -> None:
    seen: list[tuple[int, Vector, list[OrgId]]] = []

    def after_round(done: RoundDone) -> None:
        seen.append((done.number, done.state.model, [update.org for update in done.updates]))

    plan = FederationPlan(rule=ServerRule(), rounds=2, behaviours={})
    federate(engine(), START, COHORT, plan, PlainMean(HALVES), after_round)

    assert [(number, orgs) for number, _, orgs in seen] == [(1, [ASH, BIRCH]), (2, [ASH, BIRCH])]
    deltas = [update.delta for update in engine().run_round(seen[0][1], COHORT, 2)]
    np.testing.assert_array_equal(seen[1][1], (seen[0][1] + (0.5 * deltas[0] + 0.5 * deltas[1])).astype(np.float32))


def test_an_organisation_that_sends_nothing_does_not_move_the_model() -> None:
    """With all of them silent it stays; with one silent the other moves it alone, with its own weight."""
    assert model(ash="zero", birch="zero").tolist() == START.tolist()
    (delta,) = (update.delta for update in engine().run_round(START, COHORT, 1) if update.org == BIRCH)
    np.testing.assert_array_equal(model(1, ash="zero"), (START + 0.5 * delta).astype(np.float32))


def test_a_flipped_update_is_the_update_with_its_sign_turned() -> None:
    deltas = {update.org: update.delta for update in engine().run_round(START, COHORT, 1)}

    expected = (START + (-0.5 * deltas[ASH] + 0.5 * deltas[BIRCH])).astype(np.float32)
    np.testing.assert_array_equal(model(1, ash="flip"), expected)


def test_honest_noisy_and_copying_organisations_send_what_they_trained() -> None:
    """What noise and copy change are the rows, not the update."""
    assert model(1, ash="noise", birch="copy").tobytes() == model(1).tobytes()


def test_an_absent_organisation_misses_its_share_of_the_rounds_and_the_others_go_on() -> None:
    """The mean is of those who are there; who stays away depends on the seed, the round and the name alone."""
    behaviours = {ASH: Behaviour("absent", share=0.4)}
    there = [[one.org for one in present(COHORT, behaviours, 1, number)] for number in range(1, 501)]

    assert 0.34 < sum(ASH not in orgs for orgs in there) / 500 < 0.46
    assert all(BIRCH in orgs for orgs in there)
    assert there[7] == [one.org for one in present(COHORT[::-1], behaviours, 1, 8)][::-1]

    always = federate(
        engine(),
        START,
        COHORT,
        FederationPlan(rule=ServerRule(), rounds=1, behaviours={ASH: Behaviour("absent", share=1.0)}),
        PlainMean(HALVES),
    )
    (delta,) = (update.delta for update in engine().run_round(START, COHORT, 1) if update.org == BIRCH)
    np.testing.assert_array_equal(always.model, (START + delta).astype(np.float32))


def test_a_round_to_which_nobody_comes_is_an_error() -> None:
    behaviours = {org: Behaviour("absent", share=1.0) for org in HALVES}
    plan = FederationPlan(rule=ServerRule(), rounds=1, behaviours=behaviours)

    with pytest.raises(QuorumLostError, match="0 organisations"):
        federate(engine(), START, COHORT, plan, PlainMean(HALVES))


def test_a_model_that_runs_away_is_an_error() -> None:
    plan = FederationPlan(rule=ServerRule(lr=1e39), rounds=3, behaviours={})

    with pytest.raises(DivergedError, match="round 1"), np.errstate(over="ignore"):
        federate(engine(), START, COHORT, plan, PlainMean(HALVES))
