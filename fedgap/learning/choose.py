"""Which torch engine trains a model fastest, and why: from its arithmetic, a trial and, in doubt, two timed steps.

Stacking saves the fixed cost of a step, 0.1 to 0.4 ms for each organisation, and costs memory traffic. It pays for
small steps and many organisations; a large step keeps a core busy by itself, and then only more cores help.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from fedgap.ids import OrgId
from fedgap.learning.engine import Engine, Training
from fedgap.learning.plan import LocalTraining
from fedgap.learning.processes import ProcessesEngine
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.stacked_manual import written_out
from fedgap.learning.task import Task
from fedgap.learning.tensor_engine import TensorEngine
from fedgap.learning.trial import STEPS, obstacle
from fedgap.learning.vector import build, initial

FEW_ORGANISATIONS = 8
"""Fewer are not worth a stack of any model but a chain of linear layers."""

SMALL_STEP_FLOPS = 8_000_000
"""Up to so much arithmetic in a step of one organisation, stacking pays."""

LARGE_STEP_FLOPS = 25_000_000
"""Beyond it, it does not; in between, two steps are timed."""

PROBED_ORGANISATIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """An engine and the reason for it, as a sentence without its full stop."""

    engine: Engine
    why: str


def choose(
    task: Task,
    like: Rows,
    plan: LocalTraining,
    device: torch.device,
    *,
    organisations: int,
    cores: int = 1,
    probe: bool = True,
) -> Chosen:
    """Pick and make the engine for a task's model.

    The choice does not depend on the rows' values, and on time only where a probe decides; `cores` changes nothing but
    the time. So the same configuration gives the same bits on one machine unless a probe is in doubt.

    Args:
        task: model and loss.
        like: rows as they will be trained on.
        plan: how a round trains.
        device: where.
        organisations: how many train side by side.
        cores: processes that may train.
        probe: whether two steps are timed in doubt; if not, a model in doubt is not stacked.

    Raises:
        ModelError: the model cannot be trained in a federation.
    """
    model = build(task, like, device)
    if written_out(task, model):
        return Chosen(engine=TensorEngine(task, like, plan, device), why="the model is a chain of linear layers")
    flops = step_flops(task, like, plan, device)
    if organisations < FEW_ORGANISATIONS:
        stacks, why = False, f"{organisations} organisations are too few to gain by stacking"
    else:
        stacks, why = _stacks(task, like, plan, device, flops, probe=probe)
    if stacks:
        return Chosen(engine=TensorEngine(task, like, plan, device), why=why)
    return Chosen(engine=_one_by_one(task, like, plan, device, cores, model.module, flops), why=why)


def _stacks(
    task: Task, like: Rows, plan: LocalTraining, device: torch.device, flops: int, *, probe: bool
) -> tuple[bool, str]:
    """Whether stacking pays for many organisations, and why."""
    size = f"a step of one organisation takes {flops / 1e6:.3g} MFLOP"
    most = LARGE_STEP_FLOPS if probe else SMALL_STEP_FLOPS
    if flops > most and device.type == "cpu":
        return False, f"{size}, too much to gain by stacking"
    reason = obstacle(task, like, plan, device)
    if reason is not None:
        return False, f"the model cannot be stacked: {reason}"
    if flops <= SMALL_STEP_FLOPS or device.type != "cpu":
        return True, f"{size}, so little that stacking saves most of its time"
    gain = _probed(task, like, plan, device)
    if gain > 1:
        return True, f"{size}; two steps of it were {gain:.1f} times as fast stacked"
    return False, f"{size}; two steps of it were not faster stacked"


def made(name: str, task: Task, like: Rows, plan: LocalTraining, device: torch.device, *, cores: int = 1) -> Engine:
    """Make the engine of this name: sequential (with the bits of a deployment), processes or stacked."""
    if name == "processes":
        return ProcessesEngine(task, like, plan, device, workers=cores)
    if name == "sequential":
        return SequentialEngine(task, like, plan, device)
    return TensorEngine(task, like, plan, device)


def step_flops(task: Task, like: Rows, plan: LocalTraining, device: torch.device) -> int:
    """About how many floating-point operations one step takes, forward and backward.

    Every matrix of weights meets each position of its layer's output once, a multiplication and an addition each; the
    backward pass costs twice the forward. Counted by hooks: torch's own counters take seconds to load.
    """
    model = build(task, like, device)
    met: dict[nn.Parameter, int] = {weight: plan.batch_size for weight in model.module.parameters() if weight.dim() > 1}

    def count(layer: nn.Module, _: object, output: object) -> None:
        for weight in layer.parameters(recurse=False):
            if weight in met and isinstance(output, Tensor):
                met[weight] = output.numel() // weight.shape[0]

    hooks = [layer.register_forward_hook(count) for layer in model.module.modules()]
    x, _ = model.batch(_rows(like, plan.batch_size))
    with torch.no_grad():
        model.module(x)
    for hook in hooks:
        hook.remove()
    return 3 * sum(2 * weight.numel() * positions for weight, positions in met.items())


def _one_by_one(
    task: Task, like: Rows, plan: LocalTraining, device: torch.device, cores: int, module: nn.Module, flops: int
) -> Engine:
    """Sequential; large steps on all cores, and large convolutions with channels innermost (small ones lose by it)."""
    large = flops > LARGE_STEP_FLOPS and device.type == "cpu"
    convolves = large and any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    if large and cores > 1:
        return ProcessesEngine(task, like, plan, device, workers=cores, channels_last=convolves)
    return SequentialEngine(task, like, plan, device, channels_last=convolves)


_GAINS: dict[tuple[str, tuple[int, ...], LocalTraining, str], float] = {}


def _probed(task: Task, like: Rows, plan: LocalTraining, device: torch.device) -> float:
    """How many times as fast two steps of a few organisations are when stacked; timed once for each kind of model."""
    tried = replace(plan, seed=0, lr=1e-3, epochs=None, steps=STEPS, patience=0)
    kind = (str(build(task, like, device).module), like.x.shape[1:], tried, str(device))
    if kind not in _GAINS:
        start = initial(task, like, plan.seed)
        rows = _rows(like, STEPS * plan.batch_size)
        trainings = [
            Training(start=start, rows=rows, plan=tried, org=OrgId(f"probe-{number}"), round_number=0)
            for number in range(PROBED_ORGANISATIONS)
        ]
        each = [
            _cpu_s(lambda engine=engine: engine.train_many(trainings))  # type: ignore[misc]
            for engine in (
                SequentialEngine(task, like, tried, device),
                TensorEngine(task, like, tried, device),
            )
        ]
        _GAINS[kind] = each[0] / max(each[1], 1e-9)
    return _GAINS[kind]


def _cpu_s(work: Callable[[], object]) -> float:
    """Processor time of the second of two runs."""
    work()
    began = time.process_time()
    work()
    return time.process_time() - began


def _rows(like: Rows, count: int) -> Rows:
    """So many rows, over and over the ones there are."""
    return like.take(np.arange(count, dtype=np.int64) % len(like))
