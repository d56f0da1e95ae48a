"""What cheats win against the path value and the share rule: value and share before and after, per run.

The cheat is the organisation with the second largest weight. Riders own no data: they are added as a ninth name.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bench.contestants.estimators import Played, path_share, path_value, plan_of, play, start_of
from bench.contestants.lying_edge import lying_edge
from bench.contestants.scenarios import World
from fedgap import counter
from fedgap.contribution.oracles import PlainRound
from fedgap.contribution.share import ShareRule
from fedgap.funding.apportion import fill
from fedgap.learning.coalitions import Player, local_steps
from fedgap.learning.weights import CAP

Array = NDArray[np.float64]
MOST_OF_POOL, ZERO = Fraction(2, 5), Fraction(0)
Rider = Callable[[int, Array, Array], Array]
"""What a rider sends: from the round, the last step of the model and this round's honest mean update."""


def table(world: World, seed: int) -> dict[str, dict[str, float]]:
    """Every attack on one run."""
    start = start_of(world, seed)
    honest = play(world, start)
    weights = honest.rounds[0].weights
    values = _values(honest, world)
    shares = path_share(values, weights)
    cheat = int(np.argsort(weights)[-2])
    before = {"value_before": float(values[cheat]), "share_before": float(shares[cheat])}
    found = {
        "split into two names": before | _split(world, start, cheat),
        "clone under a second name": before | _clone(world, start, cheat),
        "rows declared twice": before | _inflated(world, start, cheat),
    }
    fair = 1 / (len(weights) + 1)
    riders: dict[str, Rider] = {
        "zero rider": lambda _, last, mean: 0 * (last + mean),
        "replay rider": lambda _, last, __: last,
        "random rider": lambda t, _, mean: _random(t, mean, seed),
    }
    for name, rider in riders.items():
        found[name] = _ridden(world, start, rider, fair)
    found["colluding pair"] = _pair(values, weights, cheat)
    found["lying edge"] = lying_edge(honest, world, cheat)
    return found


def _values(played: Played, world: World) -> Array:
    return np.array(list(path_value(played, world.validation).values.values()))


def _joined(world: World, players: list[Player], start: Array, cheats: list[int]) -> dict[str, float]:
    """Play with other players; what the cheat's names get together, with and without merging them."""
    played = play(replace(world, players=tuple(players)), start)
    values, weights = _values(played, world), played.rounds[0].weights
    merged = path_share(values, weights, owners=dict.fromkeys(cheats, "one owner"))
    return {
        "value_after": float(values[cheats].sum()),
        "share_after": float(path_share(values, weights)[cheats].sum()),
        "share_after_merged": float(merged[cheats].sum()),
    }


def _split(world: World, start: Array, cheat: int) -> dict[str, float]:
    """Every second row under another name, half the weight each."""
    player = world.players[cheat]
    first = replace(player, x=player.x[::2], y=player.y[::2], weight=player.weight / 2)
    second = replace(player, x=player.x[1::2], y=player.y[1::2], weight=player.weight / 2)
    players = [*world.players, second]
    players[cheat] = first
    return _joined(world, players, start, [cheat, len(players) - 1])


def _clone(world: World, start: Array, cheat: int) -> dict[str, float]:
    """The same rows under a second name, with full weight."""
    return _joined(world, [*world.players, world.players[cheat]], start, [cheat, len(world.players)])


def _inflated(world: World, start: Array, cheat: int) -> dict[str, float]:
    """Twice the rows declared; the weight stays capped at three times the median."""
    players = list(world.players)
    median = float(np.median([player.weight for player in players]))
    players[cheat] = replace(players[cheat], weight=min(2 * players[cheat].weight, CAP * median))
    return _joined(world, players, start, [cheat])


def _random(round_: int, mean: Array, seed: int) -> Array:
    drawn = counter.uniform(counter.key(seed, "rider", round_), mean.size) - 0.5
    return np.asarray(drawn * np.linalg.norm(mean) / np.linalg.norm(drawn))


def _ridden(world: World, start: Array, rider: Rider, fair: float) -> dict[str, float]:
    """Let a rider without data join with the median weight."""
    plan = plan_of(world)
    weights = np.array([float(player.weight) for player in world.players])
    weights = np.append(weights, np.median(weights))
    weights /= weights.sum()
    honest = weights[:-1] / weights[:-1].sum()
    model, last = start, np.zeros_like(start)
    played = Played(rounds=[], after=[])
    for number in range(plan.rounds):
        own = [p.factor * (local_steps(p, model[None], plan)[0] - model) for p in world.players]
        updates = np.stack([*own, rider(number, last, honest @ np.stack(own))])
        played.rounds.append(PlainRound(before=model, updates=updates, weights=weights))
        last = weights @ updates
        model = model + last
        played.after.append(model)
    values = _values(played, world)
    return {
        "value_share": float(values[-1] / np.maximum(values, 0).sum()),
        "share_after": float(path_share(values, weights)[-1]),
        "weight_share": float(weights[-1]),
        "equal_share": fair,
    }


def _pair(values: Array, weights: Array, cheat: int) -> dict[str, float]:
    """Two organisations agree on one false number between them, as large as serves them best.

    Only their two values change, and their sum does not. The floor at zero lets them gain; the cap of the money rule
    takes most of it away. A third organisation's value stays what it was.
    """
    other = int(np.argsort(weights)[len(weights) // 2])
    other = other if other != cheat else int(np.argsort(weights)[0])
    pair, unit = [cheat, other], float(np.abs(values).sum())
    offers = [values]
    for delta in np.linspace(-5 * unit, 5 * unit, 201):
        moved = values.copy()
        moved[pair] += [delta, -delta]
        offers.append(moved)
    paid = [(path_share(v, weights), path_share(v, weights, ShareRule(lam=Fraction(0)))) for v in offers]
    without = [float(share[pair].sum()) for share, _ in paid]
    capped = [float(_capped(share, base, weights)[pair].sum()) for share, base in paid]
    return {
        "share_before": without[0],
        "share_after": max(without),
        "share_before_capped": capped[0],
        "share_after_capped": max(capped),
        "weight_share": float(weights[pair].sum()),
    }


def _capped(shares: Array, equal: Array, weights: Array) -> Array:
    """The money rule's cap on the half that follows value: 3 weight shares, and 40 % of it; the other half is equal."""
    pool = {at: max(ZERO, Fraction(float(share))) for at, share in enumerate(2 * shares - equal)}
    total = sum(pool.values(), ZERO)
    most = {at: min(CAP * Fraction(float(weight)), MOST_OF_POOL) * total for at, weight in enumerate(weights)}
    return np.asarray((equal + np.array([float(part) for part in fill(total, pool, most).values()])) / 2)
