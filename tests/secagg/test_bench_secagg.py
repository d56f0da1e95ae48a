"""The benchmark: what it measures is what is claimed, on cells small enough for a test."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition, parameters_subtraction
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from bench.contestants.flower_secagg import MOD, Flower
from bench.contestants.timing import in_turns, times

SCRIPT = Path(__file__).parents[2] / "bench" / "secagg.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("bench_secagg", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_cell_measures_both_contestants_and_opens_the_exact_sum(bench: ModuleType) -> None:
    cell = bench.compare(4, 1000, dropped=1, threads=1, flower=True)
    assert cell["exact"]
    assert cell["ratio"].keys() <= cell["ours_s"].keys()
    assert min(cell["ours_s"].values()) >= 0
    assert 0 < cell["bytes_up_besides_vector"] < cell["bytes_down"]


def test_a_bar_holds_on_its_own_side_of_the_bound(bench: ModuleType) -> None:
    assert bench.bar("speed", 8, 7, "higher")["holds"]
    assert not bench.bar("speed", 6, 7, "higher")["holds"]
    assert bench.bar("bytes", 6, 7, "lower")["holds"]
    assert not bench.bar("bytes", 8, 7, "lower")["holds"]


def test_contestants_run_in_turns_and_equally_often() -> None:
    done: list[str] = []
    measured = in_turns({"one": lambda: done.append("one"), "other": lambda: done.append("other")}, turns=2)
    assert done == ["one", "other"] + 2 * (3 * ["one"] + 3 * ["other"])
    assert {name: len(seconds) for name, seconds in measured.items()} == {"one": 2, "other": 2}
    assert times([1.0, 1.0, 2.0], [3.0, 9.0, 8.0]) == 4.0


def test_flowers_masks_are_its_own() -> None:
    """Taking off what the contestant put on, with Flower's own functions, gives its quantised update back."""
    contestant = Flower(3, 3, np.linspace(-1, 1, 50).astype(np.float32))
    quantised = contestant.quantised()
    bare = contestant.mask(list(quantised))
    shapes = [part.shape for part in quantised]
    for seed, undo in (
        (bytes(32), parameters_subtraction),
        (bytes([1]) * 32, parameters_subtraction),
        (bytes([2]) * 32, parameters_addition),
    ):
        bare = undo(bare, pseudo_rand_gen(seed, MOD, shapes))
    given = [part.astype(np.int64) % MOD for part in quantised]
    assert [(part % MOD).tolist() for part in bare] == [part.tolist() for part in given]
