"""Flower's own simulation runtime (Ray): a ServerApp and a ClientApp in the Message API, without a strategy.

    python flower_simulation.py WORKLOAD.npz

As lean as Flower allows: one virtual node for each place in the cohort, rows loaded once a worker process, the same
training code as the plain loop, weights as one array. Processor time is that of all processes below this one.
"""

import logging
import sys
import threading
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.plain_loop import module_of, train, weights_from
from bench.contestants.workload import Clock, Floats, Workload, load


class TreeClock(Clock):
    """A clock for a process with many below it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.over = threading.Event()
        self.watching = threading.Thread(target=self._watch, daemon=True)
        self.watching.start()

    def cpu_now(self) -> float:
        """Processor seconds of the whole tree."""
        return sum(_cpu(process) for process in _tree())

    def peak_bytes(self) -> int:
        """Most memory the tree was seen with; pages that processes share count once."""
        self.over.set()
        self.watching.join()
        return self.peak

    def _watch(self) -> None:
        while not self.over.wait(2.0):
            self.peak = max(self.peak, sum(_memory(process) for process in _tree()))


def _tree() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


@lru_cache(maxsize=1)
def at_home(path: str) -> tuple[Workload, nn.Module, list[Tensor], torch.optim.Optimizer, list[tuple[Tensor, ...]]]:
    """What a worker process keeps between two calls."""
    torch.set_num_threads(1)
    work = load(path)
    module = module_of(work.cell)
    parameters = list(module.parameters())
    rows = [tuple(map(torch.from_numpy, work.rows(client))) for client in range(work.cell.clients)]
    return work, module, list(parameters), torch.optim.SGD(parameters, lr=work.cell.lr), rows


app = ClientApp()


@app.train()
def train_one(message: Message, context: Context) -> Message:
    """Train the organisation that the message names."""
    del context
    asked = message.content.config_records["asked"]
    work, module, parameters, optimizer, rows = at_home(str(asked["path"]))
    number, place = int(str(asked["round"])), int(str(asked["place"]))
    x, y = rows[work.cohorts[number, place]]
    order = torch.from_numpy(work.order(number, place))
    weights_from(parameters, torch.from_numpy(message.content.array_records["model"]["w"].numpy().copy()))
    train(module, optimizer, x[order], y[order], work.cell.batch)
    trained = torch.nn.utils.parameters_to_vector(parameters).detach().numpy()
    content = RecordDict({"model": ArrayRecord({"w": Array(trained)}), "rows": MetricRecord({"n": len(y)})})
    return Message(content, reply_to=message)


def serve(grid: Grid, path: str, clock: Clock) -> Floats:
    """All rounds, at the server; returns the final weights."""
    work = load(path)
    model = work.start
    nodes: list[int] = []
    while len(nodes) < work.cell.cohort:
        nodes = sorted(grid.get_node_ids())
    for number in range(work.cell.rounds):
        record = ArrayRecord({"w": Array(model)})
        messages = [
            Message(
                RecordDict({"model": record, "asked": ConfigRecord({"path": path, "round": number, "place": place})}),
                dst_node_id=nodes[place],
                message_type="train",
            )
            for place in range(work.cell.cohort)
        ]
        total, count = np.zeros(len(model), np.float64), 0
        for reply in grid.send_and_receive(messages):
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
            rows = int(str(reply.content.metric_records["rows"]["n"]))
            total += rows * (reply.content.array_records["model"]["w"].numpy().astype(np.float64) - model)
            count += rows
        model = (model + total / count).astype(np.float32)
        clock.round_ended()
    return model


def main(path: str) -> None:
    """Start Flower's runtime and measure."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    clock, final = TreeClock(), []
    server, cohort = ServerApp(), load(path).cell.cohort

    @server.main()
    def rounds(grid: Grid, context: Context) -> None:
        del context
        final.append(serve(grid, path, clock))

    run_simulation(
        server_app=server,
        client_app=app,
        num_supernodes=cohort,
        backend_config={
            "init_args": {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    clock.report(final[0])


if __name__ == "__main__":
    from bench.contestants.flower_simulation import main  # what workers import under this name, not as __main__

    main(str(Path(sys.argv[1]).resolve()))
