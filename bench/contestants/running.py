"""Running a contestant in a process of its own, and what it says about itself."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 1200
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}

FORCED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY",
)
"""Variables with which an environment ties libraries to the kernels of another processor; users have none of them."""


def own_kernels() -> dict[str, str]:
    """This environment, in which numerical libraries choose the kernels of the processor they find."""
    return {name: value for name, value in os.environ.items() if name not in FORCED}


def blas() -> str:
    """Which kernels numpy's linear algebra chooses so."""
    told = "import numpy, threadpoolctl; print([p.get('architecture') for p in threadpoolctl.threadpool_info()][0])"
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", told], env=own_kernels(), check=False, capture_output=True, text=True, timeout=LONGEST_S
    )
    return ended.stdout.strip() or "unknown"


class FailedError(Exception):
    """A contestant did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What one run of a contestant showed.

    Attributes:
        cpu_ms: processor time of a round after the first, mean.
        wall_ms: time of a round after the first, mean.
        first_round_s: from the start of the process to the end of round 1.
        first_round_cpu_s: processor time until then.
        peak_mb: most memory.
        model: final weights.
    """

    cpu_ms: float
    wall_ms: float
    first_round_s: float
    first_round_cpu_s: float
    peak_mb: float
    model: NDArray[np.float32]

    def figures(self, cohort: int, reference: NDArray[np.float32] | None) -> dict[str, float]:
        """For the table: with the plain loop's weights as reference, unless it trained something else."""
        told = {
            "cpu_ms_a_round": self.cpu_ms,
            "wall_ms_a_round": self.wall_ms,
            "client_rounds_a_cpu_s": 1e3 * cohort / self.cpu_ms,
            "first_round_s": self.first_round_s,
            "first_round_cpu_s": self.first_round_cpu_s,
            "peak_mb": self.peak_mb,
        }
        return told if reference is None else told | {"difference": float(np.abs(self.model - reference).max())}


def run(script: str, *arguments: str, python: Path = Path(sys.executable)) -> Run:
    """Start a contestant and wait for it.

    Raises:
        FailedError: it failed, with the last line of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.npy"
        environment = own_kernels() | QUIET | ONE_THREAD | {"BENCH_MODEL": str(model), "PYTHONPATH": str(ROOT)}
        command = [str(python), str(ROOT / "bench" / "contestants" / script), *arguments]
        began = time.time()
        try:
            ended = subprocess.run(  # noqa: S603 - our own script
                command, env=environment, check=False, capture_output=True, text=True, timeout=LONGEST_S, cwd=folder
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"{script} took longer than {LONGEST_S} s") from error
        if ended.returncode != 0:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise FailedError(f"{script} ended with status {ended.returncode}: {last}")
        said: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
        rounds = max(1, len(said["cpu"]) - 1)
        return Run(
            cpu_ms=1e3 * (said["cpu"][-1] - said["cpu"][0]) / rounds,
            wall_ms=1e3 * (said["wall"][-1] - said["wall"][0]) / rounds,
            first_round_s=said["first_round_at"] - began,
            first_round_cpu_s=said["cpu"][0],
            peak_mb=said["peak_bytes"] / 1e6,
            model=np.load(model),
        )


def least(runs: list[Run]) -> Run:
    """The run that was disturbed least."""
    return min(runs, key=lambda one: one.cpu_ms)
