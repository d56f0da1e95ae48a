"""What other methods would say, for comparison. They look at single updates, so they exist in simulations only.

    w  model before a round     s  the server's step      p_i, D_i  weight and update of organisation i
    w_S = w + s * sum over S of p_i D_i / sum over S of p_i, the model a coalition would have made in this round

FedSV: Wang et al., A Principled Approach to Data Valuation for Federated Learning, 2020 (arXiv 2009.06192).
GTG: Liu et al., GTG-Shapley, ACM TIST 2022 (arXiv 2109.02053). Cosine: Xu et al., CGSV, NeurIPS 2021.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.contribution.games import membership, shapley

Array = NDArray[np.float64]
Worths = Callable[[Array], Array]
"""U of several models at once: shape (m, d) in, (m,) out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlainRound:
    """A round as only a simulation sees it.

    Attributes:
        before: w, shape (d,).
        updates: D, shape (n, d).
        weights: p, shape (n,), above 0.
        step: s, one number or shape (d,).
    """

    before: Array
    updates: Array
    weights: Array
    step: float | Array = 1.0

    def models(self, inside: NDArray[np.bool_]) -> Array:
        """The models of some coalitions, membership shape (m, n); nobody leaves w as it is; returns shape (m, d)."""
        weight = inside * self.weights
        total = weight.sum(axis=1, keepdims=True)
        share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        return np.asarray(self.before + self.step * (share @ self.updates))


def fedsv(played: PlainRound, worths: Worths) -> Array:
    """One round's exact Shapley values over the updates; sum the rounds; shape (n,)."""
    return shapley(worths(played.models(membership(len(played.weights)))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """How GTG saves work.

    Attributes:
        between: a round whose gain is smaller than this is left out.
        within: an order is left when the coalition's utility is this close to everybody's.
        orders: most orders a player leads, in a round.
        converged: largest relative change of the values that ends the sampling.
    """

    between: float = 1e-3
    within: float = 1e-3
    orders: int = 20
    converged: float = 0.05


def gtg(played: PlainRound, worths: Worths, key: int, rule: Truncation | None = None) -> tuple[Array, int]:
    """One round of GTG-Shapley: orders led by each player in turn, truncated.

    Returns:
        values, shape (n,), and how many models were evaluated.
    """
    rule, n = rule or Truncation(), len(played.weights)
    both = np.stack([np.zeros(n, bool), np.ones(n, bool)])
    nobody, everybody = worths(played.models(both)).tolist()
    known: dict[int, float] = {0: nobody, 2**n - 1: everybody}
    total, count = np.zeros(n), 0
    if abs(everybody - nobody) <= rule.between:
        return total, len(known)
    for sweep in range(rule.orders):
        before = total / max(count, 1)
        for leader in range(n):
            rest = counter.permutation(counter.key(key, sweep, leader), n - 1)
            order = [leader, *(int(o) + (o >= leader) for o in rest)]
            total += _marginals(order, played, worths, known, rule.within)
            count += 1
        now = total / count
        if sweep and np.abs(now - before).sum() <= rule.converged * np.abs(now).sum():
            break
    return total / count, len(known)


def cosine(played: PlainRound) -> Array:
    """How far each update points the way of the mean, -1 to 1; 0 for an empty one; average the rounds; shape (n,)."""
    mean = played.weights @ played.updates / played.weights.sum()
    norms = np.linalg.norm(played.updates, axis=1) * np.linalg.norm(mean)
    return np.asarray(np.divide(played.updates @ mean, norms, out=np.zeros(len(norms)), where=norms > 0))


def _marginals(order: list[int], played: PlainRound, worths: Worths, known: dict[int, float], close: float) -> Array:
    """What each player adds when they come in this order; 0 once hardly anything is left to add."""
    found, coalition = np.zeros(len(order)), 0
    everybody = known[2 ** len(order) - 1]
    for player in order:
        before = known[coalition]
        if abs(everybody - before) < close:
            break
        coalition |= 1 << player
        if coalition not in known:
            inside = (coalition >> np.arange(len(order))) & 1 == 1
            known[coalition] = float(worths(played.models(inside[None]))[0])
        found[player] = known[coalition] - before
    return found
