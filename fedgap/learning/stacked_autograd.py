"""k trainings of any model at once: a stacked forward, ordinary autograd on the summed loss, one optimiser for all.

The models share no parameter, so the gradient of the sum of their losses is, for each, the gradient of its own. All
parameters lie in one tensor of shape (k, d), of which each parameter of the model is a view.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedgap.learning.lowering import StackedModule
from fedgap.learning.plan import LocalTraining
from fedgap.learning.tensor_optimizers import adjust, stacked_optimizer
from fedgap.learning.vector import FlatModel


class AutogradKernel:
    """Trains stacks of the model in a workspace.

    Args:
        model: gives shapes, loss, device and type; its own parameters are not used.
        plan: optimiser, clipping and proximal term.
    """

    name = "stacked-autograd"

    def __init__(self, model: FlatModel, plan: LocalTraining) -> None:
        self.plan, self.loss = plan, model.loss
        self.module = StackedModule(model.module.train())
        self.shapes = {name: tuple(p.shape) for name, p in model.module.named_parameters()}
        self.bytes_a_job = model.flat.element_size() * 3 * model.size

    @property
    def needs_keys(self) -> bool:
        """Whether a step depends on its key."""
        return bool(self.module.dropouts)

    def begin(self, start: Tensor, lr: Tensor) -> "AutogradCourse":
        """Start trainings from `start`, shape (k, d), which is overwritten, with learning rates of shape (k,)."""
        return AutogradCourse(self, start, lr)


class AutogradCourse:
    """Trainings under way; the first `active` still take steps."""

    def __init__(self, kernel: AutogradKernel, start: Tensor, lr: Tensor) -> None:
        self.kernel = kernel
        self.flat = start
        self.anchors = self._leaves(start.clone()) if kernel.plan.prox_mu > 0 else {}
        self.optimizer = stacked_optimizer(kernel.plan, lr)
        self.parameters: dict[str, Tensor] = {}
        self.active = 0

    def step(self, x: Tensor, y: Tensor, weights: Tensor | None, keys: Sequence[int]) -> Tensor:
        """Take one step with the first k models; see `tensor_course.Course`."""
        kernel = self.kernel
        if len(y) != self.active:
            self.active = len(y)
            self.parameters = {name: leaf.requires_grad_() for name, leaf in self._leaves(self.flat[: len(y)]).items()}
        for dropout in kernel.module.dropouts:
            dropout.place(keys)
        outputs = kernel.module(self.parameters, x)
        losses = kernel.loss(outputs.flatten(0, 1), y.flatten()).reshape(y.shape)
        means = losses.mean(dim=1) if weights is None else (losses * weights).sum(dim=1)
        leaves = list(self.parameters.values())
        gradients = torch.autograd.grad(means.sum(), leaves, materialize_grads=True)
        with torch.no_grad():
            adjust(gradients, leaves, list(self.anchors.values()), kernel.plan)
            self.optimizer.step(leaves, gradients)
        return means.detach()

    def vectors(self) -> Tensor:
        """The parameters of all models, shape (k, d)."""
        return self.flat

    def _leaves(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of stacked vectors, shape (k, d), as each parameter's shape."""
        leaves, first = {}, 0
        for name, shape in self.kernel.shapes.items():
            last = first + math.prod(shape)
            leaves[name] = flat[:, first:last].view(-1, *shape)
            first = last
        return leaves
