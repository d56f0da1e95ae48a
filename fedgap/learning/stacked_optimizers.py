"""SGD, momentum, Nesterov, Adam and AdamW on J parameter vectors at once: the numpy twin of `optimizers`.

Everything is element-wise on arrays of shape (J, d); each training has its own learning rate. The first A trainings
are active, and they all have taken the same number of steps.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.plan import LocalTraining

Array = NDArray[Any]


class StackedOptimizer(Protocol):
    """Moves J parameter vectors by their gradients."""

    def step(self, weights: Array, gradient: Array) -> None:
        """Change `weights` in place; both have shape (A, d). The gradient may be overwritten."""
        ...


class StackedSgd:
    """w <- w - lr g, with optional momentum, b <- m b + g (Nesterov: g + m b), and weight decay added to g."""

    def __init__(self, plan: LocalTraining, lr: Array) -> None:
        self.plan, self.lr = plan, lr
        self.momentum = 0.0 if plan.optimizer == "sgd" else plan.momentum
        self.buffer: Array | None = None

    def step(self, weights: Array, gradient: Array) -> None:
        """Take one step."""
        active = len(weights)
        if self.plan.weight_decay:
            gradient += self.plan.weight_decay * weights
        if self.momentum:
            if self.buffer is None:
                self.buffer = gradient.copy()
            else:
                self.buffer[:active] *= self.momentum
                self.buffer[:active] += gradient
            buffer = self.buffer[:active]
            if self.plan.optimizer == "nesterov":
                gradient += self.momentum * buffer
            else:
                gradient[:] = buffer
        gradient *= self.lr[:active] if len(self.lr) > 1 else self.lr[0, 0]
        weights -= gradient


class StackedAdam:
    """Kingma and Ba 2015, Algorithm 1; adamw decouples the weight decay (Loshchilov and Hutter 2019, Algorithm 2)."""

    def __init__(self, plan: LocalTraining, lr: Array) -> None:
        self.plan, self.lr = plan, lr
        self.time = 0
        self.mean: Array | None = None
        self.square: Array | None = None

    def step(self, weights: Array, gradient: Array) -> None:
        """Take one step."""
        active, (beta1, beta2) = len(weights), self.plan.betas
        if self.mean is None or self.square is None:
            self.mean, self.square = np.zeros_like(weights), np.zeros_like(weights)
        lr, mean, square = self.lr[:active], self.mean[:active], self.square[:active]
        if self.plan.weight_decay:
            if self.plan.optimizer == "adamw":
                weights *= 1 - lr * self.plan.weight_decay
            else:
                gradient += self.plan.weight_decay * weights
        self.time += 1
        mean += (1 - beta1) * (gradient - mean)
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        root = np.sqrt(square)
        root /= (1 - beta2**self.time) ** 0.5
        root += self.plan.epsilon
        weights -= lr / (1 - beta1**self.time) * (mean / root)


def stacked_optimizer(plan: LocalTraining, lr: Array) -> StackedOptimizer:
    """Make the plan's optimiser, with nothing remembered; `lr` has shape (J, 1), or (1, 1) if all are equal."""
    return StackedAdam(plan, lr) if plan.optimizer in {"adam", "adamw"} else StackedSgd(plan, lr)
