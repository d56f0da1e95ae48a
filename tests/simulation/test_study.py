"""A whole simulation: a complete report without a gap, the same for the same seed, and honest about cheats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning import engines
from fedgap.learning.engines import EngineUnavailableError, check_engine
from fedgap.simulation import study as studies
from fedgap.simulation.contenders import Split
from fedgap.simulation.sites import SplitSites, load_sites, open_task, split_sites
from fedgap.simulation.study import Study, steps
from fedgap.simulation.tuning import Choice
from tests.simulation.tiny import REGRESSION, SIZES, config, csv, needless, study, unexplained

CONTENDERS = ("local", "federated", "personalised", "pooled")
TIMES = ("seconds", "cpu_seconds", "wall_seconds")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The plain federation."""
    return study(tmp_path_factory.mktemp("honest"))


def without_times(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same report but for what a clock says."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def rows_of_split(made: FederationConfig, number: int) -> SplitSites:
    """Who trains and tests on what in one split."""
    task = open_task(made)
    return split_sites(made, task, load_sites(made, task), number)


def test_the_report_has_everything_the_design_promises(honest: Study) -> None:
    report = honest.report

    assert set(report) >= {"federation", "metric", "utility", "rounds", "organisations", "mean", "model_sha256"}
    assert report["metric"] == {"name": "accuracy", "better": "higher"}
    assert set(report["utility"]) == {"name", "start", "end"}
    assert [entry["round"] for entry in report["rounds"]] == [1, 2]
    for entry in report["rounds"]:
        assert set(entry) >= {"round", "participants", "utility", "loss", "seconds", "bytes_up", "bytes_down"}
        assert entry["participants"] == sorted(SIZES)
        assert entry["bytes_up"] >= 4 * honest.model.size * len(SIZES)
    assert report["utility"]["end"] == report["rounds"][-1]["utility"]
    assert set(report["mean"]) >= {*CONTENDERS, "gap_closed"}
    assert honest.facts is not None
    assert report["ledger_root"] == honest.facts.root.hex()
    assert len(report["model_sha256"]) == 64


def test_every_organisation_has_its_whole_entry(honest: Study) -> None:
    wanted = {"id", "rows", *CONTENDERS, "gap", "gap_closed", "verdict", "value", "value_ci95", "share", "baselines"}
    metered = {"gpu_seconds", "cpu_seconds", "wall_seconds", "peak_bytes", "energy_joules"}

    assert {entry["id"]: entry["rows"] for entry in honest.report["organisations"]} == SIZES
    for entry in honest.report["organisations"]:
        assert set(entry) >= wanted | {"metered"}
        assert set(entry["metered"]) == metered
        assert entry["train_rows"] + entry["test_rows"] == entry["rows"]
        assert entry["verdict"] in {"join", "neutral", "stay-out", "too-little-data"}
        assert entry["verdict_reason"]
        for name in CONTENDERS:
            low, high = entry[name]["ci95"]
            assert 0 <= low <= high <= 1
            assert set(entry[name]["metrics"]) == {"balanced_accuracy", "auc", "brier", "calibration_error"}
            assert 0 <= entry[name]["common"]["metric"] <= 1
        assert entry["gap"] == pytest.approx(entry["pooled"]["metric"] - entry["local"]["metric"])
    for kind in ("size", "equal"):
        assert sum(entry["baselines"][kind] for entry in honest.report["organisations"]) == pytest.approx(1)


def test_no_number_is_missing_without_a_reason(honest: Study) -> None:
    """And the report is JSON without NaN or infinity."""
    json.dumps(honest.report, allow_nan=False)

    assert unexplained(honest.report) == []
    assert needless(honest.report) == []


def test_the_walker_over_reasons_can_fail(honest: Study) -> None:
    report = json.loads(json.dumps(honest.report))
    report["utility"]["end"] = None
    report["organisations"][1]["local"]["metrics"]["auc"] = None
    report["organisations"][0]["reasons"]["gap"] = "no reason at all"

    assert unexplained(report) == ["utility.end", "birch: local.metrics.auc"]
    assert needless(report) == ["ash: gap"]


def test_the_mean_is_that_of_the_organisations(honest: Study) -> None:
    for name in CONTENDERS:
        expected = np.mean([entry[name]["metric"] for entry in honest.report["organisations"]])
        assert honest.report["mean"][name] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_report(honest: Study, tmp_path: Path) -> None:
    again = study(tmp_path)

    assert again.report["model_sha256"] == honest.report["model_sha256"]
    assert again.model.tobytes() == honest.model.tobytes()
    assert without_times(again.report) == without_times(honest.report)


def test_the_whole_protocol_gives_the_model_of_the_sums_without_masks(honest: Study, tmp_path: Path) -> None:
    """Bit for bit; and what travels is more than the bare vectors."""
    masked = study(tmp_path, protocol="full")

    assert masked.report["model_sha256"] == honest.report["model_sha256"]
    assert masked.report["mean"] == honest.report["mean"]
    assert masked.report["rounds"][0]["bytes_up"] > honest.report["rounds"][0]["bytes_up"] > 0


def test_another_seed_gives_another_model(honest: Study, tmp_path: Path) -> None:
    other = study(tmp_path, federation={"seed": 2})

    assert other.report["model_sha256"] != honest.report["model_sha256"]


def test_two_processes_find_what_one_finds(honest: Study, tmp_path: Path) -> None:
    """To the last digit, but for the times."""
    assert without_times(study(tmp_path, workers=2).report) == without_times(honest.report)


def test_progress_is_told_as_often_as_announced(tmp_path: Path) -> None:
    told: list[int] = []
    made = config(tmp_path)
    studies.simulate(made, workers=1, engine="auto", protocol="sum", progress=told.append)

    assert sum(told) == steps(made)


def test_the_order_of_the_organisations_in_the_file_does_not_matter(honest: Study, tmp_path: Path) -> None:
    files = {name: csv(n, seed) for seed, (name, n) in enumerate(SIZES.items())}
    turned = study(tmp_path, files=dict(reversed(files.items())))

    assert turned.report["model_sha256"] == honest.report["model_sha256"]
    assert turned.report["organisations"][0]["id"] == "ash"


@pytest.mark.parametrize("split", ["random", "stratified"])
def test_nothing_that_is_trained_or_chosen_depends_on_test_rows(tmp_path: Path, split: str) -> None:
    """The numbers in the test rows change; models, choices and recommendations stay, and only scores move."""
    plan: dict[str, Any] = {"splits": 1, "split": split, "tune_federation": True}
    files = {}
    for org, positions in rows_of_split(config(tmp_path, baselines=plan), 0).test_index.items():
        lines = csv(SIZES[org], list(SIZES).index(org)).splitlines()
        for row in positions.tolist():
            a, b, c, y = lines[1 + row].split(",")
            lines[1 + row] = f"{-float(a)},{-float(b)},{c},{y}"
        files[str(org)] = "\n".join(lines) + "\n"
    before = study(tmp_path, baselines=plan).report
    after = study(tmp_path, files=files, baselines=plan).report

    assert before["model_sha256"] == after["model_sha256"]
    assert before["chosen"] == after["chosen"]
    for one, other in zip(before["organisations"], after["organisations"], strict=True):
        assert one["chosen"] == other["chosen"]
        assert one["recommended"] == other["recommended"]
        assert one["personalised"]["accepted"] == other["personalised"]["accepted"]
    assert before["mean"] != after["mean"]


def test_a_regression_is_reported_in_its_own_units(tmp_path: Path) -> None:
    report = study(tmp_path, **REGRESSION).report

    assert report["metric"]["name"] == "R2"
    assert set(report["organisations"][0]["local"]["metrics"]) == {"mae", "rmse"}
    assert unexplained(report) == []
    assert needless(report) == []


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**80], ids=["moles", "atoms"])
def test_the_unit_of_a_target_changes_no_score(tmp_path: Path, unit: float) -> None:
    """A power of two, so that every standardised target keeps its bits."""
    files = {name: csv(n, seed, kind="regression") for seed, (name, n) in enumerate(SIZES.items())}
    other = {}
    for name, text in files.items():
        head, *lines = text.splitlines()
        cells = [line.split(",") for line in lines]
        other[name] = "\n".join([head, *(",".join([*row[:-1], repr(unit * float(row[-1]))]) for row in cells)]) + "\n"
    (tmp_path / "other").mkdir()
    one = study(tmp_path, files=files, **REGRESSION).report
    two = study(tmp_path / "other", files=other, **REGRESSION).report

    assert one["mean"] == two["mean"]
    assert [entry["gain"] for entry in one["organisations"]] == [entry["gain"] for entry in two["organisations"]]
    rmse = [report["organisations"][0]["pooled"]["metrics"]["rmse"] for report in (one, two)]
    assert rmse[1] == unit * rmse[0]


