"""Federations of eight organisations on scikit-learn's small data sets, with the faults that contribution must see.

sizes   log-normal row counts, everything else alike
mixed   the same, and among them an exact duplicate, 40 % wrong labels, and a rider that sends an empty update
noise   like row counts, wrong labels from none to 60 %
skew    classes dealt out by a Dirichlet(0.4) draw
poison  log-normal row counts, one that sends its update negated, one with 30 % wrong labels
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from fedgap.ids import OrgId
from fedgap.learning.coalitions import Player
from fedgap.learning.stack_utility import StackUtility
from fedgap.learning.utility import Measure
from fedgap.learning.weights import counts

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MEMBERS = 8
LOADERS = {"cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
TRAINING = {"cancer": 240, "wine": 80, "digits": 500}
VALIDATION = {"cancer": 150, "wine": 44, "digits": 150}
SCENARIOS = ("sizes", "mixed", "noise", "skew", "poison")
DATA = tuple(LOADERS)
ORGS = tuple(OrgId(f"org-{k}") for k in range(MEMBERS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """One federation, its validation rows, and rows nobody used.

    Attributes:
        players: the organisations.
        roles: what is special about some of them, by position.
        rows: declared row counts.
        validation: utility on the validation rows.
        fresh: utility on all other rows.
        everything: utility on validation and fresh rows.
    """

    name: str
    players: tuple[Player, ...]
    roles: dict[str, int]
    rows: tuple[int, ...]
    validation: StackUtility
    fresh: StackUtility
    everything: StackUtility
    widths: tuple[int, ...]


def make(data: str, scenario: str, seed: int, *, validation: int | None = None) -> World:
    """Draw a federation; the same seed gives the same one on any machine."""
    draw = np.random.Generator(np.random.PCG64([seed, DATA.index(data), SCENARIOS.index(scenario)]))
    bunch = LOADERS[data]()
    x, y = np.asarray(bunch.data, np.float64), np.asarray(bunch.target, np.int64)
    order = draw.permutation(len(y))
    train = order[: TRAINING[data]]
    spread = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    x = x if data != "digits" else np.clip(x, -5, 5)  # pixels that are almost always blank
    classes = int(y.max()) + 1
    cut = TRAINING[data] + (validation or VALIDATION[data])
    watched, fresh = order[TRAINING[data] : cut], order[cut:]
    parts, roles, wrong = _deal(scenario, y[train], draw)
    widths = (x.shape[1], classes)
    rows = tuple(len(part) for part in parts)
    weight = counts("capped", dict(zip(ORGS, rows, strict=True)))
    factors = {roles.get("rider"): 0.0, roles.get("flipper"): -1.0}
    players = tuple(
        Player(
            x=x[train[part]],
            y=relabelled(y[train[part]], share, classes, draw),
            weight=weight[org],
            factor=factors.get(place, 1.0),
        )
        for place, (org, part, share) in enumerate(zip(ORGS, parts, wrong, strict=True))
    )
    held = np.concatenate([watched, fresh])

    def utility(index: Labels) -> StackUtility:
        measure: Measure = "brier"
        return StackUtility(widths, "tanh", measure, x[index], y[index])

    return World(
        name=f"{data}/{scenario}/{seed}",
        players=players,
        roles=roles,
        rows=rows,
        validation=utility(watched),
        fresh=utility(fresh),
        everything=utility(held),
        widths=widths,
    )


def relabelled(y: Labels, share: float, classes: int, draw: np.random.Generator) -> Labels:
    """Give a share of the rows another class."""
    y = y.copy()
    chosen = draw.permutation(len(y))[: round(share * len(y))]
    y[chosen] = (y[chosen] + draw.integers(1, classes, len(chosen))) % classes
    return y


def _deal(scenario: str, y: Labels, draw: np.random.Generator) -> tuple[list[Labels], dict[str, int], list[float]]:
    """Who gets which training rows, who is special, and how many labels are wrong."""
    wrong = [0.0] * MEMBERS
    roles: dict[str, int] = {}
    if scenario == "skew":
        return _by_class(y, draw), roles, wrong
    if scenario == "noise":
        return np.array_split(draw.permutation(len(y)), MEMBERS), roles, np.linspace(0, 0.6, MEMBERS).tolist()
    parts = _log_normal(len(y), draw)
    special = draw.permutation(MEMBERS).tolist()
    if scenario == "mixed":
        roles = dict(zip(("twin", "duplicate", "noisy", "rider"), special, strict=False))
        parts[roles["duplicate"]] = parts[roles["twin"]]
        wrong[roles["noisy"]] = 0.4
    if scenario == "poison":
        roles = dict(zip(("flipper", "noisy"), special, strict=False))
        wrong[roles["noisy"]] = 0.3
    return parts, roles, wrong


def _log_normal(rows: int, draw: np.random.Generator, least: int = 3) -> list[Labels]:
    """Cut the rows into parts of log-normal sizes, none below `least`."""
    sizes = np.exp(draw.normal(size=MEMBERS))
    cuts = np.round(np.cumsum(sizes / sizes.sum()) * (rows - least * MEMBERS)).astype(int)
    ends = cuts + least * np.arange(1, MEMBERS + 1)
    return np.split(draw.permutation(rows), ends[:-1])


def _by_class(y: Labels, draw: np.random.Generator, least: int = 3) -> list[Labels]:
    """Deal each class out by its own Dirichlet draw; drawn again until everybody has a few rows."""
    while True:
        parts: list[list[Labels]] = [[] for _ in range(MEMBERS)]
        for label in np.unique(y):
            rows = draw.permutation(np.flatnonzero(y == label))
            cuts = np.round(np.cumsum(draw.dirichlet(np.full(MEMBERS, 0.4))) * len(rows)).astype(int)
            for part, piece in zip(parts, np.split(rows, cuts[:-1]), strict=True):
                part.append(piece)
        joined = [np.concatenate(part) for part in parts]
        if min(map(len, joined)) >= least:
            return joined
