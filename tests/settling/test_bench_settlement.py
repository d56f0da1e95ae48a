"""The benchmark: its small cells run, open the plain numbers, and stay within the promised error."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "settlement.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("bench_settlement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_cell_measures_every_step_and_opens_the_plain_numbers(bench: ModuleType) -> None:
    cell = bench.costs(4, 2000, rounds=2, repeats=1)
    assert cell["exact"]
    assert set(cell["cpu_ms_per_organisation_and_round"]) >= {"answer", "statement", "bases", "clearing"}
    assert cell["bytes_down_a_round"] > 2 * 2000


def test_the_error_is_that_of_the_opened_values(bench: ModuleType) -> None:
    found = bench.error(3, 200, rounds=4)
    assert 0 < found["error_of_largest"] < 0.01
    assert found["values_add_up"]


def test_a_bar_holds_on_its_own_side_of_the_bound(bench: ModuleType) -> None:
    assert bench.bar("ms", 14, 15, "lower")["holds"]
    assert not bench.bar("ms", 16, 15, "lower")["holds"]
    assert bench.bar("exact", 1, 1, "higher")["holds"]
