"""Value, interval and share of a simulated federation: complete, exact where it can be, explained where it is null."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.rows import Rows
from fedgap.learning.stack_utility import StackUtility
from fedgap.learning.utility import NoRowsError
from fedgap.simulation import contribution, founded, shards
from fedgap.simulation.aggregate import aggregation
from fedgap.simulation.shards import chosen_rows
from tests.simulation.test_aggregate import ROWS, SIZE, settings, updates
from tests.simulation.tiny import REGRESSION, config, csv, needless, study, unexplained

CHEATS = {"zero": "zero", "flip": "flip", "copy": "copy:ash"}


def entries(report: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["id"]: entry for entry in report["organisations"]}


def files(*names: str) -> dict[str, str]:
    return {name: csv(24 + 8 * seed, seed) for seed, name in enumerate(names)}


@pytest.mark.parametrize("sections", [{}, REGRESSION, {"task": {"label": "y", "model": "mlp", "hidden": [4]}}])
def test_values_sum_to_the_gain_and_every_null_has_a_reason(tmp_path: Path, sections: Mapping[str, Any]) -> None:
    report = study(tmp_path, training={"rounds": 5, "lr": 0.3}, **sections).report
    whole = report["contribution"]
    values = [entry["value"] for entry in report["organisations"]]

    assert sum(values) + whole["gap"] == pytest.approx(whole["gain"], rel=1e-6)
    assert 1 <= whole["last_round"] <= 5
    if whole["last_round"] == 5:
        assert whole["gain"] == pytest.approx(report["utility"]["end"] - report["utility"]["start"], abs=1e-5)
    for entry in report["organisations"]:
        assert entry["value_ci95"][0] <= entry["value"] <= entry["value_ci95"][1]
    assert unexplained(report) == needless(report) == []


def test_shares_sum_to_one_and_cheats_get_what_they_deserve(tmp_path: Path) -> None:
    """An empty update is worth exactly 0; a negated one is not paid; a copy with the same rows gets the same."""
    report = study(
        tmp_path,
        files=files("ash", "birch", "zero", "flip"),
        behave=CHEATS,
        training={"rounds": 8, "lr": 0.3, "batch_size": 64},
    ).report
    found = entries(report)

    assert sum(entry["share"] for entry in found.values()) == pytest.approx(1)
    assert found["zero"]["value"] == 0
    assert found["zero"]["value_ci95"] == [0, 0]
    assert found["zero"]["share"] == found["flip"]["share"] == 0
    assert found["flip"]["value"] < 0
    assert any("lowered the utility" in note for note in found["flip"]["notes"])
    assert any("a fifth" in note for note in found["zero"]["notes"])
    assert any("too small" in note for note in report["notes"])
    assert found["copy"]["share"] == pytest.approx(found["ash"]["share"], abs=0.01)


def test_the_protocol_changes_no_value_by_a_bit(tmp_path: Path) -> None:
    def values(protocol: str) -> list[Any]:
        found = study(tmp_path, protocol=protocol).report["organisations"]
        return [(entry["value"], entry["value_ci95"], entry["share"]) for entry in found]

    assert values("full") == values("sum")


@pytest.mark.parametrize("optimizer", ["fedavgm", "fedadam", "fedadagrad", "fedyogi"])
def test_every_server_optimiser_is_attributed_in_a_simulation(tmp_path: Path, optimizer: str) -> None:
    report = study(tmp_path, server={"optimizer": optimizer, "lr": 0.1}, training={"rounds": 4}).report
    values = [entry["value"] for entry in report["organisations"]]

    assert sum(values) + report["contribution"]["gap"] == pytest.approx(report["contribution"]["gain"], abs=1e-9)


def test_two_organisations_and_uncapped_weights_are_attributed_too(tmp_path: Path) -> None:
    from fedgap.simulation.study import simulate  # noqa: PLC0415 - only here without --protocol

    chosen = config(tmp_path, files=files("ash", "birch"), server={"weights": "rows"})
    report = simulate(chosen, workers=1, engine="auto", protocol=None, progress=lambda _: None).report
    assert report["protocol"]["name"] == "plain"
    assert sum(e["value"] for e in report["organisations"]) == pytest.approx(report["contribution"]["gain"], rel=1e-6)


def test_never_settled_is_never_valued(tmp_path: Path) -> None:
    report = study(tmp_path, settlement={"periods": 0}).report

    assert {entry["value"] for entry in report["organisations"]} == {None}
    assert "settlement.periods" in report["organisations"][0]["reasons"]["value"]
    assert unexplained(report) == needless(report) == []


def test_several_periods_close_the_window_at_a_boundary(tmp_path: Path) -> None:
    report = study(tmp_path, settlement={"periods": 2}, training={"rounds": 20, "lr": 0.5}).report

    assert report["contribution"]["last_round"] in {10, 20}


def test_nobody_with_a_positive_value_leaves_nothing_to_share(tmp_path: Path) -> None:
    everyone = dict.fromkeys(("ash", "birch", "cedar"), "zero")
    report = study(tmp_path, files=files(*everyone), behave=everyone).report

    assert {entry["value"] for entry in report["organisations"]} == {0}
    assert {entry["share"] for entry in report["organisations"]} == {None}
    assert unexplained(report) == needless(report) == []


def test_updates_too_large_to_hold_have_values_without_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [(e["value"], e["share"]) for e in study(tmp_path).report["organisations"]]
    monkeypatch.setattr(contribution, "MOST_NUMBERS", 1)
    report = study(tmp_path).report

    assert [e["value"] for e in report["organisations"]] == pytest.approx([value for value, _ in kept], rel=1e-9)
    assert {e["value_ci95"] for e in report["organisations"]} == {None}
    assert unexplained(report) == needless(report) == []


@pytest.mark.parametrize("protocol", ["plain", "sum", "full"])
def test_the_parts_are_what_the_mean_is_the_sum_of(tmp_path: Path, protocol: str) -> None:
    adding = aggregation(protocol, replace(settings(tmp_path, clip_start=5.0)), ROWS, SIZE)
    state = server.begin(np.zeros(SIZE, np.float32))
    for number in (1, 2):
        added = adding.add(number, state, updates(number))
        parts = dict(added.parts())
        assert list(parts) == [OrgId(name) for name in ("a", "b", "c", "d")]
        assert np.sum(list(parts.values()), axis=0) == pytest.approx(added.mean, abs=1e-12)


def test_many_evaluation_rows_are_drawn_from_and_few_are_all_taken() -> None:
    many = Rows(np.arange(1000, dtype=np.float32)[:, None], np.zeros(1000, np.int64))
    drawn = chosen_rows(many, 1)

    assert len(drawn) == shards.MOST_ROWS
    assert len(set(drawn.x[:, 0].tolist())) == len(drawn)
    assert np.array_equal(drawn.x, chosen_rows(many, 1).x)
    assert len(chosen_rows(many.take(np.arange(9)), 1)) == 9


def test_a_utility_that_cannot_be_opened_is_a_reason_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NoRowsError("There are no validation rows.")

    monkeypatch.setattr(founded, "utility_of", refuse)
    report = study(tmp_path).report

    assert report["organisations"][0]["reasons"]["value"] == "There are no validation rows"
    assert unexplained(report) == needless(report) == []


def test_a_utility_that_fails_in_a_round_is_a_reason_and_the_simulation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StackUtility, "value", lambda *_: float("nan"))
    report = study(tmp_path).report

    assert "not finite" in report["organisations"][0]["reasons"]["value"]
    assert len(report["rounds"]) == 2
    assert unexplained(report) == needless(report) == []
