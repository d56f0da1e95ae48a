"""k trainings of a stack of linear layers at once, with the backward pass written out and SGD fused into it.

For Linear layers with an activation between them and softmax or squared loss the gradient is a few batched products.
Plain SGD needs no gradient tensor at all: W <- W - lr delta^T a is one `baddbmm_`. On a processor this is the fastest
way there is to train many small organisations with torch; `stacked_autograd` is for every other model.

Symbols: k models, b rows in each one's batch, a the inputs of a layer, z its outputs, delta = dloss/dz.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedgap.learning.lowering import StackedDropout, linear
from fedgap.learning.models import CounterDropout
from fedgap.learning.plan import LocalTraining
from fedgap.learning.task import Task
from fedgap.learning.tensor_optimizers import across, adjust, stacked_optimizer
from fedgap.learning.vector import FlatModel

Backward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the gradient of an activation's output, its input z and its output a to the gradient of z."""

_BACKWARD: dict[type[nn.Module], Backward] = {
    nn.ReLU: lambda grad, z, a: torch.ops.aten.threshold_backward(grad, a, 0),  # noqa: ARG005
    nn.GELU: lambda grad, z, a: torch.ops.aten.gelu_backward(grad, z),  # noqa: ARG005
    nn.Tanh: lambda grad, z, a: torch.ops.aten.tanh_backward(grad, a),  # noqa: ARG005
    nn.Sigmoid: lambda grad, z, a: torch.ops.aten.sigmoid_backward(grad, a),  # noqa: ARG005
}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A Linear layer and what comes after it: an activation and dropout, but not after the last."""

    outputs: int
    inputs: int
    activation: nn.Module | None
    dropout: StackedDropout | None


def chain(module: nn.Module) -> tuple[Layer, ...] | None:
    """Read a module as a chain of linear layers; None if it is anything else."""
    if type(module) is not nn.Sequential:
        return None
    layers: list[Layer] = []
    for part in module:
        last = layers[-1] if layers else None
        if type(part) is nn.Flatten and last is None:
            continue
        if type(part) is nn.Linear and (last is None or last.activation is not None):
            if getattr(part, "bias", None) is None:
                return None
            layers.append(Layer(part.out_features, part.in_features, None, None))
        elif type(part) in _BACKWARD and last is not None and last.activation is None:
            if isinstance(part, nn.GELU) and part.approximate != "none":
                return None
            layers[-1] = Layer(last.outputs, last.inputs, part, None)
        elif type(part) is CounterDropout and last is not None and last.activation is not None and not last.dropout:
            layers[-1] = Layer(last.outputs, last.inputs, last.activation, StackedDropout(part))
        else:
            return None
    return tuple(layers) if layers and layers[-1].activation is None else None


def written_out(task: Task, model: FlatModel) -> bool:
    """Whether this task's gradient is written out here: a chain of linear layers and a loss of `Task` itself."""
    return type(task).loss is Task.loss and chain(model.module) is not None


class ManualKernel:
    """Trains stacks of a chain of linear layers.

    Args:
        kind: of the task: softmax cross-entropy or half the squared error.
        model: gives the layers; its own parameters are not used.
        plan: optimiser, clipping and proximal term.
    """

    name = "stacked-manual"

    def __init__(self, kind: str, model: FlatModel, plan: LocalTraining) -> None:
        layers = chain(model.module)
        if layers is None:
            raise ValueError("the model is no chain of linear layers")
        self.layers, self.plan = layers, plan
        self.classes = kind == "classification"
        self.fused = plan.optimizer == "sgd" and plan.clip_norm is None and plan.prox_mu == 0
        widths = sum(layer.inputs + 3 * layer.outputs for layer in layers)
        self.bytes_a_job = model.flat.element_size() * (
            model.size * (1 if self.fused else 3) + plan.batch_size * widths
        )

    @property
    def needs_keys(self) -> bool:
        """Whether a step depends on its key."""
        return any(layer.dropout for layer in self.layers)

    def begin(self, start: Tensor, lr: Tensor) -> "ManualCourse":
        """Start trainings from `start`, shape (k, d), with learning rates of shape (k,)."""
        return ManualCourse(self, start, lr)


