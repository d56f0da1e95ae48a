"""The benchmark: its contestants train the same, and its bars say what was measured."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bench.contestants import centralised, environments, fedgap_engines, plain_loop, products, running
from bench.contestants.cells import CNN, MLP, RAGGED, TEN, workload_of
from bench.contestants.environments import MissingError, environment
from bench.contestants.gap_report import GapReport
from bench.contestants.running import FailedError, Run, least
from bench.contestants.workload import Cell, Clock, load

SCRIPT = Path(__file__).parents[2] / "bench" / "simulate.py"
SMALL = {
    "mlp": replace(MLP, clients=12, cohort=5, rounds=3),
    "ragged": replace(RAGGED, clients=12, cohort=5, rounds=3, rows=(3, 40)),
    "ten": replace(TEN, rounds=2, rows=(10, 30)),
    "cnn": replace(CNN, clients=3, cohort=3, rounds=2, rows=(10, 20), shape=(1, 8, 8), hidden=(4, 6)),
}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("bench_simulate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cell", SMALL.values(), ids=list(SMALL))
def test_every_engine_ends_with_the_plain_loop_s_weights(cell: Cell, tmp_path: Path) -> None:
    """From the file, as a contestant in a process of its own would."""
    workload_of(cell).save(tmp_path / "workload.npz")
    work = load(tmp_path / "workload.npz")
    assert work.cell == cell
    expected, clock = plain_loop.run(work, Clock()), Clock()
    engines = ("sequential",) if cell.convolutional else ("closed-form", "stacked-manual", "stacked-autograd")
    for name in engines:
        np.testing.assert_allclose(fedgap_engines.run(work, name, clock), expected, rtol=0, atol=1e-5)
    assert len(clock.cpu) == cell.rounds * len(engines)
    assert not np.allclose(expected, work.start)


def test_central_training_meets_every_row_of_a_round_once_in_one_large_batch_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload_of(SMALL["ragged"]).save(tmp_path / "workload.npz")
    work, met = load(tmp_path / "workload.npz"), []
    monkeypatch.setattr(centralised, "train", lambda _, __, x, y, batch: met.append((x.numpy(), y.numpy(), batch)))
    centralised.run(work, Clock())

    for (x, y, batch), cohort in zip(met, work.cohorts, strict=True):
        expected = [work.rows(client) for client in cohort]
        assert batch == 5 * 16
        np.testing.assert_array_equal(np.sort(np.concatenate([own for own, _ in expected]), axis=0), np.sort(x, axis=0))
        assert np.concatenate([own for _, own in expected]).sum() == y.sum()


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_bare_products_are_those_of_the_steps_that_organisations_take(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer by layer, for as many as have a step left."""
    workload_of(SMALL["ragged"]).save(tmp_path / "workload.npz")
    work, calls = load(tmp_path / "workload.npz"), []
    whole = products.Layer.products

    def noted(layer: products.Layer, by: products.Product, take: products.Take, active: int, *, first: bool) -> None:
        calls.append((active, first))
        whole(layer, by, take, active, first=first)

    monkeypatch.setattr(products.Layer, "products", noted)
    clock = Clock()
    products.run(work, library, clock)

    expected = []
    for cohort in work.cohorts:
        steps = [-(-len(work.rows(client)[1]) // 16) for client in cohort]
        for step in range(max(steps)):
            expected += [(sum(of > step for of in steps), first) for first in (True, False)]
    assert expected == calls
    assert len(clock.cpu) == work.cell.rounds


def test_a_contestant_is_run_and_says_what_it_needed(tmp_path: Path) -> None:
    workload_of(SMALL["mlp"]).save(tmp_path / "workload.npz")
    one = running.run("plain_loop.py", str(tmp_path / "workload.npz"))

    assert one.cpu_ms > 0
    assert one.first_round_s > one.first_round_cpu_s / 2 > 0
    assert one.peak_mb > 10
    assert one.figures(5, one.model)["difference"] == 0
    with pytest.raises(FailedError, match="status 1"):
        running.run("plain_loop.py", str(tmp_path / "none.npz"))


def figures(cpu_ms: float) -> dict[str, float]:
    """A contestant's entry."""
    one = Run(
        cpu_ms=cpu_ms, wall_ms=1, first_round_s=0.5, first_round_cpu_s=0.3, peak_mb=80, model=np.zeros(3, np.float32)
    )
    return one.figures(10, np.full(3, 1e-5, np.float32))


def cell(bench: ModuleType, name: str, **cpu_ms: float) -> dict[str, Any]:
    """A measured cell."""
    found = {key: figures(value) for key, value in cpu_ms.items()}
    return {"cell": name, "contestants": found, "ratios": bench.ratios(found), "failed": {}}


def test_bars_are_ratios_of_what_was_measured_and_leave_out_what_was_not(bench: ModuleType) -> None:
    ours = {"closed-form": 2.0, "stacked-manual": 4.0}
    cells = [
        cell(bench, "mlp", **{"plain loop": 100.0, **ours}),
        cell(bench, "logistic", **{"plain loop": 50.0, "flower": 700.0, **ours}),
        cell(bench, "ragged", **{"plain loop": 28.0, "centralised": 1.9, **ours}),
        cell(bench, "ten small", **{"plain loop": 26.0, "centralised": 1.6, **ours}),
        cell(bench, "cnn", **{"plain loop": 30.0, "sequential-channels-last": 20.0, "processes": 25.0}),
    ]
    rows = {row["name"]: (row["value"], row["holds"]) for row in bench.bars(cells)}

    assert rows["mlp: times as fast as plain loop, one core"] == (50, True)
    assert rows["logistic: times as fast as flower, one core"] == (350, True)
    assert rows["ragged: times as fast as plain loop, one core"] == (14, False)
    assert rows["ragged: cost in units of training one model centrally"] == (pytest.approx(2 / 1.9), True)
    assert rows["ten small: cost in units of training one model centrally"] == (pytest.approx(1.25), False)
    assert rows["cnn: times as fast as plain loop, two processes"] == (pytest.approx(1.2), False)
    assert rows["tabular: peak memory, MB"] == (80, True)
    assert "mlp: times as fast as flower, one core" not in rows


def test_our_cost_is_told_in_units_of_central_training_and_of_the_bare_products(bench: ModuleType) -> None:
    cost = {"closed-form": 3.0, "stacked-manual": 5.0, "centralised": 6.0, "products numpy": 2.0, "products torch": 1.5}
    told = bench.ratios({name: figures(cpu_ms) for name, cpu_ms in cost.items()})

    assert told == {"in units of training one model centrally": 0.5, "of the bare products": 2.0}
    assert bench.ratios({"plain loop": figures(1.0)}) == {}


def test_the_whole_report_has_bars_of_twenty_seconds_and_of_twelve_of_processor_time(bench: ModuleType) -> None:
    both = [GapReport(wall_s=19.0, cpu_s=12.5), GapReport(wall_s=21.0, cpu_s=9.0)]

    assert [[row["holds"] for row in bench.report_bars(one)] for one in both] == [[True, False], [False, True]]


def test_contestants_run_with_the_kernels_that_libraries_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    monkeypatch.setenv("KEPT", "yes")

    assert "OPENBLAS_CORETYPE" not in running.own_kernels()
    assert running.own_kernels()["KEPT"] == "yes"
    assert running.blas() not in {"", "unknown", "Nehalem"}


def test_different_weights_and_failures_are_bars_that_fail(bench: ModuleType) -> None:
    wrong = cell(bench, "mlp", **{"plain loop": 1.0, "closed-form": 1.0})
    wrong["contestants"]["closed-form"]["difference"] = 0.01
    wrong["failed"] = {"flower": "it said nothing"}
    cells = [wrong, *(cell(bench, name, **{"plain loop": 1.0}) for name in ("logistic", "ragged", "ten small", "cnn"))]
    failing = {row["name"] for row in bench.bars(cells) if not row["holds"]}

    assert {"mlp: largest difference of final weights", "mlp: contestants that failed"} <= failing


def test_the_least_disturbed_run_counts() -> None:
    one = Run(cpu_ms=3.0, wall_ms=1, first_round_s=1, first_round_cpu_s=1, peak_mb=1, model=np.zeros(1, np.float32))
    assert least([one, replace(one, cpu_ms=2.0)]).cpu_ms == 2.0


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "REQUIREMENTS", {"flower": str(tmp_path / "no-such-package")})

    with pytest.raises(MissingError, match="pip cannot install"):
        environment("flower", tmp_path)
    (tmp_path / "pfl-research").mkdir()
    (tmp_path / "pfl-research" / "ready").touch()
    assert environment("pfl-research", tmp_path).python == tmp_path / "pfl-research" / "bin" / "python"
