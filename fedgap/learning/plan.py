"""The plan of local training and what comes out of it: what every engine agrees on, without torch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgap.errors import FedgapError
from fedgap.ids import OrgId


class DivergedError(FedgapError):
    """An organisation's training produced numbers that are not finite; nothing was sent."""

    code = "learning.diverged"
    remedy = "Lower training.lr and baselines.lrs, or set training.clip_norm."


class EmptyTrainingError(FedgapError):
    """An organisation has no row to train on."""

    code = "learning.no-rows"
    remedy = "Give the organisation at least one training row, or leave it out."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTraining:
    """How an organisation trains: everything but the model, the loss and the rows.

    Attributes:
        seed: the study seed.
        optimizer: sgd, momentum, nesterov, adam or adamw.
        lr: learning rate.
        epochs: passes over the rows, or None when `steps` counts.
        steps: optimiser steps, or None when `epochs` counts.
        batch_size: rows a step; the last batch of an epoch may be shorter.
        momentum: of momentum and nesterov.
        betas: decay of Adam's two averages.
        epsilon: added to Adam's denominator.
        weight_decay: added to the gradient as weight_decay * w (adamw: decoupled).
        clip_norm: largest L2 norm of a step's gradient, or None.
        prox_mu: FedProx's pull towards the global model, mu/2 |w - w_global|^2.
        patience: epochs without improvement on the held-out part before training stops; 0 never.
        holdout: share of the rows held out for that.
    """

    seed: int
    optimizer: str = "sgd"
    lr: float
    epochs: int | None = 1
    steps: int | None = None
    batch_size: int = 16
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    prox_mu: float = 0.0
    patience: int = 0
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        if self.patience and self.epochs is None:
            raise ValueError("early stopping counts epochs: give epochs, not steps")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What came out of local training.

    Attributes:
        vector: the trained parameters, shape (d,).
        steps: optimiser steps taken.
        loss: mean training loss over the last epoch, before each step.
        notes: what happened that a person should know (a batch was split, training stopped early).
    """

    vector: NDArray[np.float32] | NDArray[np.float64]
    steps: int
    loss: float
    notes: tuple[str, ...] = ()

    def check_finite(self, who: OrgId, round_number: int) -> None:
        """Let no number through that is not finite.

        Raises:
            DivergedError: a parameter or the loss is not.
        """
        if not (math.isfinite(self.loss) and np.isfinite(self.vector).all()):
            raise diverged(who, round_number)


def diverged(who: OrgId, round_number: int) -> DivergedError:
    """The error of a training whose numbers ran away."""
    return DivergedError(f"Training of organisation {who} in round {round_number} gave numbers that are not finite.")
