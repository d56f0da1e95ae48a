"""One forward pass of k models at once: k parameter vectors, k batches, k outputs.

Layers that are known become one batched operation over all models; any other module is run by torch's `vmap` over
`functional_call`. Nothing here decides whether the result is right: `learning/trial.py` tries it against the
sequential engine, because a list of safe layers would go out of date in silence.

Symbols: k models side by side, b rows in each one's batch, d parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from fedgap import counter
from fedgap.learning.models import CounterDropout

Parameters = Mapping[str, Tensor]
"""Stacked parameters by name: each of shape (k, ...)."""

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Softplus, nn.Identity)
"""Act on every number by itself, so that a stack needs nothing special."""

POOLING = (nn.MaxPool2d, nn.AvgPool2d)
"""Act on every image by itself."""

FEW_OUTPUTS = 16
"""Below this a batched product is several times faster with its operands swapped."""


class Stacked(Protocol):
    """A layer of k models."""

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Map inputs of shape (k, b, ...) to outputs of shape (k, b, ...)."""
        ...


class StackedModule:
    """A module as a stack of k: the same layers, each model with parameters of its own.

    Args:
        module: its buffers are shared by all k, its parameters are not used.
    """

    def __init__(self, module: nn.Module) -> None:
        self.dropouts: list[StackedDropout] = []
        self.mapped: list[str] = []
        self._forward = self._lower(module, "")

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Run all models on their own batches: (k, b, ...) to (k, b, outputs)."""
        return self._forward(parameters, x)

    def _lower(self, module: nn.Module, name: str) -> Stacked:
        if type(module) is nn.Sequential:
            parts = [self._lower(layer, f"{name}.{number}".lstrip(".")) for number, layer in module.named_children()]
            return _chain(parts)
        made = self._known(module, name)
        if made is None:
            self.mapped.append(name or type(module).__name__)
            made = _mapped(module, name)
        return made

    def _known(self, module: nn.Module, name: str) -> Stacked | None:
        """A layer as one batched operation; exact types only, since a subclass may do anything."""
        if type(module) is CounterDropout:
            self.dropouts.append(StackedDropout(module))
            return self.dropouts[-1]
        if type(module) is nn.Flatten:
            return (lambda _, x: x.flatten(2)) if (module.start_dim, module.end_dim) == (1, -1) else None
        if type(module) is nn.Conv2d and module.padding_mode != "zeros":
            return None
        for kinds, lowered in _LOWERED:
            if type(module) in kinds:
                return lowered(name, module)
        return None


class StackedDropout:
    """`CounterDropout` for k models: each mask is a function of its own model's key, as in the module."""

    def __init__(self, layer: CounterDropout) -> None:
        self.share, self.layer = layer.share, layer.layer
        self.keys: Sequence[int] = ()

    def place(self, keys: Sequence[int]) -> None:
        """Say which step this is for each model."""
        self.keys = [counter.key(key, "dropout", self.layer) for key in keys]

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Zero each entry with probability `share`; scale the others up."""
        del parameters
        return x * self.factors(x)

    def factors(self, x: Tensor) -> Tensor:
        """1 / (1 - share) where an entry stays, else 0; the shape of x."""
        drawn = counter.uniform_of(self.keys, x[0].numel())
        return torch.from_numpy(drawn >= self.share).reshape(x.shape).to(x) / (1 - self.share)


def _each(_: str, module: nn.Module) -> Stacked:
    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        del parameters
        made: Tensor = module(x)
        return made

    return forward


def _chain(parts: list[Stacked]) -> Stacked:
    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        for part in parts:
            x = part(parameters, x)
        return x

    return forward


def linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """K linear layers: (k, b, inputs) to (k, b, outputs), with weights of shape (k, outputs, inputs)."""
    if weight.shape[1] < FEW_OUTPUTS:
        product = torch.bmm(weight, x.transpose(1, 2)).transpose(1, 2)
        return product if bias is None else product + bias.unsqueeze(1)
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


def _linear(name: str, layer: nn.Linear) -> Stacked:
    bias = layer.bias is not None

    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2)  # (k, rows, inputs): a Linear may act on more than one dimension
        made = linear(parameters[_full(name, "weight")], parameters[_full(name, "bias")] if bias else None, rows)
        return made.reshape(*x.shape[:-1], -1)

    return forward


def _convolution(name: str, layer: nn.Conv2d) -> Stacked:
    """K convolutions as one with k times the groups."""

    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        models, rows, _, height, width = x.shape
        weight = parameters[_full(name, "weight")].flatten(0, 1)
        bias = parameters[_full(name, "bias")].flatten() if layer.bias is not None else None
        made = functional.conv2d(
            x.transpose(0, 1).reshape(rows, -1, height, width),
            weight,
            bias,
            layer.stride,
            layer.padding,
            layer.dilation,
            models * layer.groups,
        )
        return made.reshape(rows, models, -1, *made.shape[2:]).transpose(0, 1)

    return forward


def _group_norm(name: str, layer: nn.GroupNorm) -> Stacked:
    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        made = _unmerged(functional.group_norm(x.flatten(0, 1), layer.num_groups, eps=layer.eps), x)
        if not layer.affine:
            return made
        shape = (x.shape[0], 1, x.shape[2], *[1] * (x.dim() - 3))
        return made * parameters[_full(name, "weight")].reshape(shape) + parameters[_full(name, "bias")].reshape(shape)

    return forward


def _layer_norm(name: str, layer: nn.LayerNorm) -> Stacked:
    def forward(parameters: Parameters, x: Tensor) -> Tensor:
        made = functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        shape = (x.shape[0], *[1] * (x.dim() - 1 - len(layer.normalized_shape)), *layer.normalized_shape)
        if layer.elementwise_affine:
            made = made * parameters[_full(name, "weight")].reshape(shape)
            if layer.bias is not None:
                made = made + parameters[_full(name, "bias")].reshape(shape)
        return made

    return forward


def _mapped(module: nn.Module, name: str) -> Stacked:
    """Any module, by torch's own vectorising map; its buffers are the same for all models."""
    own = [which for which, _ in module.named_parameters()]
    buffers = dict(module.named_buffers())

    def one(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        made: Tensor = functional_call(module, (parameters, buffers), (x,))
        return made

    mapped: Callable[..., Tensor] = vmap(one)
    return lambda parameters, x: mapped({which: parameters[_full(name, which)] for which in own}, x)


def _pool(_: str, module: nn.Module) -> Stacked:
    return lambda _, x: _unmerged(module(x.flatten(0, 1)), x)


_LOWERED: tuple[tuple[tuple[type[nn.Module], ...], Callable[[str, Any], Stacked]], ...] = (
    (ELEMENTWISE, _each),
    (POOLING, _pool),
    ((nn.Linear,), _linear),
    ((nn.Conv2d,), _convolution),
    ((nn.GroupNorm,), _group_norm),
    ((nn.LayerNorm,), _layer_norm),
)


def _full(name: str, which: str) -> str:
    """Name of a layer's parameter in the whole module."""
    return f"{name}.{which}" if name else which


def _unmerged(made: Tensor, x: Tensor) -> Tensor:
    """Take models and rows apart again: (k * b, ...) to (k, b, ...)."""
    return made.reshape(*x.shape[:2], *made.shape[1:])