def test_enough_training_beats_guessing(tmp_path: Path) -> None:
    """Cheap insurance against a report that is complete and wrong."""
    report = study(tmp_path, training={"rounds": 20, "lr": 0.5}, baselines={"epochs": 20}).report

    assert report["mean"]["common"]["federated"] > 0.8
    assert report["mean"]["common"]["pooled"] > 0.8
    assert report["utility"]["end"] > report["utility"]["start"]


def test_a_federation_in_which_nobody_sends_an_update_does_not_move(tmp_path: Path) -> None:
    everyone = study(tmp_path, behave=dict.fromkeys(SIZES, "zero")).report

    assert everyone["utility"]["start"] == everyone["utility"]["end"]
    assert [entry["behave"] for entry in everyone["organisations"]] == ["zero"] * 3


@pytest.mark.parametrize("behave", ["zero", "flip", "noise:1.0"])
def test_a_cheat_changes_the_common_model_and_not_the_others_own(honest: Study, tmp_path: Path, behave: str) -> None:
    report = study(tmp_path, behave={"cedar": behave}).report

    assert report["model_sha256"] != honest.report["model_sha256"]
    for one, other in zip(report["organisations"][:2], honest.report["organisations"][:2], strict=True):
        assert one["local"] == other["local"]


def test_wrong_labels_hurt(tmp_path: Path) -> None:
    """With every label wrong at the largest organisation the federation gets worse than without."""
    settings: dict[str, Any] = {"training": {"rounds": 20, "lr": 0.5}, "baselines": {"splits": 3}}
    good, bad = (study(tmp_path, behave=behave, **settings).report for behave in ({}, {"cedar": "noise:1.0"}))

    assert bad["mean"]["common"]["federated"] < good["mean"]["common"]["federated"] - 0.1


