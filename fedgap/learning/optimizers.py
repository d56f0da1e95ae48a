"""SGD, momentum, Nesterov, Adam and AdamW as a few operations on one flat vector.

The updates are torch.optim's (a test compares them). Ours, because the engines must share one definition, because a
step costs a fraction, and because making torch's first optimiser loads its compiler (docs/adr/0002).
"""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedgap.learning.plan import LocalTraining

_STRIPE = 2**20


class Optimizer(Protocol):
    """Moves a parameter vector by its gradient."""

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        """Change `flat` in place; both have shape (d,). The gradient may be overwritten."""
        ...


class Sgd:
    """w <- w - lr g, with optional momentum, b <- m b + g (Nesterov: g + m b), and weight decay added to g."""

    def __init__(self, *, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> None:
        self.lr, self.momentum, self.nesterov, self.weight_decay = lr, momentum, nesterov, weight_decay
        self.buffer: Tensor | None = None

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        """Take one step."""
        if self.weight_decay:
            gradient.add_(flat, alpha=self.weight_decay)
        if self.momentum:
            if self.buffer is None:
                self.buffer = gradient.clone()
            else:
                self.buffer.mul_(self.momentum).add_(gradient)
            gradient = gradient.add(self.buffer, alpha=self.momentum) if self.nesterov else self.buffer
        flat.add_(gradient, alpha=-self.lr)


class Adam:
    """Kingma and Ba 2015, Algorithm 1; `decoupled` weight decay is AdamW (Loshchilov and Hutter 2019, Algorithm 2)."""

    def __init__(
        self, *, lr: float, betas: tuple[float, float], epsilon: float, weight_decay: float, decoupled: bool
    ) -> None:
        self.lr, self.betas, self.epsilon = lr, betas, epsilon
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.time = 0
        self.mean: Tensor | None = None
        self.square: Tensor | None = None

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        """Take one step."""
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        if self.weight_decay:
            if self.decoupled:
                flat.mul_(1 - self.lr * self.weight_decay)
            else:
                gradient.add_(flat, alpha=self.weight_decay)
        self.time += 1
        beta1, beta2 = self.betas
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        for at in range(0, flat.numel(), _STRIPE):  # a root of all numbers would be one more model in memory
            part = slice(at, at + _STRIPE)
            root = self.square[part].sqrt().div_((1 - beta2**self.time) ** 0.5).add_(self.epsilon)
            flat[part].addcdiv_(self.mean[part], root, value=-self.lr / (1 - beta1**self.time))


def optimizer(plan: "LocalTraining") -> Optimizer:
    """Make the plan's optimiser, with nothing remembered."""
    if plan.optimizer in {"adam", "adamw"}:
        return Adam(
            lr=plan.lr,
            betas=plan.betas,
            epsilon=plan.epsilon,
            weight_decay=plan.weight_decay,
            decoupled=plan.optimizer == "adamw",
        )
    return Sgd(
        lr=plan.lr,
        momentum=0.0 if plan.optimizer == "sgd" else plan.momentum,
        nesterov=plan.optimizer == "nesterov",
        weight_decay=plan.weight_decay,
    )
