"""`fedgap simulate --plan`: how many organisations, rounds and labelled rows a budget buys, or a target utility needs.

Many small federations are simulated side by side: different organisations, parts of their rows and seeds, looked at
after different numbers of rounds. Updates are added in plain floats; a plan is no place for keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from fedgap import counter
from fedgap.config import FederationConfig
from fedgap.funding import Policy
from fedgap.funding.amounts import money, shown_money
from fedgap.learning import scores
from fedgap.learning.engine import Engine, Member
from fedgap.learning.engines import Engines, starting_vector
from fedgap.learning.plan import DivergedError
from fedgap.learning.rows import Data, Index, Rows, concatenate
from fedgap.learning.task import Task
from fedgap.learning.utility import NoRowsError
from fedgap.learning.weights import weights
from fedgap.simulation.aggregate import PlainMean
from fedgap.simulation.federate import FederationPlan, RoundDone, federation, local_training, server_rule
from fedgap.simulation.lockstep import Course, answered_by, side_by_side
from fedgap.simulation.metering import Meter
from fedgap.simulation.plan_choice import Cell, Drawn, cells, cost_of, for_budget, for_target, frontier
from fedgap.simulation.sites import Site, arrange, load_sites, open_task, split_plan
from fedgap.simulation.tuning import checkpoints

DRAWS = 6
"""Seeds of each cell."""
MOST_SIZES = 6
PARTS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(1))
FEWEST = 3
"""Fewer organisations cannot aggregate securely."""
TOGETHER = 24
"""Federations that train side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a plan is for: one of the two.

    Attributes:
        budget: in minor units of the policy's currency.
        target: utility.
        labour_minutes: declared labour of each organisation.
    """

    budget: int | None = None
    target: float | None = None
    labour_minutes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One federation to be simulated."""

    draw: int
    organisations: tuple[Site, ...]
    part: Fraction


def trials(config: FederationConfig) -> int:
    """How many federations a plan simulates."""
    return len(sizes(len(config.organisations))) * len(PARTS) * DRAWS


def sizes(organisations: int) -> tuple[int, ...]:
    """Numbers of organisations to try: from three to all of them."""
    least = min(FEWEST, organisations)
    steps = min(MOST_SIZES, organisations - least + 1)
    if steps == 1:
        return (organisations,)
    return tuple(sorted({round(least + (organisations - least) * at / (steps - 1)) for at in range(steps)}))


