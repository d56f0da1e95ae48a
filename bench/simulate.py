"""fedgap's engines against a plain PyTorch loop, Flower's simulation runtime and pfl-research, on the same rows.

    python bench/simulate.py [--json] [--quick] [--environments FOLDER] [--growth FOLDER] [--device cuda]

Every contestant is a process of its own with one thread, given the same rows in the same order from the same weights.
A figure is the processor time of a round, the mean of all rounds but the first, the least of a few runs; the runs of
the contestants take turns. The final weights of all must agree. Flower's and pfl-research's packages are installed
into environments below FOLDER (a temporary one if left out); where that cannot be, they are named in `not_measured`.
Of the processes engine the processor time is that of the longest way through it: the parent and the busiest worker.

Two contestants train no federation and are there to be compared with: one model trained centrally on the same rows in
batches as large as a round's, and the bare matrix products of a round. The last bars are the whole gap report of the
clinics, 30 splits with 5 folds, as a user starts it.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.contestants.cells import CELLS, CNN, LOGISTIC, MLP, RAGGED, TEN, workload_of
from bench.contestants.environments import Environment, MissingError, environment
from bench.contestants.gap_report import FOLDS, SPLITS, GapReport, gap_report
from bench.contestants.growth import draw, grow
from bench.contestants.running import FailedError, Run, blas, least, run
from bench.contestants.workload import Cell

REPEATS = 2
TOLERANCE = 1e-3
"""Final weights of a contestant and of the plain loop, absolute: float32 sums in another order, and now and then an
input of a ReLU or a pooling that is on the other side of a tie."""

CENTRAL, MOST_OF_CENTRAL = "in units of training one model centrally", 1.1

TABULAR = ("closed-form", "stacked-manual", "stacked-autograd", "sequential")
IMAGES = ("sequential", "sequential-channels-last", "processes")
FASTEST = {"one core": TABULAR[:3], "cnn": ("sequential-channels-last",), "two": ("processes",)}
CENTRALISED = "centralised"
PRODUCTS = ("products numpy", "products torch")
NO_FEDERATION = (CENTRALISED, *PRODUCTS)
"""Contestants whose final weights are not the federation's."""

FLOWER_CELLS = (MLP, LOGISTIC, TEN)
PFL_CELLS = (MLP, CNN)
GPU_CELLS = "MLP with 10, 100, 1,000 and 10,000 organisations a round, CNN with 10, 100 and 500"

Start = Callable[[str], Run]


class Peers:
    """Contestants from environments of their own; whoever is missing is remembered with the reason."""

    def __init__(self, folder: Path, *, wanted: bool) -> None:
        self.missing: dict[str, str] = {}
        self.found: dict[str, Environment] = {}
        for name in ("flower", "pfl-research"):
            if not wanted:
                self.missing[name] = "left out by --quick"
                continue
            try:
                self.found[name] = environment(name, folder)
            except MissingError as error:
                self.missing[name] = str(error)

    def starts(self, cell: Cell) -> dict[str, Start]:
        """How to start those that take part in a cell."""
        found: dict[str, Start] = {}
        for name, script, cells in (
            ("flower", "flower_simulation.py", FLOWER_CELLS),
            ("pfl-research", "pfl_simulation.py", PFL_CELLS),
        ):
            if name in self.found and cell.name in {one.name for one in cells}:
                found[name] = _start(script, self.found[name].python)
        return found


def _start(script: str, python: Path = Path(sys.executable), *arguments: str) -> Start:
    return lambda workload: run(script, workload, *arguments, python=python)


