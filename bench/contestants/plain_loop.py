"""The plain PyTorch loop, as a careful programmer writes it: one module and one optimiser, data tensors made once.

    python plain_loop.py WORKLOAD.npz

For each organisation of a round: copy the global weights into the module, index its rows in the epoch's order once,
take slices of that as batches, `zero_grad`, `backward`, `step`; then add the weighted change to a sum.
"""

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.workload import Cell, Clock, Floats, Workload, load


def module_of(cell: Cell) -> nn.Module:
    """The cell's model in plain torch; its parameters come in the same order as fedgap's."""
    layers: list[nn.Module] = []
    if cell.convolutional:
        (channels, height, width), widths = cell.shape, cell.hidden
        for before, after in pairwise((channels, *widths)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(math.gcd(after, 8), after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * height * width, cell.classes))
    for before, after in pairwise((*cell.shape, *cell.hidden)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((*cell.shape, *cell.hidden)[-1], cell.classes))


def weights_from(parameters: Sequence[Tensor], vector: Tensor) -> None:
    """Copy a flat vector into the parameters."""
    with torch.no_grad():
        first = 0
        for parameter in parameters:
            parameter.copy_(vector[first : first + parameter.numel()].view_as(parameter))
            first += parameter.numel()


def train(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, batch: int) -> None:
    """One epoch over rows that are already in order."""
    for first in range(0, len(y), batch):
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(x[first : first + batch]), y[first : first + batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def run(work: Workload, clock: Clock) -> Floats:
    """All rounds; returns the final weights."""
    cell = work.cell
    module = module_of(cell)
    parameters = list(module.parameters())
    optimizer = torch.optim.SGD(parameters, lr=cell.lr)
    rows = [tuple(map(torch.from_numpy, work.rows(client))) for client in range(cell.clients)]
    model = torch.from_numpy(work.start.copy())
    for number, cohort in enumerate(work.cohorts):
        total, count = torch.zeros(len(model), dtype=torch.float64), 0
        for place, client in enumerate(cohort):
            x, y = rows[client]
            order = torch.from_numpy(work.order(number, place))
            weights_from(parameters, model)
            train(module, optimizer, x[order], y[order], cell.batch)
            total.add_(torch.nn.utils.parameters_to_vector(parameters).detach() - model, alpha=len(y))
            count += len(y)
        model = (model + total / count).float()
        clock.round_ended()
    return np.asarray(model.numpy())


if __name__ == "__main__":
    torch.set_num_threads(1)
    watch = Clock()
    watch.report(run(load(sys.argv[1]), watch))
