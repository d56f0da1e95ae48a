"""Does an engine give the updates that deployed organisations would? For those who write an engine, and for its tests.

    from fedgap.learning import conformance

    def make(task, like, plan, dtype):
        return MyEngine(task, like, plan)          # or None: not for this task

    for found in conformance.compare(make):
        assert found.holds, found

Every layer family meets every optimiser in one round of ragged organisations; the sequential engine, which is the code
a deployed organisation runs, is the reference. An engine may differ by the order of its sums and by nothing else:
1e-6 in float32, 1e-12 in float64, for every parameter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedgap import counter
from fedgap.config.task import ImageOptions, TabularOptions
from fedgap.ids import OrgId
from fedgap.learning.engine import Engine, Member, Update
from fedgap.learning.images import ImageTask
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.tabular import TabularTask
from fedgap.learning.task import Kind, Task
from fedgap.learning.vector import initial

MakeEngine = Callable[[Task, Rows, LocalTraining, torch.dtype], Engine | None]
"""Makes the engine under test for a task, rows like those to come, a plan and a type; None: not for this task."""

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
"""Largest difference of a parameter after one round."""

SIZES = (1, 5, 8, 16, 21, 8, 40)
"""Rows of the organisations: fewer than a batch, whole batches, and a rest."""

BATCH = 8

PLANS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {},
    "sgd, steps": {"epochs": None, "steps": 7},
    "sgd, weight decay": {"weight_decay": 0.05},
    "sgd, clipped": {"clip_norm": 0.1},
    "sgd, FedProx": {"prox_mu": 0.5},
    "momentum": {"optimizer": "momentum", "clip_norm": 0.3},
    "nesterov": {"optimizer": "nesterov", "weight_decay": 0.05},
    "adam": {"optimizer": "adam", "weight_decay": 0.05},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05, "prox_mu": 0.5},
}
"""What is trained how. Adam divides by the size of the gradient, so that one near the rounding of float32 has a random
direction in any engine: with the usual epsilon of 1e-8 no two of them agree, hence `EPSILON`."""

EPSILON = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """A kind of model, with rows for it.

    Attributes:
        task: model and loss.
        shape: of a row.
        classes: 0 for regression.
    """

    task: Task
    shape: tuple[int, ...]
    classes: int

    def rows(self, count: int, key: int) -> Rows:
        """Rows whose target follows from them, with noise; the same for the same key."""
        width = int(np.prod(self.shape))
        x = counter.uniform(key, count * width).reshape(count, width) * 2 - 1
        score = x.sum(axis=1) / width**0.5 + counter.uniform(counter.key(key, "y"), count) - 0.5
        y = (np.floor(score * 2) % self.classes).astype(np.int64) if self.classes else score.astype(np.float32)
        return Rows(x.astype(np.float32).reshape(count, *self.shape), y)


class _Own(Task):
    """A model of one's own, as somebody would write it."""

    def __init__(self, make: Callable[[], nn.Module], kind: Kind = "classification") -> None:
        self.make, self.kind = make, kind

    def load(self, source: Path) -> Rows:
        """Nothing is loaded here."""
        raise NotImplementedError(str(source))

    def model(self, rows: Rows) -> nn.Module:
        """The module."""
        del rows
        return self.make()


