"""Central training on the same rows: one model, plain PyTorch, batches as large as all of a round's together.

    python centralised.py WORKLOAD.npz

What simulating a federation is to be compared with: the rows of a round's cohort lie in one place, are shuffled, and
one model goes over them once, in batches of 16 rows for each organisation of the cohort. It ends with another model
than the federation, so only the time is compared.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.plain_loop import module_of, train, weights_from
from bench.contestants.workload import Clock, Floats, Workload, load


def run(work: Workload, clock: Clock) -> Floats:
    """As many passes as there are rounds, each over the rows of that round's cohort; returns the final weights."""
    cell = work.cell
    module = module_of(cell)
    parameters = list(module.parameters())
    optimizer = torch.optim.SGD(parameters, lr=cell.lr)
    x, y = torch.from_numpy(work.x), torch.from_numpy(work.y)
    weights_from(parameters, torch.from_numpy(work.start.copy()))
    mixed = torch.Generator().manual_seed(0)
    for cohort in work.cohorts:
        lines = np.concatenate([np.arange(work.offsets[client], work.offsets[client + 1]) for client in cohort])
        order = torch.from_numpy(lines)[torch.randperm(len(lines), generator=mixed)]
        train(module, optimizer, x[order], y[order], cell.batch * cell.cohort)
        clock.round_ended()
    return np.asarray(torch.nn.utils.parameters_to_vector(parameters).detach().numpy())


if __name__ == "__main__":
    torch.set_num_threads(1)
    watch = Clock()
    watch.report(run(load(sys.argv[1]), watch))