def plan(
    config: FederationConfig, policy: Policy, wanted: Wanted, *, engine: str, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Simulate the federations and choose.

    Args:
        config: the whole federation.
        policy: whose prices count.
        wanted: a budget or a target.
        engine: as for `simulate`.
        progress: told how many more federations are done.

    Returns:
        the document that becomes plan.json.

    Raises:
        InfeasibleError: nothing does what is wanted.
        DataError, NoRowsError: an organisation's file cannot be used, or there is nothing to judge by.
    """
    found = cells(_simulated(config, policy, wanted.labour_minutes, engine, progress))
    if wanted.target is not None:
        chosen = for_target(found, wanted.target)
    else:
        budget = sum(policy.budgets) if wanted.budget is None else wanted.budget
        chosen = for_budget(found, budget, lambda amount: shown_money(amount, policy.digits, policy.currency))
    return _document(config, policy, wanted, found, chosen)


def _simulated(
    config: FederationConfig, policy: Policy, labour_minutes: int, engine: str, progress: Callable[[int], None]
) -> list[Drawn]:
    task = open_task(config)
    sites, engines = load_sites(config, task), Engines(engine, config.training.device)
    wanted = [
        _Trial(draw=draw, organisations=_members(config, sites, draw)[:size], part=part)
        for draw in range(DRAWS)
        for size in sizes(len(sites))
        for part in PARTS
    ]
    prices = {price.what: price.each for price in policy.prices}
    evaluation = _evaluation(config, task)
    drawn: list[Drawn] = []
    for first in range(0, len(wanted), TOGETHER):
        batch = [
            _course(config, task, sites, engines, trial, evaluation, prices, labour_minutes)
            for trial in wanted[first : first + TOGETHER]
        ]
        for alike in _by_engine(batch):
            courses = [course for _, course in alike]
            made = answered_by(alike[0][0], side_by_side(courses, together=alike[0][0].name != "sequential"))
            drawn += [one for several in made for one in several]
            progress(len(alike))
    return drawn


def _members(config: FederationConfig, sites: Sequence[Site], draw: int) -> tuple[Site, ...]:
    """The organisations in the order in which a draw lets them in."""
    order = counter.permutation(counter.key(config.federation.seed, "plan-members", draw), len(sites))
    return tuple(sites[at] for at in order)


def _evaluation(config: FederationConfig, task: Task) -> Data | None:
    if config.evaluation is None or config.evaluation.data is None:
        return None
    return task.load(config.base / config.evaluation.data)


def _course(
    config: FederationConfig,
    task: Task,
    sites: Sequence[Site],
    engines: Engines,
    trial: _Trial,
    evaluation: Data | None,
    prices: dict[str, Fraction],
    labour_minutes: int,
) -> tuple[Engine, Course[list[Drawn]]]:
    """One federation and what it costs and is worth after some numbers of rounds."""
    members = tuple(sorted(trial.organisations, key=lambda site: site.org))
    cut = {site.org: _cut(config, task, site, trial) for site in members}
    rows = arrange(config, task, members, cut, trial.draw)
    prepared = {org: rows.training(org, "federated") for org in rows.train}
    like = concatenate(list(prepared.values()))
    local = replace(local_training(config), seed=config.federation.seed + trial.draw)
    engine, _ = engines.open(task, like, local)
    start = starting_vector(task, like, config.federation.seed + trial.draw)
    watched = _watched(config, task, sites, rows.shared, evaluation, trial.draw)
    attested = {site.org: site.organisation.weight or len(rows.train[site.org]) for site in members}
    counted = {org: len(part) for org, part in prepared.items()}
    batches = {org: min(local.batch_size, count) for org, count in counted.items()}
    meter = Meter(batches, start.size, counted)
    judged, drawn = checkpoints(config.training.rounds), list[Drawn]()

    def after_round(done: RoundDone) -> None:
        meter.add(1, done.updates)
        if done.number not in judged:
            return
        outputs = scores.sound(engine.outputs(done.state.model, watched), f"The common model of round {done.number}")
        value = scores.utility(task.kind, outputs, watched.y)
        assert value is not None  # noqa: S101 - somebody has a row to judge by; tells mypy
        cpu_ms = sum(claim.metered[0].amount for claim in meter.claims(1))
        used = sum(counted.values())
        labour = labour_minutes * len(members)
        drawn.append(
            Drawn(
                organisations=len(members),
                rows_part=trial.part,
                rounds=done.number,
                rows=used,
                utility=value,
                cost=cost_of(prices, cpu_ms=cpu_ms, rows=used, labour_minutes=labour),
            )
        )

    def course() -> Course[list[Drawn]]:
        behaviours = {site.org: site.organisation.behave for site in members}
        many = FederationPlan(rule=server_rule(config), rounds=config.training.rounds, behaviours=behaviours)
        cohort = [Member(org=org, rows=part) for org, part in prepared.items()]
        adding = PlainMean(weights(config.server.weights, attested))
        try:
            yield from federation(start, cohort, many, local, adding, after_round)
        except DivergedError:
            drawn.clear()
        return drawn

    return engine, course()


def _cut(config: FederationConfig, task: Task, site: Site, trial: _Trial) -> tuple[Index, Index]:
    """A part of an organisation's training rows, at least one, and its test rows."""
    train, test = split_plan(config, task).split(site.data, site.source, trial.draw)
    order = counter.permutation(
        counter.key(config.federation.seed, "plan-rows", trial.draw, str(site.source)), len(train)
    )
    kept = max(1, round(trial.part * len(train)))
    return np.sort(train[order[:kept]]), test


def _watched(
    config: FederationConfig,
    task: Task,
    sites: Sequence[Site],
    shared: Any,  # noqa: ANN401 - a task's own statistics
    evaluation: Data | None,
    draw: int,
) -> Rows:
    """The rows that every federation of a draw is judged by: the evaluation rows, else everybody's test rows."""
    if evaluation is not None:
        return task.prepare(evaluation, shared, shared)
    cut = split_plan(config, task)
    tests = [site.data.take(cut.split(site.data, site.source, draw)[1]) for site in sites if site.source == site.org]
    if not any(map(len, tests)):
        raise NoRowsError("There are no evaluation rows, and no organisation keeps test rows.")
    return concatenate([task.prepare(test, shared, shared) for test in tests if len(test)])


def _by_engine(
    batch: Sequence[tuple[Engine, Course[list[Drawn]]]],
) -> list[list[tuple[Engine, Course[list[Drawn]]]]]:
    groups: dict[int, list[tuple[Engine, Course[list[Drawn]]]]] = {}
    for pair in batch:
        groups.setdefault(id(pair[0]), []).append(pair)
    return list(groups.values())


def _document(
    config: FederationConfig, policy: Policy, wanted: Wanted, found: Sequence[Cell], chosen: Cell
) -> dict[str, Any]:
    """Plain JSON values; amounts in minor units, and as text in the currency's unit."""
    budget = sum(policy.budgets) if wanted.budget is None and wanted.target is None else wanted.budget
    return {
        "federation": {"id": config.federation.id, "name": config.federation.name or config.federation.id},
        "currency": policy.currency,
        "minor_digits": policy.digits,
        "prices": {price.what: str(price.each) for price in policy.prices},
        "wanted": {
            "budget": budget,
            "budget_shown": None if budget is None else shown_money(budget, policy.digits, policy.currency),
            "target": wanted.target,
            "labour_minutes": wanted.labour_minutes,
        },
        "draws": DRAWS,
        "evaluation": "evaluation rows" if _has_evaluation(config) else "all organisations' test rows",
        "chosen": _shown(chosen, policy),
        "frontier": [_shown(cell, policy) for cell in frontier(found)],
        "cells": [_shown(cell, policy) for cell in found],
    }


def _has_evaluation(config: FederationConfig) -> bool:
    return config.evaluation is not None and config.evaluation.data is not None


def _shown(cell: Cell, policy: Policy) -> dict[str, Any]:
    return {
        "organisations": cell.organisations,
        "rows_part": float(cell.rows_part),
        "rows": cell.rows,
        "rounds": cell.rounds,
        "utility": cell.utility,
        "utility_ci95": [cell.low, cell.high],
        "cost": cell.cost,
        "most_cost": cell.most_cost,
        "cost_shown": shown_money(cell.cost, policy.digits, policy.currency),
        "cost_units": float(money(cell.cost, policy.digits)),
    }
