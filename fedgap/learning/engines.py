"""Which engine runs a task, and why: the stacked one without torch where it can, else what `choose` finds in torch."""

from collections.abc import Callable
from importlib.util import find_spec

from fedgap.errors import FedgapError, MissingExtraError
from fedgap.learning.closed_form import ClosedFormEngine
from fedgap.learning.engine import Engine
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task, described
from fedgap.learning.threads import use_one_thread

MakeEngine = Callable[[Task, Rows, LocalTraining, str], Engine]
"""From a task, rows like those to come, a plan and the name of a device."""

OFFERED: dict[str, MakeEngine] = {}
"""Engines of other parts of fedgap, under the names they may be asked for by."""

ENGINES = ("auto", "sequential", "stacked", "processes")


class EngineUnavailableError(FedgapError):
    """The engine asked for is not part of this version, or cannot run this task."""

    code = "engine.unavailable"
    remedy = "Use --engine auto, sequential, stacked, processes or flower."
    exit_status = 2


def check_engine(wanted: str) -> None:
    """Refuse an engine that this version does not have.

    Raises:
        EngineUnavailableError: with what to use instead.
    """
    if wanted not in {*ENGINES, *OFFERED}:
        raise EngineUnavailableError(f"The engine '{wanted}' is not available.")


class Engines:
    """Makes the engine for each model that turns up, and uses it again for the next of the same form.

    Args:
        wanted: auto, sequential, stacked or processes.
        device: of the configuration; the stacked engine without torch computes on the processor.
        organisations: how many train side by side.
        cores: processes that one training request may be split over.
    """

    def __init__(self, wanted: str = "auto", device: str = "auto", *, organisations: int = 1, cores: int = 1) -> None:
        check_engine(wanted)
        self.wanted, self.device, self.organisations, self.cores = wanted, device, organisations, cores
        self._stacked: dict[tuple[LinearStack, str], ClosedFormEngine] = {}

    def open(self, task: Task, like: Rows, plan: LocalTraining) -> tuple[Engine, str]:
        """Make the engine for the task's model on rows like these.

        Returns:
            the engine, and why it was chosen.

        Raises:
            EngineUnavailableError: the stacked engine was asked for and cannot run this model.
            MissingExtraError: torch is needed and not installed.
            ModelError: the model cannot be trained in a federation, or the device is missing.
        """
        if self.wanted in OFFERED:
            return OFFERED[self.wanted](task, like, plan, self.device), self._why("")
        stack = described(task, like)
        if stack is None or self.wanted in {"sequential", "processes"} or self.device not in {"auto", "cpu"}:
            return self._in_torch(task, like, plan)
        known = self._stacked.get((stack, like.y.dtype.kind))
        if known is None:
            known = self._stacked[stack, like.y.dtype.kind] = ClosedFormEngine(stack, like, plan)
        return known, self._why("the model is a stack of linear layers: all trainings at once, without torch")

    def _why(self, reason: str) -> str:
        return reason if self.wanted == "auto" else "asked for"

    def _in_torch(self, task: Task, like: Rows, plan: LocalTraining) -> tuple[Engine, str]:
        need_torch("This engine")
        from fedgap.learning.choose import choose, made  # noqa: PLC0415 - loads torch
        from fedgap.learning.trial import obstacle  # noqa: PLC0415 - same reason
        from fedgap.learning.vector import pick_device  # noqa: PLC0415 - same reason

        use_one_thread()
        device = pick_device(self.device)
        if self.wanted == "auto":
            chosen = choose(
                task, like, plan, device, organisations=self.organisations, cores=self.cores, probe=False
            )  # a probe would let the clock decide about bits
            return chosen.engine, chosen.why
        reason = obstacle(task, like, plan, device) if self.wanted == "stacked" else None
        if reason is not None:
            raise EngineUnavailableError(f"The engine 'stacked' cannot run this model: {reason}.")
        return made(self.wanted, task, like, plan, device, cores=self.cores), self._why("")


def starting_vector(task: Task, like: Rows, seed: int) -> Vector:
    """Draw the starting model w_0, the same bits wherever it is computed; float32, shape (d,).

    Raises:
        MissingExtraError: torch is needed and not installed.
    """
    stack = described(task, like)
    if stack is not None:
        return stack.initial(seed)
    need_torch("This model")
    from fedgap.learning.vector import initial  # noqa: PLC0415 - loads torch

    return initial(task, like, seed)


def need_torch(needed_for: str) -> None:
    """Refuse what cannot be done without torch.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        there = find_spec("torch") is not None
    except ImportError:
        there = False
    if not there:
        raise MissingExtraError(extra="torch", needed_for=needed_for)
