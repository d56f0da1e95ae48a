"""The cells of `bench/simulate.py`, and their workloads."""

import numpy as np

from bench.contestants.fedgap_engines import SEED, task_of
from bench.contestants.workload import Cell, Workload, name_of
from fedgap import counter
from fedgap.learning.rows import Rows
from fedgap.learning.vector import initial

MLP = Cell(name="mlp", clients=1000, cohort=100, rounds=20, rows=(64, 64), shape=(30,), hidden=(64,), classes=2, lr=0.1)
LOGISTIC = Cell(
    name="logistic", clients=1000, cohort=100, rounds=20, rows=(64, 64), shape=(30,), hidden=(), classes=2, lr=0.1
)
RAGGED = Cell(
    name="ragged", clients=1000, cohort=100, rounds=20, rows=(8, 512), shape=(30,), hidden=(64,), classes=2, lr=0.1
)
TEN = Cell(
    name="ten small", clients=10, cohort=10, rounds=20, rows=(46, 303), shape=(13,), hidden=(), classes=2, lr=0.1
)
CNN = Cell(
    name="cnn",
    clients=10,
    cohort=10,
    rounds=4,
    rows=(64, 64),
    shape=(1, 28, 28),
    hidden=(32, 64, 128),
    classes=14,
    lr=0.05,
)
CELLS = (MLP, LOGISTIC, RAGGED, TEN, CNN)


def workload_of(cell: Cell) -> Workload:
    """Draw a cell's rows, cohorts, orders and start; the labels follow from the rows, with noise."""
    rng = np.random.default_rng(1)
    low, high = cell.rows
    sizes = np.exp(rng.uniform(np.log(low), np.log(high), cell.clients)).round().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    x = rng.normal(size=(int(offsets[-1]), *cell.shape)).astype(np.float32)
    logits = x.reshape(len(x), -1) @ rng.normal(size=(int(np.prod(cell.shape)), cell.classes))
    y = (logits + rng.gumbel(size=logits.shape) * logits.std()).argmax(axis=1)
    cohorts = np.stack([np.sort(rng.permutation(cell.clients)[: cell.cohort]) for _ in range(cell.rounds)])
    orders = [
        counter.permutation(epoch_key(number + 1, client), int(sizes[client]))
        for number, cohort in enumerate(cohorts)
        for client in cohort.tolist()
    ]
    places = np.concatenate([[0], np.cumsum([len(order) for order in orders])])
    start = initial(task_of(cell), Rows(x[:1], y[:1]), SEED)
    return Workload(cell, x, y, offsets, cohorts, np.concatenate(orders), places, start)


def epoch_key(round_number: int, client: int) -> int:
    """Key of an organisation's first epoch in a round, as `fedgap.learning.local` draws it."""
    return counter.key(counter.key(SEED, "train", round_number, name_of(client)), "epoch", 0)
