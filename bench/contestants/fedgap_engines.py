"""fedgap's engines as contestants: `run_round` of an engine, and a weighted mean in float64.

python fedgap_engines.py WORKLOAD.npz ENGINE
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.contestants.workload import Cell, Clock, Floats, Workload, load
from fedgap.config.task import ImageOptions, TabularOptions
from fedgap.ids import OrgId
from fedgap.learning.engine import Engine, Member
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task, described
from fedgap.learning.threads import use_one_thread

if TYPE_CHECKING:
    import torch

SEED = 7
"""Of the study: workloads draw the order of rows with it."""


def task_of(cell: Cell) -> Task:
    """The built-in task with the cell's model."""
    if cell.convolutional:
        from fedgap.learning.images import ImageTask  # noqa: PLC0415 - what a tabular cell need not load

        return ImageTask(ImageOptions(images="x", labels="y", model="cnn", channels=cell.hidden, classes=cell.classes))
    from fedgap.learning.tabular import TabularTask  # noqa: PLC0415 - likewise

    classes = tuple(map(str, range(cell.classes)))
    options: dict[str, Any] = {"model": "mlp", "hidden": cell.hidden} if cell.hidden else {"model": "linear"}
    return TabularTask(TabularOptions(label="y", classes=classes, **options), "classification")


def plan_of(cell: Cell) -> LocalTraining:
    """One epoch of plain SGD."""
    return LocalTraining(seed=SEED, lr=cell.lr, batch_size=cell.batch)


def engine_of(name: str, task: Task, like: Rows, plan: LocalTraining, device: str = "cpu") -> Engine:
    """Make the engine under this name; only its own libraries are loaded."""
    if name == "closed-form":
        return _closed_form(task, like, plan)
    import torch  # noqa: PLC0415 - the closed form does without

    torch.set_num_threads(1)
    where = torch.device(device)
    if name == "processes":
        from fedgap.learning.processes import ProcessesEngine  # noqa: PLC0415 - loads torch

        return ProcessesEngine(task, like, plan, where, workers=2, channels_last=True)
    if name.startswith("sequential"):
        return _sequential(name, task, like, plan, where)
    from fedgap.learning.tensor_engine import TensorEngine  # noqa: PLC0415 - loads torch

    return TensorEngine(task, like, plan, where, kernel=name)


def _closed_form(task: Task, like: Rows, plan: LocalTraining) -> Engine:
    from fedgap.learning.closed_form import ClosedFormEngine  # noqa: PLC0415 - loads only numpy

    stack = described(task, like)
    if stack is None:
        raise SystemExit("no stack of linear layers")
    use_one_thread()
    return ClosedFormEngine(stack, like, plan)


def _sequential(name: str, task: Task, like: Rows, plan: LocalTraining, device: "torch.device") -> Engine:
    from fedgap.learning.sequential import SequentialEngine  # noqa: PLC0415 - loads torch

    return SequentialEngine(task, like, plan, device, channels_last=name.endswith("channels-last"))


class PathClock(Clock):
    """Of several processes that compute at the same time: the parent's time and the busiest worker's."""

    def cpu_now(self) -> float:
        """Processor seconds on the longest way."""
        from multiprocessing import active_children  # noqa: PLC0415 - only where there are several

        return time.process_time() + max((_cpu_s(child.pid) for child in active_children()), default=0.0)


def _cpu_s(pid: int | None) -> float:
    """Processor seconds of a living process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(work: Workload, name: str, clock: Clock, device: str = "cpu") -> Floats:
    """All rounds; returns the final weights."""
    cell, model = work.cell, work.start
    members = [Member(org=OrgId(org), rows=Rows(*work.rows(at))) for at, org in enumerate(work.names)]
    engine = engine_of(name, task_of(cell), members[0].rows, plan_of(cell), device)
    if hasattr(
        engine, "prepare"
    ):  # engines that pack rows; the plain loop makes its tensors before the first round too
        engine.prepare(members)
    for number, cohort in enumerate(work.cohorts):
        total, part, count = np.zeros(len(model), np.float64), np.empty(len(model), np.float64), 0
        chosen = [members[client] for client in cohort]
        for member, update in zip(chosen, engine.run_round(model, chosen, number + 1), strict=True):
            rows = len(member.rows)
            total += np.multiply(update.delta, rows, out=part)
            count += rows
        model = (model + total / count).astype(np.float32)
        clock.round_ended()
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("engine")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    watch = PathClock() if chosen.engine == "processes" else Clock()
    watch.report(run(load(chosen.workload), chosen.engine, watch, chosen.device))
