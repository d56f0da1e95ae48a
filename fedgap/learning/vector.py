"""A model as one flat vector: what is sent, summed, stepped and compared.

The module's parameters become views into one tensor, in the order of `named_parameters()`, and so do their gradients:
clipping, proximal term and optimiser work on a single vector, whatever the model looks like inside.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedgap import counter
from fedgap.learning.models import CounterDropout
from fedgap.learning.parameters import ModelError, Vector
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task

_STRIPE = 2**17
"""Numbers that are drawn at a time."""


class FlatModel:
    """A module over one flat parameter vector of d entries and one flat gradient.

    Args:
        module: its parameters are re-pointed into the vector.
        loss: loss of each row, from outputs and targets.
        device: where it computes.
        dtype: float32; float64 for comparing engines.

    Raises:
        ModelError: nothing to train, or a buffer that training would change and a federation would not carry.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.module = module.to(device=device, dtype=dtype)
        self.loss = loss
        self.device = device
        self.dtype = dtype
        self.channels_last = False
        _refuse_buffers(module)
        parameters = list(self.module.parameters())
        self.size = sum(p.numel() for p in parameters)
        if self.size == 0:
            raise ModelError("The model has no parameters.", remedy="Return a module with something to train.")
        self.flat = nn.Parameter(torch.empty(self.size, device=device, dtype=dtype))
        self.flat.grad = torch.zeros_like(self.flat)
        self.dropouts = [layer for layer in self.module.modules() if isinstance(layer, CounterDropout)]
        self.draws = any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in self.module.modules())  # noqa: SLF001 - torch's one base class of all its dropouts
        first = 0
        for parameter in parameters:
            if parameter.dtype != dtype:
                raise ModelError(f"A parameter has type {parameter.dtype}.", remedy="Use floating-point parameters.")
            place = slice(first, first + parameter.numel())
            self.flat.data[place] = parameter.data.reshape(-1)
            parameter.data = self.flat.data[place].view(parameter.shape)
            parameter.grad = self.flat.grad[place].view(parameter.shape)
            first += parameter.numel()

    @property
    def gradient(self) -> Tensor:
        """The flat gradient, shape (d,); backward adds into it."""
        if self.flat.grad is None:
            raise AssertionError("the flat gradient was detached")
        return self.flat.grad

    def read(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """Copy the parameters out, shape (d,)."""
        return self.flat.detach().cpu().numpy().copy()

    def write(self, vector: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Set the parameters, shape (d,)."""
        self.flat.data.copy_(torch.from_numpy(vector))

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Move rows to where the model computes."""
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        x = torch.from_numpy(rows.x).to(self.device, self.dtype, memory_format=layout)
        y = torch.from_numpy(rows.y).to(self.device)
        return x, y if not y.is_floating_point() else y.to(self.dtype)

    def outputs(self, vector: NDArray[np.float32] | NDArray[np.float64], rows: Rows, chunk: int = 4096) -> Vector:
        """What the model with these parameters answers: logits or predicted targets.

        Returns:
            float32, shape (n, outputs).
        """
        self.write(vector)
        return self.current_outputs(rows, chunk)

    @torch.inference_mode()
    def current_outputs(self, rows: Rows, chunk: int = 4096) -> Vector:
        """What the model answers as it stands, for instance in the middle of a training.

        Returns:
            float32, shape (n, outputs).
        """
        if len(rows) == 0:
            return np.zeros((0, 1), np.float32)
        self.module.eval()
        x, _ = self.batch(rows)
        parts = [self.module(x[first : first + chunk]) for first in range(0, len(rows), chunk)]
        return torch.cat(parts).reshape(len(rows), -1).float().cpu().numpy()


def _refuse_buffers(module: nn.Module) -> None:
    """BatchNorm's running averages would stay behind at each organisation: refuse rather than be silently wrong."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats:  # noqa: SLF001 - torch's one base class of all batch and instance norms
            raise ModelError(
                f"The model contains {type(layer).__name__}, whose running statistics are not parameters.",
                remedy="Use nn.GroupNorm or nn.LayerNorm instead.",
            )


def build(task: Task, like: Rows, device: torch.device, dtype: torch.dtype = torch.float32) -> FlatModel:
    """Build the task's model for rows of this shape."""
    return FlatModel(task.model(like), task.loss, device, dtype)


def initial(task: Task, like: Rows, seed: int) -> Vector:
    """Draw the starting model w_0, the same wherever it is computed.

    Linear and convolution layers are uniform on +-1/sqrt(fan in), torch's own default, but drawn from the counter hash
    by parameter name; any other layer keeps what it draws itself under a fixed generator seed.

    Returns:
        float32, shape (d,).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(counter.key(seed, "initial") >> 1)
        module = task.model(like)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for which, parameter in layer.named_parameters(recurse=False):
                values = _drawn(counter.key(seed, "initial", f"{name}.{which}"), parameter.numel(), bound)
                parameter.data = torch.from_numpy(values.reshape(parameter.shape))
    return FlatModel(module, task.loss, torch.device("cpu")).flat.detach().numpy().astype(np.float32, copy=False)


def _drawn(key: int, count: int, bound: float) -> Vector:
    """Draw numbers uniform on +-bound, in stripes: a layer may be as large as memory allows."""
    values = np.empty(count, np.float32)
    for at in range(0, count, _STRIPE):
        drawn = counter.uniform(key, min(_STRIPE, count - at), at)
        values[at : at + _STRIPE] = (2 * drawn - 1) * bound
    return values


def pick_device(wanted: str) -> torch.device:
    """Resolve `auto` to cuda, mps or cpu; refuse a device that is not there.

    Raises:
        ModelError: the wanted device is missing.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present.get(wanted, False):
        raise ModelError(f"The device '{wanted}' is not available here.", remedy='Use device = "auto" or "cpu".')
    return torch.device(wanted)
