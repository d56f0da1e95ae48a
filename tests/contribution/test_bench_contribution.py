"""The benchmark: its worlds are the same everywhere, its estimators are given the truth to find, bars are fair."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.contestants import attacks
from bench.contestants.estimators import estimates, misallocated, play, positive, start_of
from bench.contestants.opened import opened
from bench.contestants.scenarios import DATA, MEMBERS, SCENARIOS, make

SCRIPT = Path(__file__).parents[2] / "bench" / "contribution.py"
DEVELOPMENT = {0, 1, 2, 3}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("bench_contribution", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("data", DATA)
def test_a_world_is_the_same_for_the_same_seed_and_shares_no_row_with_its_validation(data: str, scenario: str) -> None:
    one, two = make(data, scenario, 0), make(data, scenario, 0)
    held = {row.tobytes() for row in one.validation.x}
    for player, again in zip(one.players, two.players, strict=True):
        assert np.array_equal(player.x, again.x)
        assert np.array_equal(player.y, again.y)
        assert len(player.y) >= 3
        assert not held & {row.tobytes() for row in player.x} or data == "digits"  # digits holds equal images
    assert len(one.players) == MEMBERS
    assert one.everything.rows == one.validation.rows + one.fresh.rows


def test_mixed_holds_an_exact_duplicate_and_a_rider() -> None:
    world = make("wine", "mixed", 0)
    twin, duplicate = (world.players[world.roles[role]] for role in ("twin", "duplicate"))
    assert np.array_equal(twin.x, duplicate.x)
    assert np.array_equal(twin.y, duplicate.y)
    assert world.players[world.roles["rider"]].factor == 0


def test_one_run_finds_the_rider_and_treats_duplicates_alike() -> None:
    world = make("wine", "mixed", 0)
    found = estimates(world, 0)
    path = found["path"]
    assert path.shares[world.roles["rider"]] == 0
    assert path.shares[world.roles["twin"]] == pytest.approx(path.shares[world.roles["duplicate"]], abs=1e-9)
    assert misallocated(path.shares, found["truth"].values) < misallocated(found["size"].shares, found["truth"].values)
    assert misallocated(positive(found["truth"].values), found["truth"].values) == 0
    for entry in found.values():
        assert entry.shares.sum() == pytest.approx(1)


def test_a_cheat_is_worth_what_the_laws_say() -> None:
    found = attacks.table(make("wine", "sizes", 0), 0)
    assert found["zero rider"]["share_after"] == 0
    pair = found["colluding pair"]
    assert pair["share_before"] <= pair["share_after_capped"] + 1e-9 <= pair["share_after"] + 1e-9
    split = found["split into two names"]
    assert split["share_after_merged"] < split["share_after"]
    assert found["lying edge"] == {"named": 1, "others_apart": 0, "liar_gain": 0}


def test_the_opened_value_is_the_plain_one_but_for_the_rounding_of_directions() -> None:
    """And the opened numbers sum exactly in the ring."""
    world = make("wine", "sizes", 0)
    played = play(world, start_of(world, 0))
    found = opened(played, world, 20)
    assert found["largest_difference"] < 0.001
    assert found["sums_exactly"] == 1


def test_everybody_together_is_the_last_coalition() -> None:
    world = make("cancer", "sizes", 0)
    played = play(world, start_of(world, 0))
    assert len(played.rounds) == len(played.after) == 50
    for before, after in zip(played.rounds[1:], played.after, strict=False):
        assert np.array_equal(before.before, after)


def test_the_seeds_of_the_benchmark_were_not_used_in_development(bench: ModuleType) -> None:
    assert len(set(bench.SEEDS)) >= 5
    assert not set(bench.SEEDS) & DEVELOPMENT


def test_a_bar_holds_on_its_own_side_of_the_bound(bench: ModuleType) -> None:
    assert bench.bar("rank", 0.81, 0.8, "higher")["holds"]
    assert not bench.bar("rank", 0.79, 0.8, "higher")["holds"]
    assert bench.bar("paid", 0.0, 0, "lower")["holds"]
    assert not bench.bar("paid", 0.01, 0, "lower")["holds"]


@pytest.mark.slow
def test_the_quick_run_measures_every_bar(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SEEDS", (0,))
    found = bench.run(quick=True)
    assert len({row["name"] for row in found["bars"]}) == len(found["bars"]) >= 17
    assert next(row for row in found["bars"] if row["name"] == "opened values sum exactly in the ring")["holds"]
    assert {line["name"] for line in found["contestants"]} >= {"path", "FedSV", "GTG-Shapley", "size", "equal"}
