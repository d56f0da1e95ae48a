"""Stacks of linear layers, described in plain numbers: what a model is, for engines that build no torch module.

    z_l = W_l h_(l-1) + b_l      h_l = dropout(activation(z_l))      h_0 = the row      z_L = the outputs

Parameters are one flat vector, W_1 (outputs x inputs, line by line), b_1, W_2, b_2, ..., as in the torch module that
`fedgap.learning.models.module_of` makes of the same description.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fedgap import counter
from fedgap.learning.parameters import Vector

Activation = Literal["relu", "gelu", "tanh", "sigmoid"]
Loss = Literal["softmax", "squared", "sigmoid", "poisson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearStack:
    """A linear model or a multi-layer perceptron with its loss.

    Attributes:
        widths: inputs, hidden units layer by layer, outputs.
        activation: what follows each hidden layer.
        dropout: share of the hidden units left out in each training step (`models.CounterDropout`).
        loss: of a row. softmax: cross-entropy of class numbers; squared: half the squared error; sigmoid:
            cross-entropy of targets 0 or 1; poisson: exp(z) - y z. All but softmax have one output.
    """

    widths: tuple[int, ...]
    activation: Activation = "relu"
    dropout: float = 0.0
    loss: Loss = "softmax"

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:  # noqa: PLR2004 - inputs and outputs
            raise ValueError("a stack needs the numbers of its inputs and of its outputs, each at least 1")
        if self.loss != "softmax" and self.widths[-1] != 1:
            raise ValueError(f"the loss '{self.loss}' needs one output")

    @property
    def size(self) -> int:
        """d: parameters in all."""
        return sum((before + 1) * after for before, after in pairwise(self.widths))

    def names(self) -> Iterator[str]:
        """Name of each linear layer in the torch module; the starting weights are drawn by it."""
        apart = 3 if self.dropout > 0 else 2  # linear, activation, dropout
        for layer in range(len(self.widths) - 1):
            yield str(1 + layer * apart)  # 0 flattens the row

    def initial(self, seed: int) -> Vector:
        """Draw the starting model w_0: uniform on +-1/sqrt(inputs of the layer), from the counter hash by name.

        Returns:
            float32, shape (d,); the bits of `fedgap.learning.vector.initial`.
        """
        parts = []
        for name, (before, after) in zip(self.names(), pairwise(self.widths), strict=True):
            bound = 1 / math.sqrt(before)
            for which, count in (("weight", before * after), ("bias", after)):
                drawn = counter.uniform(counter.key(seed, "initial", f"{name}.{which}"), count)
                parts.append(((2 * drawn - 1) * bound).astype(np.float32))
        return np.concatenate(parts)
