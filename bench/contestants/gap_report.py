"""The whole gap report of the clinics, 30 splits with 5 folds each, as a user starts it."""

import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.contestants.running import ROOT, FailedError, own_kernels

CLINICS = ROOT / "examples" / "clinics"
SPLITS, FOLDS = 30, 5
WORKERS = 2
LONGEST_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class GapReport:
    """What the command took.

    Attributes:
        wall_s: from start to end, with two worker processes.
        cpu_s: processor time of the same work in one process, less at the mercy of what else runs.
    """

    wall_s: float
    cpu_s: float


def gap_report() -> GapReport:
    """Run the command twice.

    Raises:
        FailedError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = (CLINICS / "federation.toml").read_text(encoding="utf-8")
        for name, number in (("splits", SPLITS), ("folds", FOLDS)):
            written, found = re.subn(rf"(?m)^{name} = \d+$", f"{name} = {number}", written)
            if found != 1:
                raise FailedError(f"the clinics' configuration has {found} lines with {name}")
        federation = Path(folder) / "federation.toml"
        federation.write_text(written, encoding="utf-8")
        for policy in CLINICS.glob("policy*.toml"):
            (Path(folder) / policy.name).write_bytes(policy.read_bytes())
        began = time.perf_counter()
        _simulate(federation, WORKERS)
        wall_s = time.perf_counter() - began
        before = _children_s()
        _simulate(federation, 1)
        return GapReport(wall_s=wall_s, cpu_s=_children_s() - before)


def _simulate(federation: Path, workers: int) -> None:
    out = federation.parent / f"out-{workers}"
    command = [sys.executable, "-m", "fedgap", "simulate", str(federation), "--data", str(CLINICS)]
    command += ["--out", str(out), "--workers", str(workers), "--json"]
    environment = own_kernels() | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(  # noqa: S603 - our own command
        command, env=environment, check=False, capture_output=True, text=True, timeout=LONGEST_S, cwd=federation.parent
    )
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FailedError(f"fedgap simulate ended with status {ended.returncode}: {last}")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
