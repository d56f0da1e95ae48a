"""Retrain a federation for every coalition at once: the truth that contribution estimates are compared with.

Plain full-batch gradient steps on a stack of linear layers, numpy and float64, C federations side by side: every
organisation trains one model for each coalition it is in. For up to 12 organisations with little data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.stack_utility import ACTIVATIONS
from fedgap.learning.utility import softmax

Array = NDArray[np.float64]
Watch = Callable[[int, Array, Array, Array], None]
"""Called with the round, the models before it (C, d), each organisation's updates (n, C, d) and the models after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Player:
    """One organisation.

    Attributes:
        x: rows, shape (R, inputs).
        y: class numbers, or targets, shape (R,).
        weight: p, above 0.
        factor: what becomes of its update: 1 honest, 0 sent empty, -1 sent negated.
    """

    x: Array
    y: NDArray[np.int64] | Array
    weight: float
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How everybody trains.

    Attributes:
        widths: inputs, hidden layers, outputs; a single output means regression, half the squared error.
        activation: between layers.
        rounds: T.
        steps: full-batch gradient steps a round.
        lr: their learning rate.
    """

    widths: tuple[int, ...]
    activation: str = "tanh"
    rounds: int
    steps: int
    lr: float

    @property
    def size(self) -> int:
        """How many parameters a model has, d."""
        return sum(inputs * outputs + outputs for inputs, outputs in pairwise(self.widths))


def train_coalitions(
    players: Sequence[Player], inside: NDArray[np.bool_], plan: Plan, start: Array, watch: Watch | None = None
) -> Array:
    """Train one federation for each coalition.

    Args:
        players: n of them.
        inside: who is in which coalition, shape (C, n).
        plan: how.
        start: w_0, shape (d,).
        watch: sees every round; an organisation's update for a coalition it is not in is 0.

    Returns:
        final models, shape (C, d); a coalition of nobody keeps w_0.
    """
    models = np.tile(start, (len(inside), 1))
    weight = inside * np.array([float(player.weight) for player in players])
    total = weight.sum(axis=1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    for number in range(1, plan.rounds + 1):
        mean = np.zeros_like(models)
        updates = np.zeros((len(players), *models.shape)) if watch else None
        for place, player in enumerate(players):
            taking = np.flatnonzero(inside[:, place])
            if player.factor == 0 or not taking.size:
                continue
            update = player.factor * (local_steps(player, models[taking], plan) - models[taking])
            mean[taking] += share[taking, place][:, None] * update
            if updates is not None:
                updates[place, taking] = update
        if watch is not None and updates is not None:
            watch(number, models, updates, models + mean)
        models = models + mean
    return models


def local_steps(player: Player, models: Array, plan: Plan) -> Array:
    """One organisation's gradient steps from several models at once, shape (C, d)."""
    trained = models.copy()
    for _ in range(plan.steps):
        trained -= plan.lr * _gradients(player, trained, plan)
    return trained


def _gradients(player: Player, models: Array, plan: Plan) -> Array:
    """Gradient of the mean loss on all rows at each model, shape (C, d)."""
    activation = ACTIVATIONS[plan.activation]
    layers = _layers(models, plan.widths)
    held: list[Array] = [player.x]
    slopes: list[Array] = []
    z = player.x
    for number, (weight, bias) in enumerate(layers):
        if number:
            entering, slope = activation(z)
            held.append(entering)
            slopes.append(slope)
        z = held[-1] @ weight.transpose(0, 2, 1) + bias[:, None]
    back = _loss_slopes(z, player.y) / len(player.y)
    gradient = np.empty_like(models)
    into = _layers(gradient, plan.widths)
    for number in reversed(range(len(layers))):
        into[number][0][...] = back.transpose(0, 2, 1) @ held[number]
        into[number][1][...] = back.sum(axis=1)
        if number:
            back = (back @ layers[number][0]) * slopes[number - 1]
    return gradient


def _loss_slopes(outputs: Array, y: NDArray[np.int64] | Array) -> Array:
    """Slope of each row's cross-entropy, or half squared error, in its outputs; shape (C, R, outputs)."""
    if outputs.shape[2] == 1:
        return np.asarray(outputs - y[:, None])
    p = softmax(outputs.reshape(-1, outputs.shape[2])).reshape(outputs.shape)
    p[:, np.arange(len(y)), y.astype(np.int64)] -= 1
    return p


def _layers(models: Array, widths: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Views of each layer's weights (C, outputs, inputs) and biases (C, outputs)."""
    first, layers = 0, []
    for inputs, outputs in pairwise(widths):
        weight = models[:, first : first + inputs * outputs].reshape(len(models), outputs, inputs)
        first += inputs * outputs
        layers.append((weight, models[:, first : first + outputs]))
        first += outputs
    return layers
