"""One run of `fedgap bench contribution`: the truth by retraining every coalition, and what each estimator says.

Estimators see the run of everybody together; only the truth and leave-one-out retrain. All work in plain float64.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from bench.contestants.scenarios import ORGS, World
from fedgap import counter
from fedgap.contribution.direction import Direction, direction
from fedgap.contribution.games import leave_one_out, membership, shapley
from fedgap.contribution.oracles import PlainRound, cosine, fedsv, gtg
from fedgap.contribution.share import Claim, ShareRule, shares
from fedgap.contribution.value import Account, Attribution
from fedgap.ids import OrgId
from fedgap.learning.coalitions import Plan, train_coalitions
from fedgap.learning.stack_utility import StackUtility

Array = NDArray[np.float64]
ROUNDS, STEPS, LR = 50, 3, 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """What one estimator says of one run.

    Attributes:
        values: of each organisation, in its own units.
        shares: of the budget.
        cpu_s: what it took.
        asks: what it needs to see or to compute.
    """

    values: Array
    shares: Array
    cpu_s: float
    asks: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """The run of everybody together.

    Attributes:
        rounds: models and updates of each round.
        after: the model after each round, shape (d,).
    """

    rounds: list[PlainRound]
    after: list[Array]

    def directions(self, utility: StackUtility) -> list[Direction]:
        """What every round's updates are multiplied with."""
        return [
            direction(utility, r.before, after, r.weights @ r.updates)
            for r, after in zip(self.rounds, self.after, strict=True)
        ]


def plan_of(world: World) -> Plan:
    """How everybody trains in the benchmark: softmax regression, three full-batch steps a round."""
    return Plan(widths=world.widths, rounds=ROUNDS, steps=STEPS, lr=LR)


def start_of(world: World, seed: int) -> Array:
    """Starting weights as the product draws them: uniform on +-1/sqrt(inputs)."""
    size = plan_of(world).size
    drawn = counter.uniform(counter.key(seed, "bench", world.name), size)
    return np.asarray((2 * drawn - 1) / np.sqrt(world.widths[0]))


def play(world: World, start: Array) -> Played:
    """Train everybody together and remember every update."""
    weights = np.array([float(player.weight) for player in world.players])
    weights /= weights.sum()
    played = Played(rounds=[], after=[])

    def watch(_: int, before: Array, updates: Array, after: Array) -> None:
        played.rounds.append(PlainRound(before=before[0], updates=updates[:, 0], weights=weights))
        played.after.append(after[0])

    train_coalitions(world.players, np.ones((1, len(weights)), bool), plan_of(world), start, watch)
    return played


def worths(world: World, start: Array) -> tuple[Array, Array]:
    """Retrain every coalition; its worth on the validation rows and on fresh ones, shape (2**n,) each."""
    models = train_coalitions(world.players, membership(len(world.players)), plan_of(world), start)
    return world.validation.values(models), world.fresh.values(models)


def path_value(played: Played, utility: StackUtility, boundaries: tuple[int, ...] = (ROUNDS,)) -> Attribution:
    """The path value: 5 gradients a round for everybody."""
    names = tuple(OrgId(f"org-{k:02d}") for k in range(len(played.rounds[0].weights)))
    account = Account(organisations=names)
    for found, r in zip(played.directions(utility), played.rounds, strict=True):
        account.add(found, zip(names, r.weights[:, None] * r.updates, strict=True))
    return account.settle(boundaries)


def path_share(
    values: Array, weights: Array, rule: ShareRule | None = None, owners: dict[int, str] | None = None
) -> Array:
    """The share rule on these values; organisations of one owner are merged."""
    owners = owners or {}
    claims = {
        OrgId(f"org-{k:02d}"): Claim(value=Fraction(v), weight=Fraction(w), owner=owners.get(k))
        for k, (v, w) in enumerate(zip(values.tolist(), weights.tolist(), strict=True))
    }
    return np.array([float(found.share) for found in shares(claims, rule).values()])


def positive(values: Array) -> Array:
    """The usual way from values to shares: the positive part, normalised; an equal split if there is none."""
    kept = np.maximum(values, 0)
    return kept / kept.sum() if kept.sum() > 0 else np.full(len(kept), 1 / len(kept))


def misallocated(shares_: Array, truth: Array) -> float:
    """Part of the budget that goes to the wrong organisation."""
    return float(np.abs(shares_ - positive(truth)).sum() / 2)


def rank(a: Array, b: Array) -> float:
    """Spearman's correlation; 0 where one of them does not vary."""
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)


def linear(a: Array, b: Array) -> float:
    """Pearson's correlation; 0 where one of them does not vary."""
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(pearsonr(a, b).statistic)


def estimates(world: World, seed: int) -> dict[str, Estimate]:
    """Everything about one run: for each estimator its values, shares, CPU seconds and what it asks for."""
    start = start_of(world, seed)
    began = time.process_time()
    on_validation, on_fresh = worths(world, start)
    training_s = time.process_time() - began
    played = play(world, start)
    weights = played.rounds[0].weights
    found: dict[str, Estimate] = {}

    def enter(name: str, asks: str, work: Callable[[], tuple[Array, Array]], also_s: float = 0.0) -> None:
        began = time.process_time()
        values, shares_ = work()
        spent = time.process_time() - began + also_s
        found[name] = Estimate(values=values, shares=shares_, cpu_s=spent, asks=asks)

    def valued(values: Array) -> tuple[Array, Array]:
        return values, positive(values)

    def path() -> tuple[Array, Array]:
        values = np.array(list(path_value(played, world.validation).values.values()))
        return values, path_share(values, weights)

    def sampled() -> Array:
        key = counter.key(seed, "gtg")
        rounds = [gtg(r, world.validation.values, counter.key(key, t))[0] for t, r in enumerate(played.rounds)]
        return np.asarray(np.sum(rounds, axis=0))

    rows = np.array(world.rows, np.float64)
    enter("truth", "all 2^n trainings", lambda: valued(shapley(on_validation)), training_s)
    enter("truth on other rows", "all 2^n trainings", lambda: valued(shapley(on_fresh)))
    enter("path", "5 gradients a round", path)
    enter("FedSV", "single updates, 2^n evaluations a round", lambda: valued(_every(played, world, fedsv)))
    enter("GTG-Shapley", "single updates, truncated sampling", lambda: valued(sampled()))
    enter("leave-one-out", "n trainings", lambda: valued(leave_one_out(on_validation)))
    enter("cosine", "single updates", lambda: valued(np.mean([cosine(r) for r in played.rounds], axis=0)))
    enter("size", "nothing", lambda: valued(rows))
    enter("equal", "nothing", lambda: valued(np.ones(len(ORGS))))
    return found


def _every(played: Played, world: World, estimator: Callable[..., Array]) -> Array:
    return np.asarray(np.sum([estimator(r, world.validation.values) for r in played.rounds], axis=0))
