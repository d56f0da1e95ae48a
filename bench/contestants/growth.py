"""How the cost of an organisation grows with the number of organisations, and with the number of parameters."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.contestants.cells import MLP, workload_of
from bench.contestants.running import Run, run

ORGANISATIONS = (10, 100, 1000, 10_000)
WIDTHS = (30, 300, 3000, 30_000, 300_000)
"""Hidden units: 33 parameters each."""

COHORT = 10
ROUNDS = 30
"""Of the smallest points; a larger one has fewer, at least three."""

WORK = 1_000_000
"""Rounds times organisations times hidden units, of the points between."""

CONTESTANTS = ("plain loop", "closed-form", "stacked-manual", "stacked-autograd")


def grow() -> dict[str, Any]:
    """Measure both; every point is a run of 3 to 30 rounds in a process of its own."""
    organisations = [{"organisations": number} | _point(number, MLP.hidden[0]) for number in ORGANISATIONS]
    parameters = [_point(COHORT, width) for width in WIDTHS]
    return {"organisations": organisations, "parameters": parameters}


def _point(cohort: int, width: int) -> dict[str, Any]:
    rounds = min(ROUNDS, max(3, WORK // (cohort * width)))
    cell = replace(MLP, clients=cohort, cohort=cohort, hidden=(width,), rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        work = workload_of(cell)
        work.save(path)
        each: dict[str, Run] = {}
        for name in CONTESTANTS:
            script, more = ("plain_loop.py", ()) if name == "plain loop" else ("fedgap_engines.py", (name,))
            each[name] = run(script, str(path), *more)
    return {
        "parameters": int(work.start.size),
        "cpu_us_an_organisation": {name: 1e3 * one.cpu_ms / cell.cohort for name, one in each.items()},
        "peak_mb": {name: one.peak_mb for name, one in each.items()},
    }


def draw(growth: Mapping[str, Any], folder: Path) -> None:
    """Draw both as SVG files: processor time of an organisation and round."""
    import matplotlib as mpl  # noqa: PLC0415 - only for drawing

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fedgap"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what it draws with

    folder.mkdir(parents=True, exist_ok=True)
    for axis, words in (("organisations", "organisations a round"), ("parameters", "parameters")):
        figure, plot = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
        for name in CONTESTANTS:
            points = growth[axis]
            across = [point[axis] for point in points]
            plot.plot(across, [point["cpu_us_an_organisation"][name] for point in points], marker="o", label=name)
        plot.set(xscale="log", yscale="log", xlabel=words, ylabel="processor time, µs an organisation and round")
        plot.grid(visible=True, which="major", alpha=0.3)
        figure.legend(*plot.get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.savefig(folder / f"simulate-{axis}.svg", metadata={"Date": None})
        plt.close(figure)
