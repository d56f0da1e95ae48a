"""The server's step: from the weighted mean of the updates to the next model.

Element-wise in float64 (+ - x / sqrt, in the order written here), then rounded to float32 once: the same bits on any
machine. X is the weighted mean update, w the model, eta the server's learning rate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.learning.engine import Update
from fedgap.learning.parameters import Vector

Array = NDArray[np.float64]


class Memory(Protocol):
    """float64 numbers that an optimiser remembers: an array, or what is read and written in stripes like one."""

    @property
    def size(self) -> int:
        """How many."""
        ...

    def __getitem__(self, part: slice, /) -> Array:
        """Some of them."""
        ...

    def __setitem__(self, part: slice, numbers: Array, /) -> None:
        """Put others there."""
        ...


_ADAPTIVE = {"fedadam", "fedadagrad", "fedyogi"}
_STRIPE = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRule:
    """Which step, and its numbers.

    Attributes:
        optimizer: fedavg, fedavgm, fedadam, fedadagrad or fedyogi.
        lr: eta.
        momentum: of fedavgm.
        beta1: decay of the adaptive rules' average of X.
        beta2: decay of fedadam's and fedyogi's average of X squared.
        tau: added to the root in the denominator.
    """

    optimizer: str = "fedavg"
    lr: float = 1.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerState:
    """The model and what the server's optimiser remembers.

    Attributes:
        model: float32, shape (d,).
        first: running mean of X, float64, shape (d,).
        second: running mean (or sum) of X squared, float64, shape (d,).
    """

    model: Vector
    first: Memory
    second: Memory


def begin(model: Vector) -> ServerState:
    """Start from `model` with nothing remembered."""
    zero = np.zeros(model.size, np.float64)
    return ServerState(model=model, first=zero, second=zero)


def mean_update(updates: Sequence[Update], weight: Mapping[OrgId, Fraction]) -> Array:
    """Sum p_i Delta_i in name order, over the weights of those who took part.

    Returns:
        X, float64, shape (d,).
    """
    present = sum((weight[update.org] for update in updates), Fraction(0))
    total = np.zeros(updates[0].delta.size, np.float64)
    for update in sorted(updates, key=lambda u: u.org):
        total += float(weight[update.org] / present) * update.delta
    return total


def step(rule: ServerRule, state: ServerState, mean: Array) -> ServerState:
    """Apply one mean update X.

    Source: FedAvg, McMahan et al. 2017; FedAvgM, Hsu et al. 2019; the adaptive rules, Reddi et al. 2021, Algorithm 2,
    with the second moment starting at 0.
    """
    before = state.model.astype(np.float64)
    first, second = state.first[:], state.second[:]
    if rule.optimizer == "fedavg":
        change = rule.lr * mean
    elif rule.optimizer == "fedavgm":
        first = rule.momentum * first + mean
        change = rule.lr * first
    else:
        first = rule.beta1 * first + (1 - rule.beta1) * mean
        second = _second_moment(rule, second, mean * mean)
        change = rule.lr * first / (np.sqrt(second) + rule.tau)
    return ServerState(model=(before + change).astype(np.float32), first=first, second=second)


def in_memory(size: int) -> Memory:
    """Make room for so many numbers."""
    return np.empty(size, np.float64)


def step_in_parts(
    rule: ServerRule,
    state: ServerState,
    mean: Callable[[slice], Array],
    *,
    room: Callable[[int], Memory] = in_memory,
) -> ServerState:
    """Apply a mean update X that is told stripe by stripe: the same bits as `step`, with little memory beside.

    Args:
        rule: which step.
        state: before it.
        mean: gives a stripe of X, float64.
        room: makes room for what the rule remembers; what was there before stays as it is.
    """
    size = state.model.size
    model = np.empty(size, np.float32)
    first = state.first if rule.optimizer == "fedavg" else room(size)
    second = room(size) if rule.optimizer in _ADAPTIVE else state.second
    for at in range(0, size, _STRIPE):
        part = slice(at, at + _STRIPE)
        before = ServerState(model=state.model[part], first=state.first[part], second=state.second[part])
        after = step(rule, before, mean(part))
        model[part] = after.model
        if first is not state.first:
            first[part] = after.first[:]
        if second is not state.second:
            second[part] = after.second[:]
    return ServerState(model=model, first=first, second=second)


def _second_moment(rule: ServerRule, second: Array, square: Array) -> Array:
    if rule.optimizer == "fedadagrad":
        return second + square
    if rule.optimizer == "fedadam":
        return rule.beta2 * second + (1 - rule.beta2) * square
    if rule.optimizer == "fedyogi":
        return second - (1 - rule.beta2) * square * np.sign(second - square)
    raise ValueError(f"unknown server optimizer {rule.optimizer!r}")