def test_a_copy_has_the_rows_of_the_one_it_copies(tmp_path: Path) -> None:
    """The same training and test rows in every split; they are not counted twice as data."""
    made = config(tmp_path, behave={"twin": "copy:birch"})
    for number in (0, 1):
        rows = rows_of_split(made, number)
        twin, birch = rows.training(OrgId("twin"), "federated"), rows.training(OrgId("birch"), "federated")
        assert rows.test_index[OrgId("twin")].tolist() == rows.test_index[OrgId("birch")].tolist()
        assert (twin.x.tobytes(), twin.y.tobytes()) == (birch.x.tobytes(), birch.y.tobytes())
    report = study(tmp_path, behave={"twin": "copy:birch"}).report

    assert report["federation"]["rows"] == sum(SIZES.values())
    assert report["federation"]["organisations"] == 4
    assert unexplained(report) == []


@pytest.mark.parametrize("engine", ["flower", "x"])
def test_engines_that_are_not_offered_are_refused(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's is offered by the commands, and only there."""
    monkeypatch.delitem(engines.OFFERED, "flower", raising=False)
    with pytest.raises(EngineUnavailableError) as caught:
        check_engine(engine)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("engine", ["auto", "sequential", "stacked"])
def test_the_engines_of_this_version_are_accepted(engine: str) -> None:
    check_engine(engine)


def test_recommendations_compare_losses_in_the_same_units(tmp_path: Path) -> None:
    """A regression's targets are standardised by everyone's deviation in the federation, and by its own alone."""
    chosen = config(tmp_path, **REGRESSION)
    task = open_task(chosen)
    sites = load_sites(chosen, task)
    rows = split_sites(chosen, task, sites, 0)
    split = Split(chosen, sites, rows, lambda: None)
    stays = Choice(lr=0.1, length=0, losses=np.ones(1))
    for org in split.names:
        ratio = rows.target_scale("alone", org)[1] / rows.target_scale("federated", org)[1]
        alone = Choice(lr=0.1, length=1, losses=np.full(3, 2.0))
        for factor, best in ((0.99, "federated"), (1.01, "alone")):
            federated = np.full(3, 2.0 * factor * ratio**2)
            assert split._recommend(org, alone, federated, stays) == best


def test_the_utility_is_observed_on_the_evaluation_rows_even_if_these_lack_a_class(tmp_path: Path) -> None:
    """The model has an output for every class that is trained on, whichever rows it is watched on."""
    files = {org: "a,y\n" + "".join(f"{row % 3 + row / 100},{'xyz'[row % 3]}\n" for row in range(12)) for org in SIZES}
    (tmp_path / "watched.csv").write_text("a,y\n0.1,x\n1.2,y\n0.3,x\n")
    watched = {"source": "public", "data": "watched.csv"}

    found = study(tmp_path, files=files, evaluation=watched, training={"rounds": 30, "lr": 1.0}).report

    assert found["federation"]["parameters"] == 2 * 3
    assert found["utility"]["end"] == found["rounds"][-1]["utility"] > found["utility"]["start"]
    assert unexplained(found) == []
