"""pfl-research (Apple): FederatedAveraging on its SimulatedBackend, one process.

    python pfl_simulation.py WORKLOAD.npz

Its local training goes through a user's rows in the order they are given, so they are given in the round's order.
"""

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.plain_loop import module_of, weights_from
from bench.contestants.workload import Clock, Floats, Workload, load


class Model(nn.Module):
    """The cell's model with the two methods pfl asks for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        made: Tensor = self.module(x)
        return made

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of a batch."""
        return functional.cross_entropy(self(x), y)

    def metrics(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        """Nothing is evaluated."""
        del x, y
        return {}


class Watch(TrainingProcessCallback):  # type: ignore[misc]
    """Notes the end of every round."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def after_central_iteration(self, *_: object, **__: object) -> tuple[bool, Metrics]:
        """Take the time; go on."""
        self.clock.round_ended()
        return False, Metrics()


def run(work: Workload, clock: Clock) -> Floats:
    """All rounds; returns the final weights."""
    cell = work.cell
    module = Model(module_of(cell))
    weights_from(list(module.parameters()), torch.from_numpy(work.start.copy()))
    rows = [tuple(map(torch.from_numpy, work.rows(client))) for client in range(cell.clients)]
    asked = itertools.count()

    def user(which: int) -> Dataset:
        number, place = divmod(which, cell.cohort)
        x, y = rows[work.cohorts[number, place]]
        order = torch.from_numpy(work.order(number, place))
        return Dataset([x[order], y[order]])

    users = FederatedDataset(user, lambda: next(asked))
    model = PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=1.0))
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=cell.rounds,
            evaluation_frequency=10**9,
            train_cohort_size=cell.cohort,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(training_data=users, val_data=None, postprocessors=[WeightByDatapoints()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=cell.lr, local_batch_size=cell.batch
        ),
        callbacks=[Watch(clock)],
    )
    return np.asarray(torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy())


if __name__ == "__main__":
    torch.set_num_threads(1)
    watch = Clock()
    watch.report(run(load(sys.argv[1]), watch))
