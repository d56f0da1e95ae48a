"""The bare matrix products of a round, batched over its organisations: what this machine needs at the very least.

    python products.py WORKLOAD.npz LIBRARY

For every step of a round the forward and backward products of the organisations that still train, in shapes and memory
orders that are fast, on numbers that mean nothing; no activation, no loss, no update, no rows to collect. LIBRARY is
numpy or torch: `np.matmul` on stacks, or `torch.bmm`.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.workload import Clock, Workload, load

Product = Callable[[Any, Any, Any], object]
"""Of two stacks of matrices, into a third."""

Take = Callable[[Any], Any]
"""From an array to what the library multiplies."""


class Layer:
    """Operands of one layer's products for as many organisations as train at most: J of them, B rows each.

    Forward H W, the gradient H' D, and below the first layer the slope of what entered, D W'.
    """

    def __init__(self, organisations: int, rows: int, inputs: int, outputs: int) -> None:
        draw = np.random.default_rng(0).standard_normal
        self.entering = draw((organisations, rows, inputs), np.float32)
        self.weights = draw((organisations, inputs, outputs), np.float32)
        self.turned = draw((organisations, outputs, inputs), np.float32)
        self.leaving = draw((organisations, rows, outputs), np.float32)
        self.slopes = draw((organisations, rows, outputs), np.float32)

    def products(self, multiply: Product, take: Take, active: int, *, first: bool) -> None:
        """All products of a step."""
        entering, weights, leaving, slopes = (
            take(of[:active]) for of in (self.entering, self.weights, self.leaving, self.slopes)
        )
        multiply(entering, weights, leaving)
        multiply(entering.swapaxes(1, 2), slopes, weights)
        if not first:
            multiply(slopes, take(self.turned[:active]), entering)


def run(work: Workload, library: str, clock: Clock) -> None:
    """All rounds."""
    cell = work.cell
    widths = (int(np.prod(cell.shape)), *cell.hidden, cell.classes)
    layers = [Layer(cell.cohort, cell.batch, before, after) for before, after in pairwise(widths)]
    take: Take = lambda array: array  # noqa: E731 - the other library has a function
    multiply: Product = lambda a, b, out: np.matmul(a, b, out=out)  # noqa: E731 - likewise
    if library == "torch":
        import torch  # noqa: PLC0415 - the other library does without

        torch.set_num_threads(1)
        take, multiply = torch.from_numpy, lambda a, b, out: torch.bmm(a, b, out=out)
    for cohort in work.cohorts:
        sizes = (work.offsets[1:] - work.offsets[:-1])[cohort]
        steps = -(-sizes // cell.batch)
        for step in range(int(steps.max())):
            active = int((steps > step).sum())
            for number, layer in enumerate(layers):
                layer.products(multiply, take, active, first=number == 0)
        clock.round_ended()


if __name__ == "__main__":
    watch, what = Clock(), load(sys.argv[1])
    run(what, sys.argv[2], watch)
    watch.report(what.start)
