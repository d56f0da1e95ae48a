"""The optimisers of `optimizers.py` for k models at once; each model feels its own gradient and nobody else's.

A stack is a list of leaves, tensors of shape (k, ...) whose first axis is the model. The steps are element-wise, so a
stack needs nothing new but three things: a learning rate a model, a norm over all but the first axis, and memory that
shrinks with the stack when models with few steps are done (the active ones come first).
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from fedgap.learning.plan import LocalTraining

Leaves = Sequence[Tensor]


class StackedOptimizer(Protocol):
    """Moves the first k models by their gradients."""

    def step(self, leaves: Leaves, gradients: Leaves) -> None:
        """Change `leaves` in place; shapes (k, ...), k never larger than the step before. Gradients are overwritten."""
        ...


class StackedSgd:
    """SGD, momentum and Nesterov; see `optimizers.Sgd`."""

    def __init__(self, plan: LocalTraining, lr: Tensor) -> None:
        self.lr, self.weight_decay = lr, plan.weight_decay
        self.momentum = 0.0 if plan.optimizer == "sgd" else plan.momentum
        self.nesterov = plan.optimizer == "nesterov"
        self.buffers: list[Tensor] = []

    def step(self, leaves: Leaves, gradients: Leaves) -> None:
        """Take one step."""
        for leaf, gradient in zip(leaves, gradients, strict=True):
            if self.weight_decay:
                gradient.add_(leaf, alpha=self.weight_decay)
        if self.momentum and not self.buffers:
            self.buffers = [gradient.clone() for gradient in gradients]
        elif self.momentum:
            for whole, gradient in zip(self.buffers, gradients, strict=True):
                whole[: len(gradient)].mul_(self.momentum).add_(gradient)
        for place, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
            change = gradient
            if self.momentum:
                buffer = self.buffers[place][: len(leaf)]
                change = gradient.add(buffer, alpha=self.momentum) if self.nesterov else buffer
            leaf.addcmul_(change, across(self.lr, leaf), value=-1)


class StackedAdam:
    """Adam and AdamW; see `optimizers.Adam`."""

    def __init__(self, plan: LocalTraining, lr: Tensor) -> None:
        self.plan, self.lr = plan, lr
        self.time = 0
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []

    def step(self, leaves: Leaves, gradients: Leaves) -> None:
        """Take one step."""
        if not self.means:
            self.means = [torch.zeros_like(leaf) for leaf in leaves]
            self.squares = [torch.zeros_like(leaf) for leaf in leaves]
        self.time += 1
        beta1, beta2 = self.plan.betas
        decay = self.plan.weight_decay
        for place, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
            lr = across(self.lr, leaf)
            if decay and self.plan.optimizer == "adamw":
                leaf.mul_(1 - lr * decay)
            elif decay:
                gradient.add_(leaf, alpha=decay)
            mean, square = self.means[place][: len(leaf)], self.squares[place][: len(leaf)]
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            root = square.sqrt().div_((1 - beta2**self.time) ** 0.5).add_(self.plan.epsilon)
            leaf.addcmul_(mean / root, lr, value=-1 / (1 - beta1**self.time))


def stacked_optimizer(plan: LocalTraining, lr: Tensor) -> StackedOptimizer:
    """Make the plan's optimiser for models with learning rates `lr`, shape (k,); `plan.lr` is not used."""
    return StackedAdam(plan, lr) if plan.optimizer in {"adam", "adamw"} else StackedSgd(plan, lr)


def adjust(gradients: Leaves, leaves: Leaves, anchors: Leaves, plan: LocalTraining) -> None:
    """Add FedProx's pull and clip each model's gradient to its own norm, in place.

    Args:
        gradients: of each leaf, shapes (k, ...).
        leaves: the parameters now.
        anchors: the parameters at the start, of at least k models.
        plan: for `prox_mu` and `clip_norm`.
    """
    if plan.prox_mu > 0:
        for gradient, leaf, anchor in zip(gradients, leaves, anchors, strict=True):
            gradient.add_(leaf - anchor[: len(leaf)], alpha=plan.prox_mu)
    if plan.clip_norm is not None:
        squares = [gradient.square().flatten(1).sum(dim=1) for gradient in gradients]
        norms = torch.stack(squares).sum(dim=0).sqrt()
        factors = torch.clamp(plan.clip_norm / (norms + 1e-12), max=1.0)
        for gradient in gradients:
            gradient.mul_(across(factors, gradient))


def across(values: Tensor, leaf: Tensor) -> Tensor:
    """Shape one number a model so that it multiplies all of that model's entries."""
    return values[: len(leaf)].reshape(-1, *[1] * (leaf.dim() - 1))