class _Gated(nn.Module):
    """Layers that no sequence of known ones describes."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.value, self.out = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        """A gate on a value."""
        made: Tensor = self.out(torch.sigmoid(self.open(x)) * torch.tanh(self.value(x)))
        return made


def _tabular(kind: Kind = "classification", **options: Any) -> Task:  # noqa: ANN401 - options of many types
    classes = ("0", "1", "2") if kind == "classification" else ()
    return TabularTask(TabularOptions(label="y", classes=classes, **options), kind)


def _images(**options: Any) -> Task:  # noqa: ANN401 - options of many types
    return ImageTask(ImageOptions(images="x", labels="y", model="cnn", classes=3, **options))


FAMILIES: Mapping[str, Family] = {
    "linear": Family(task=_tabular(model="linear"), shape=(6,), classes=3),
    "linear, squared loss": Family(task=_tabular("regression", model="linear"), shape=(6,), classes=0),
    "mlp relu": Family(task=_tabular(model="mlp", hidden=(7, 5)), shape=(6,), classes=3),
    "mlp gelu": Family(task=_tabular(model="mlp", hidden=(20,), activation="gelu"), shape=(6,), classes=3),
    "mlp tanh, dropout": Family(
        task=_tabular("regression", model="mlp", hidden=(7,), activation="tanh", dropout=0.3), shape=(6,), classes=0
    ),
    "layer norm": Family(
        task=_Own(lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 3))),
        shape=(6,),
        classes=3,
    ),
    "own module": Family(task=_Own(_Gated), shape=(6,), classes=3),
    "cnn": Family(task=_images(channels=(4, 6)), shape=(1, 6, 6), classes=3),
    "cnn, colour, dropout": Family(task=_images(channels=(4,), dropout=0.3), shape=(3, 4, 4), classes=3),
}
"""The layer families; an engine may be made for some of them only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How far an engine was from the reference in one case.

    Attributes:
        family: name in `FAMILIES`.
        plan: name in `PLANS`.
        parameters: largest difference of a parameter, over all organisations.
        loss: largest difference of a training loss, relative.
        steps: whether all took as many steps.
        limit: what `parameters` may be.
    """

    family: str
    plan: str
    parameters: float
    loss: float
    steps: bool
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the engine may be used in place of the reference."""
        return self.parameters <= self.limit and self.loss <= 10 * self.limit and self.steps


def compare(
    make: MakeEngine,
    *,
    families: Sequence[str] = tuple(FAMILIES),
    plans: Sequence[str] = tuple(PLANS),
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Iterator[Found]:
    """Run one round in both engines for every family and plan.

    Args:
        make: makes the engine under test; cases for which it gives None are left out.
        families: of `FAMILIES`.
        plans: of `PLANS`.
        dtype: float32 or float64.
        device: where the reference computes; the processor if left out.
    """
    for family in families:
        kind = FAMILIES[family]
        cohort = [
            Member(org=OrgId(f"org-{number}"), rows=kind.rows(size, counter.key("conformance", family, number)))
            for number, size in enumerate(SIZES)
        ]
        for plan in plans:
            training = _plan(plan)
            with _exact_products():
                engine = make(kind.task, cohort[-1].rows, training, dtype)
                if engine is None:
                    continue
                reference = SequentialEngine(
                    kind.task, cohort[-1].rows, training, device or torch.device("cpu"), dtype=dtype
                )
                start: Any = initial(kind.task, cohort[-1].rows, training.seed)
                start = start.astype(np.float64) if dtype == torch.float64 else start
                expected, found = (_round(one, start, cohort) for one in (reference, engine))
            yield _compared(family, plan, expected, found, TOLERANCE[dtype])


def _plan(name: str) -> LocalTraining:
    chosen: dict[str, Any] = {"seed": 11, "lr": 0.05, "epochs": 2, "batch_size": BATCH, "epsilon": EPSILON}
    return LocalTraining(**(chosen | dict(PLANS[name])))


def _round(engine: Engine, start: Vector, cohort: Sequence[Member]) -> list[Update]:
    return list(engine.run_round(start, cohort, 3))


def _compared(family: str, plan: str, expected: Sequence[Update], found: Sequence[Update], limit: float) -> Found:
    pairs = list(zip(expected, found, strict=True))
    return Found(
        family=family,
        plan=plan,
        parameters=max(float(np.abs(one.delta - other.delta).max()) for one, other in pairs),
        loss=max(abs(one.loss - other.loss) / max(1.0, abs(one.loss)) for one, other in pairs),
        steps=[(one.org, one.steps) for one in expected] == [(other.org, other.steps) for other in found],
        limit=limit,
    )


@contextmanager
def _exact_products() -> Iterator[None]:
    """Keep a GPU from rounding factors to TF32, which would be 1e-3 off."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