def measure(cell: Cell, peers: Peers, *, repeats: int, device: str) -> dict[str, Any]:
    """One cell: every contestant's figures."""
    engines = IMAGES if cell.convolutional else TABULAR
    starts: dict[str, Start] = {"plain loop": _start("plain_loop.py")}
    for engine in engines:
        starts[engine] = _start("fedgap_engines.py", Path(sys.executable), engine, "--device", device)
    starts[CENTRALISED] = _start("centralised.py")
    for name in () if cell.convolutional else PRODUCTS:
        starts[name] = _start("products.py", Path(sys.executable), name.rpartition(" ")[2])
    peer = peers.starts(cell)
    runs: dict[str, list[Run]] = {}
    failed: dict[str, str] = {}
    with _saved(cell) as path:
        for number in range(repeats):
            for name, start in (starts | (peer if number == 0 else {})).items():
                try:
                    runs.setdefault(name, []).append(start(path))
                except FailedError as error:
                    failed[name] = str(error)
    best = {name: least(of) for name, of in runs.items() if of}
    reference = best["plain loop"].model
    contestants = {
        name: one.figures(cell.cohort, None if name in NO_FEDERATION else reference) for name, one in best.items()
    }
    return {
        "cell": cell.name,
        "clients": cell.clients,
        "cohort": cell.cohort,
        "rounds": cell.rounds,
        "parameters": int(reference.size),
        "contestants": contestants,
        "ratios": ratios(contestants),
        "failed": failed,
    }


@contextmanager
def _saved(cell: Cell) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        workload_of(cell).save(path)
        yield str(path)


def bar(name: str, value: float, bound: float, better: str) -> dict[str, Any]:
    """One row of `bars`."""
    holds = value >= bound if better == "higher" else value <= bound
    return {"name": name, "value": value, "bound": bound, "better": better, "holds": holds}


