"""What the work of a site costs, by phase: time, processor, GPU, memory, traffic, energy. Null where nobody can tell.

Phases do not overlap: work inside another phase counts for the inner one, so that phases add up to the whole. Clocks
and counters come from one `Gauge`, which reads the machine; tests pass their own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

Phase = Literal["load", "train", "evaluate", "crypto", "transfer", "wait"]
PHASES: tuple[Phase, ...] = ("load", "train", "evaluate", "crypto", "transfer", "wait")

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RAPL = Path("/sys/class/powercap")
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one phase took so far.

    Attributes:
        wall_seconds: time.
        cpu_seconds: processor time of all threads of this process.
        gpu_seconds: time in which this phase held the GPU; null without one.
        peak_bytes: most main memory; null where the system does not tell.
        peak_gpu_bytes: most GPU memory; null without one.
        bytes_up, bytes_down: bodies of HTTP requests and answers.
        energy_joules: of processors and GPU together, this machine's other work included; null where not readable.
    """

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float | None = None
    peak_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    energy_joules: float | None = None

    def plus(self, other: "Cost") -> "Cost":
        """Add two costs; peaks do not add up, the larger one counts; what both do not know stays unknown."""
        merged: dict[str, Any] = {}
        for one in fields(self):
            values = [v for v in (getattr(self, one.name), getattr(other, one.name)) if v is not None]
            merge = max if one.name.startswith("peak") else sum
            merged[one.name] = merge(values) if values else None
        return Cost(**merged)


class Gauge(Protocol):
    """The clocks and counters of a machine."""

    def wall(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def cpu(self) -> float:
        """Processor seconds of this process."""
        ...

    def energy_joules(self) -> float | None:
        """A counter that rises, or None."""
        ...

    def peak_bytes(self) -> int | None:
        """Most main memory since the last call of this method."""
        ...


@dataclass(slots=True)
class Machine:
    """The gauge of a real machine: /proc for memory, RAPL and NVML for energy, each only where it can be read."""

    gpu: ModuleType | None = None
    _rapl: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        packages = (path / "energy_uj" for path in sorted(_RAPL.glob("intel-rapl:*")) if path.name.count(":") == 1)
        self._rapl = tuple(path for path in packages if _number(path) is not None)

    def wall(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.perf_counter()

    def cpu(self) -> float:
        """Processor seconds of this process."""
        return time.process_time()

    def energy_joules(self) -> float | None:
        """Read RAPL's packages and the GPU's counter; None if neither can be read."""
        parts = [value / 1e6 for value in map(_number, self._rapl) if value is not None]
        parts += [] if self.gpu is None else _gpu_joules(self.gpu)
        return sum(parts) if parts else None

    def peak_bytes(self) -> int | None:
        """Most resident memory since the last call; Linux only."""
        try:
            text = _STATUS.read_text(encoding="ascii")
            peak = next(int(line.split()[1]) * _KIB for line in text.splitlines() if line.startswith("VmHWM:"))
            _CLEAR.write_text("5")
        except (OSError, StopIteration, ValueError):
            return None
        return peak


def find_gpu_counter() -> ModuleType | None:
    """Give NVIDIA's management library if its Python package (nvidia-ml-py) and a driver are there."""
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - optional, only with a GPU

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no package, no driver, no right to ask: there is no figure
        return None
    library: ModuleType = pynvml
    return library


@dataclass(slots=True)
class Meter:
    """Adds up what each phase costs; one process, one thread of work."""

    gauge: Gauge
    costs: dict[Phase, Cost] = field(default_factory=dict)
    _stack: list[Phase] = field(default_factory=list)
    _since: tuple[float, float, float | None] | None = None

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Count what happens inside for this phase."""
        self._settle()
        self._stack.append(name)
        self._since = self._read()
        try:
            yield
        finally:
            self._settle()
            self._stack.pop()
            self._since = self._read() if self._stack else None

    def moved(self, *, up: int, down: int) -> None:
        """Count bytes of an HTTP call for the phase it was made in; outside of every phase for `wait`."""
        self._add(self._stack[-1] if self._stack else "wait", Cost(bytes_up=up, bytes_down=down))

    def held_gpu(self, *, seconds: float, peak_bytes: int) -> None:
        """Count GPU time for the current phase."""
        self._add(self._stack[-1] if self._stack else "train", Cost(gpu_seconds=seconds, peak_gpu_bytes=peak_bytes))

    def take(self) -> dict[Phase, Cost]:
        """Give what was counted and begin anew."""
        self._settle()
        self._since = self._read() if self._stack else None
        taken, self.costs = self.costs, {}
        return taken

    def _read(self) -> tuple[float, float, float | None]:
        return self.gauge.wall(), self.gauge.cpu(), self.gauge.energy_joules()

    def _settle(self) -> None:
        """Give the phase that runs what it used since it was last looked at."""
        peak = self.gauge.peak_bytes()
        if not self._stack or self._since is None:
            return
        wall, cpu, energy = self._read()
        joules = (
            None if energy is None or self._since[2] is None or energy < self._since[2] else energy - self._since[2]
        )
        cost = Cost(
            wall_seconds=wall - self._since[0],
            cpu_seconds=cpu - self._since[1],
            peak_bytes=peak,
            energy_joules=joules,
        )
        self._add(self._stack[-1], cost)

    def _add(self, phase: Phase, cost: Cost) -> None:
        self.costs[phase] = self.costs.get(phase, Cost()).plus(cost)


def as_document(costs: dict[Phase, Cost]) -> dict[str, dict[str, Any]]:
    """Give costs as plain JSON values, phase by phase."""
    return {phase: {one.name: getattr(cost, one.name) for one in fields(cost)} for phase, cost in costs.items()}


def from_document(document: dict[str, dict[str, Any]]) -> dict[Phase, Cost]:
    """Read what `as_document` gave; unknown phases and figures are left out."""
    known = {one.name for one in fields(Cost)}
    return {
        phase: replace(Cost(), **{key: value for key, value in document[phase].items() if key in known})
        for phase in PHASES
        if phase in document
    }


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _gpu_joules(library: ModuleType) -> list[float]:
    try:
        handle = library.nvmlDeviceGetHandleByIndex(0)
        return [library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3]
    except Exception:  # noqa: BLE001 - a GPU that does not tell has no figure
        return []
