"""The built-in models: linear, multi-layer perceptron, small convolutional network.

GroupNorm, not BatchNorm: batch statistics of a few rows are noise, and running averages are not parameters that a
federation could sum.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from fedgap import counter
from fedgap.learning.linear_stack import LinearStack

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class CounterDropout(nn.Module):
    """Dropout whose mask is a function of (seed, round, organisation, epoch, step), not of a generator's state.

    `local.train` places the key before each step; in evaluation the layer passes its input through.
    """

    def __init__(self, share: float, layer: int) -> None:
        super().__init__()
        self.share = share
        self.layer = layer
        self._key = 0
        self._first_row = 0

    def place(self, key: int, first_row: int) -> None:
        """Say which step this is, and which row of its batch comes first (a batch may arrive in pieces)."""
        self._key = counter.key(key, "dropout", self.layer)
        self._first_row = first_row

    def forward(self, x: Tensor) -> Tensor:
        """Zero each entry with probability `share` and scale the others up, so that the expectation stays."""
        if not self.training:
            return x
        units = x[0].numel()
        drawn = counter.uniform(self._key, x.numel(), start=self._first_row * units)
        keep = torch.from_numpy((drawn >= self.share).astype(np.float32)).reshape(x.shape).to(x)
        return x * keep / (1 - self.share)


def module_of(stack: LinearStack) -> nn.Module:
    """Build what is described; its linear layers have the names of `LinearStack.names`."""
    inputs, *hidden, outputs = stack.widths
    return mlp(inputs, tuple(hidden), outputs, stack.activation, stack.dropout)


def linear(inputs: int, outputs: int) -> nn.Module:
    """Logistic or linear regression on `inputs` numbers a row."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def mlp(inputs: int, hidden: tuple[int, ...], outputs: int, activation: str, dropout: float) -> nn.Module:
    """Fully connected layers of these widths with one activation (`ACTIVATIONS`) and dropout between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (before, after) in enumerate(pairwise((inputs, *hidden))):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
        if dropout > 0:
            layers.append(CounterDropout(dropout, number))
    return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], outputs))


def cnn(channels_in: int, side: tuple[int, int], classes: int, channels: tuple[int, ...], dropout: float) -> nn.Module:
    """Blocks of 3x3 convolution, GroupNorm, ReLU and halving, then one linear layer.

    Args:
        channels_in: 1 for grey, 3 for colour.
        side: height and width in pixels.
        classes: number of outputs.
        channels: one block for each, with this many filters.
        dropout: share of the last layer's inputs that is dropped in training.
    """
    layers: list[nn.Module] = []
    height, width = side
    for before, after in pairwise((channels_in, *channels)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(math.gcd(after, 8), after), nn.ReLU()]
        if min(height, width) > 1:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    layers.append(nn.Flatten())
    if dropout > 0:
        layers.append(CounterDropout(dropout, len(channels)))
    return nn.Sequential(*layers, nn.Linear((channels_in, *channels)[-1] * height * width, classes))