class ManualCourse:
    """Trainings under way."""

    def __init__(self, kernel: ManualKernel, start: Tensor, lr: Tensor) -> None:
        self.kernel, self.plan, self.lr = kernel, kernel.plan, lr
        self.leaves: list[Tensor] = []
        first = 0
        for layer in kernel.layers:
            for shape in ((layer.outputs, layer.inputs), (layer.outputs,)):
                size = shape[0] * (shape[1] if len(shape) > 1 else 1)
                self.leaves.append(start[:, first : first + size].reshape(-1, *shape).contiguous())
                first += size
        self.anchors = [leaf.clone() for leaf in self.leaves] if self.plan.prox_mu > 0 else self.leaves
        self.optimizer = stacked_optimizer(self.plan, lr)
        alike = float(lr[0])
        self.one_lr = alike if bool((lr == alike).all()) else None

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor, weights: Tensor | None, keys: Sequence[int]) -> Tensor:
        """Take one step with the first k models; see `AutogradCourse.step`."""
        active, kernel = len(y), self.kernel
        leaves = [leaf[:active] for leaf in self.leaves]
        for layer in kernel.layers:
            if layer.dropout is not None:
                layer.dropout.place(keys)
        inputs, outputs, masks = self._forward(leaves, x.flatten(2))
        means, delta = self._loss(outputs[-1], y, weights)
        gradients: list[Tensor] = []
        for number in reversed(range(len(kernel.layers))):
            weight, bias = leaves[2 * number], leaves[2 * number + 1]
            below = torch.bmm(delta, weight) if number else None
            if kernel.fused:
                self._descend(weight, bias, delta, inputs[number])
            else:
                gradients += [delta.sum(dim=1), torch.bmm(delta.transpose(1, 2), inputs[number])]
            if below is not None:
                delta = self._through(number - 1, below, inputs[number], outputs[number - 1], masks[number - 1])
        if not kernel.fused:
            gradients.reverse()
            adjust(gradients, leaves, self.anchors, self.plan)
            self.optimizer.step(leaves, gradients)
        return means

    def vectors(self) -> Tensor:
        """The parameters of all models, shape (k, d)."""
        return torch.cat([leaf.flatten(1) for leaf in self.leaves], dim=1)

    def _forward(self, leaves: Sequence[Tensor], x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor | None]]:
        """Inputs a and outputs z of every layer, and the factors of its dropout."""
        inputs, outputs, masks = [x], [], []
        for number, layer in enumerate(self.kernel.layers):
            z = linear(leaves[2 * number], leaves[2 * number + 1], inputs[-1])
            outputs.append(z)
            mask = None
            if layer.activation is not None:
                a = layer.activation(z)
                if layer.dropout is not None:
                    mask = layer.dropout.factors(a)
                    a = a * mask
                inputs.append(a)
            masks.append(mask)
        return inputs, outputs, masks

    def _through(self, number: int, grad: Tensor, a: Tensor, z: Tensor, mask: Tensor | None) -> Tensor:
        """From the gradient of layer `number`'s activations to that of its outputs z."""
        activation = self.kernel.layers[number].activation
        if activation is None:
            raise AssertionError("only the last layer has no activation")
        if mask is not None:
            grad, a = grad * mask, activation(z)
        return _BACKWARD[type(activation)](grad, z, a)

    def _loss(self, z: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean loss of each model, shape (k,), and delta of the last layer, shape (k, b, outputs)."""
        if self.kernel.classes:
            log = functional.log_softmax(z, dim=-1)
            chosen = y.unsqueeze(-1)
            losses = -log.gather(-1, chosen).squeeze(-1)
            delta = log.exp_().scatter_add_(-1, chosen, torch.full_like(chosen, -1, dtype=z.dtype))
        else:
            delta = z - y.unsqueeze(-1)
            losses = 0.5 * delta.squeeze(-1) ** 2
        if weights is None:
            return losses.mean(dim=1), delta.mul_(1 / y.shape[1])
        return (losses * weights).sum(dim=1), delta.mul_(weights.unsqueeze(-1))

    def _descend(self, weight: Tensor, bias: Tensor, delta: Tensor, a: Tensor) -> None:
        """Plain SGD on one layer, without a gradient tensor."""
        decay = self.plan.weight_decay
        if self.one_lr is not None:
            keep, factor = 1 - self.one_lr * decay, -self.one_lr
            weight.baddbmm_(delta.transpose(1, 2), a, beta=keep, alpha=factor)
            bias.mul_(keep) if decay else None
            bias.add_(delta.sum(dim=1), alpha=factor)
            return
        scaled = delta * across(self.lr, delta)
        if decay:
            weight.mul_(1 - across(self.lr, weight) * decay)
            bias.mul_(1 - across(self.lr, bias) * decay)
        weight.baddbmm_(scaled.transpose(1, 2), a, alpha=-1)
        bias.sub_(scaled.sum(dim=1))
