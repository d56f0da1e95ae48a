"""One federation in one process: rounds of local training, a weighted mean, a server step."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedgap import counter
from fedgap.config import FederationConfig
from fedgap.config.organisation import Behaviour
from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.engine import Engine, Member, Update, round_of, update_of
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError, LocalTraining
from fedgap.learning.server import ServerRule, ServerState
from fedgap.simulation.aggregate import Aggregated, Aggregation
from fedgap.simulation.lockstep import Course


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundDone:
    """A round that ended.

    Attributes:
        number: from 1.
        state: after the server's step.
        updates: what the local trainings gave.
        added: their sum.
        seconds: wall time of all of it.
    """

    number: int
    state: ServerState
    updates: Sequence[Update]
    added: Aggregated
    seconds: float


AfterRound = Callable[[RoundDone], None]


def local_training(config: FederationConfig, *, lr: float | None = None) -> LocalTraining:
    """Read the plan of local training from the configuration, if wanted with another learning rate."""
    training = config.training
    return LocalTraining(
        seed=config.federation.seed,
        optimizer=training.optimizer,
        lr=training.lr if lr is None else lr,
        epochs=training.epochs,
        steps=training.steps,
        batch_size=training.batch_size,
        momentum=training.momentum,
        betas=(training.beta1, training.beta2),
        epsilon=training.epsilon,
        weight_decay=training.weight_decay,
        clip_norm=training.clip_norm,
        prox_mu=training.prox_mu,
        patience=training.patience,
        holdout=training.holdout,
    )


def server_rule(config: FederationConfig) -> ServerRule:
    """Read the server's step from the configuration."""
    chosen = config.server
    return ServerRule(
        optimizer=chosen.optimizer,
        lr=chosen.lr,
        momentum=chosen.momentum,
        beta1=chosen.beta1,
        beta2=chosen.beta2,
        tau=chosen.tau,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FederationPlan:
    """What stays the same over all rounds.

    Attributes:
        rule: the server's step.
        rounds: how many.
        behaviours: what an organisation does to its update, in simulation only.
    """

    rule: ServerRule
    rounds: int
    behaviours: Mapping[OrgId, Behaviour]


def federate(
    engine: Engine,
    start: Vector,
    cohort: Sequence[Member],
    plan: FederationPlan,
    aggregation: Aggregation,
    after_round: AfterRound | None = None,
) -> ServerState:
    """Train together for the planned rounds, every organisation that is there in every round.

    Args:
        engine: runs the local trainings.
        start: w_0, float32, shape (d,).
        cohort: the organisations with their training rows.
        plan: server step, rounds.
        aggregation: how updates become their weighted mean; fresh.
        after_round: called after each server step.

    Raises:
        DivergedError: the model is not finite any more.
    """
    state = server.begin(start)
    for number in range(1, plan.rounds + 1):
        began = time.perf_counter()
        updates = engine.run_round(state.model, present(cohort, plan.behaviours, engine.plan.seed, number), number)
        done = _close(plan, aggregation, state, number, updates, began)
        state = done.state
        if after_round is not None:
            after_round(done)
    return state


def federation(
    start: Vector,
    cohort: Sequence[Member],
    plan: FederationPlan,
    local: LocalTraining,
    aggregation: Aggregation,
    after_round: AfterRound | None = None,
) -> Course[ServerState]:
    """Do what `federate` does, as a course, so that several federations can train side by side.

    Raises:
        DivergedError: as above.
    """
    state = server.begin(start)
    for number in range(1, plan.rounds + 1):
        began = time.perf_counter()
        trainings = round_of(state.model, present(cohort, plan.behaviours, local.seed, number), number, local)
        finished = yield trainings
        updates = (update_of(*pair) for pair in zip(trainings, finished, strict=True))
        done = _close(plan, aggregation, state, number, updates, began)
        state = done.state
        if after_round is not None:
            after_round(done)
    return state


def present(
    cohort: Sequence[Member], behaviours: Mapping[OrgId, Behaviour], seed: int, number: int
) -> Sequence[Member]:
    """Who takes part in round `number`: all but those that stay away from it, which depends on the seed."""
    return [member for member in cohort if not _away(member.org, behaviours, seed, number)]


def _away(org: OrgId, behaviours: Mapping[OrgId, Behaviour], seed: int, number: int) -> bool:
    behaviour = behaviours.get(org)
    if behaviour is None or behaviour.kind != "absent" or behaviour.share is None:
        return False
    return bool(counter.uniform(counter.key(seed, "absent", number, str(org)), 1)[0] < behaviour.share)


def _close(
    plan: FederationPlan,
    aggregation: Aggregation,
    state: ServerState,
    number: int,
    updates: Iterable[Update],
    began: float,
) -> RoundDone:
    """Add a round's updates and take the server's step."""
    behaved = [_behaved(update, plan.behaviours) for update in updates]
    added = aggregation.add(number, state, behaved)
    state = server.step(plan.rule, state, added.mean)
    if not np.isfinite(state.model).all():
        raise DivergedError(
            f"The common model is not finite after round {number}.", remedy="Lower server.lr or training.lr."
        )
    seconds = time.perf_counter() - began
    return RoundDone(number=number, state=state, updates=behaved, added=added, seconds=seconds)


def _behaved(update: Update, behaviours: Mapping[OrgId, Behaviour]) -> Update:
    """Let a simulated cheat do what it does: send nothing new, or the opposite."""
    kind = behaviours[update.org].kind if update.org in behaviours else "honest"
    factor = {"zero": 0.0, "flip": -1.0}.get(kind)
    return update if factor is None else replace(update, delta=factor * update.delta)