def ratios(contestants: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Processor time of our fastest engine on one core, in units of what it is compared with."""
    cost = {name: figures["cpu_ms_a_round"] for name, figures in contestants.items()}
    ours = [cost[name] for name in (*TABULAR[:3], *FASTEST["cnn"]) if name in cost]
    bare = [cost[name] for name in PRODUCTS if name in cost]
    found = {}
    if ours and CENTRALISED in cost:
        found[CENTRAL] = min(ours) / cost[CENTRALISED]
    if ours and bare:
        found["of the bare products"] = min(ours) / min(bare)
    return found


def times(cell: Mapping[str, Any], ours: tuple[str, ...], theirs: str, unit: str = "cpu_ms_a_round") -> float | None:
    """How many times as fast the fastest of our engines is; None if one of the two was not measured."""
    figures = cell["contestants"]
    measured = [figures[name][unit] for name in ours if name in figures]
    return figures[theirs][unit] / min(measured) if measured and theirs in figures else None


def bars(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare what was measured with the bars: docs/adr/0009-bars-against-the-plain-loop.md."""
    of = {cell["cell"]: cell for cell in cells}
    wanted = (
        (MLP, "one core", "plain loop", 20),
        (MLP, "one core", "flower", 200),
        (LOGISTIC, "one core", "plain loop", 20),
        (LOGISTIC, "one core", "flower", 300),
        (RAGGED, "one core", "plain loop", 15),
        (TEN, "one core", "plain loop", 8),
        (TEN, "one core", "flower", 90),
        (CNN, "cnn", "plain loop", 1.0),
        (CNN, "two", "plain loop", 1.5),
    )
    rows = []
    for where, which, theirs, bound in wanted:
        value = times(of[where.name], FASTEST[which], theirs)
        if value is not None:
            cores = "two processes" if which == "two" else "one core"
            rows.append(bar(f"{where.name}: times as fast as {theirs}, {cores}", value, bound, "higher"))
    found = [of[where.name]["contestants"].get("closed-form") for where in (MLP, LOGISTIC, RAGGED, TEN)]
    closed = [figures for figures in found if figures]
    if closed:
        first_s, peak_mb = (max(figures[name] for figures in closed) for name in ("first_round_s", "peak_mb"))
        rows.append(bar("tabular: start to the end of round 1, s", first_s, 1.0, "lower"))
        rows.append(bar("tabular: peak memory, MB", peak_mb, 100, "lower"))
    for cell in cells:
        if CENTRAL in cell["ratios"]:
            rows.append(bar(f"{cell['cell']}: cost {CENTRAL}", cell["ratios"][CENTRAL], MOST_OF_CENTRAL, "lower"))
        worst = max(figures.get("difference", 0.0) for figures in cell["contestants"].values())
        rows.append(bar(f"{cell['cell']}: largest difference of final weights", worst, TOLERANCE, "lower"))
        rows.append(bar(f"{cell['cell']}: contestants that failed", len(cell["failed"]), 0, "lower"))
    return rows


def report_bars(report: GapReport) -> list[dict[str, Any]]:
    """The bars of the whole report: its time, and the processor time that allows for it on two free cores."""
    whole = f"clinics, {SPLITS} splits x {FOLDS} folds: whole report"
    return [
        bar(f"{whole}, s", report.wall_s, 20, "lower"),
        bar(f"{whole}, processor s in one process", report.cpu_s, 12, "lower"),
    ]


def benchmark(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything; --quick takes fewer rounds and one run of each, with peers only from --environments."""
    peers = Peers(folder, wanted=not chosen.quick or chosen.environments is not None)
    cells = [
        measure(
            replace(cell, rounds=max(3, cell.rounds // 4)) if chosen.quick else cell,
            peers,
            repeats=1 if chosen.quick else REPEATS,
            device=chosen.device,
        )
        for cell in CELLS
    ]
    report = gap_report()
    growth = grow() if chosen.growth else {}
    if chosen.growth:
        draw(growth, chosen.growth)
    left_out = [f"{name}: {reason}" for name, reason in peers.missing.items()]
    if chosen.device == "cpu":
        left_out.append(f"on a GPU: {GPU_CELLS}: no GPU here (--device cuda where there is one)")
    if not chosen.growth:
        left_out.append("growth with organisations and parameters: asked for with --growth FOLDER")
    return {
        "benchmark": "simulate",
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "blas": blas(),
            "load": os.getloadavg()[0],
        },
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "contestants": [
            f"plain loop (torch {version('torch')})",
            *[f"fedgap {name}" for name in dict.fromkeys(TABULAR + IMAGES)],
            "centralised training",
            "bare products",
            *peers.found,
        ],
        "cells": cells,
        "gap_report": asdict(report),
        "growth": growth,
        "bars": [*bars(cells), *report_bars(report)],
        "not_measured": left_out,
    }


def main() -> None:
    """Print tables, or the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and runs; peers only with --environments")
    parser.add_argument("--environments", type=Path, help="folder that keeps the environments of the peers")
    parser.add_argument("--growth", type=Path, help="also measure growth, and draw it into this folder")
    parser.add_argument("--device", default="cpu", help="of our engines: cpu or cuda")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = benchmark(chosen, (chosen.environments or Path(temporary)).resolve())
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    sys.exit(not all(row["holds"] for row in result["bars"]))


def show(result: Mapping[str, Any]) -> None:
    """Print the cells as tables, then the bars."""
    for cell in result["cells"]:
        print(f"\n{cell['cell']}: {cell['cohort']} of {cell['clients']} a round, {cell['parameters']} parameters")
        for name, figures in cell["contestants"].items():
            told = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"  {name:26} {told}")
        for name, ratio in cell["ratios"].items():
            print(f"  our fastest engine costs {ratio:.3g} times the processor time {name}")
        for name, reason in cell["failed"].items():
            print(f"  {name:26} failed: {reason}")
    report = result["gap_report"]
    print(
        f"\nclinics: whole report {report['wall_s']:.3g} s; {report['cpu_s']:.3g} s of processor time in one process\n"
    )
    for row in result["bars"]:
        sign = ">=" if row["better"] == "higher" else "<="
        print(f"{'holds' if row['holds'] else 'FAILS'}  {row['value']:10.4g} {sign} {row['bound']:<8g} {row['name']}")
    for text in result["not_measured"]:
        print(f"not measured: {text}")


if __name__ == "__main__":
    main()
