"""What each organisation has at home: its rows, split and prepared, with wrong labels where a simulation wants them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgap.config import FederationConfig, parse_federation
from fedgap.ids import OrgId
from fedgap.learning.images import ImageTask
from fedgap.learning.task import DataError
from fedgap.simulation.sites import (
    SplitSites,
    TaskNotFoundError,
    check_files,
    load_sites,
    open_task,
    split_plan,
    split_sites,
)
from tests.simulation.tiny import REGRESSION, SIZES, config, csv

CEDAR = OrgId("cedar")


def split(made: FederationConfig) -> SplitSites:
    """The organisations under the first split."""
    task = open_task(made)
    return split_sites(made, task, load_sites(made, task), 0)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_noise_relabels_the_share_it_names(tmp_path: Path, share: float) -> None:
    """Other rows, all inputs, the test rows and the other organisations stay as they are."""
    honest, noisy = split(config(tmp_path)), split(config(tmp_path, behave={"cedar": f"noise:{share}"}))
    before, after = (one.training(CEDAR, "federated") for one in (honest, noisy))

    assert (before.y != after.y).sum() == round(share * len(before))
    assert set(after.y.tolist()) <= {0, 1}
    assert before.x.tobytes() == after.x.tobytes()
    tests = [one.testing(CEDAR, "federated", CEDAR).y.tolist() for one in (honest, noisy)]
    assert tests[0] == tests[1]
    assert honest.training(OrgId("ash"), "federated").y.tolist() == noisy.training(OrgId("ash"), "federated").y.tolist()


def test_noise_is_the_same_in_every_view_and_every_time(tmp_path: Path) -> None:
    made = split(config(tmp_path, behave={"cedar": "noise:0.4"}))

    labels = [made.training(CEDAR, view).y.tolist() for view in ("federated", "alone", "pooled", "federated")]
    assert labels.count(labels[0]) == 4


def test_noise_gives_a_regression_the_targets_of_other_rows(tmp_path: Path) -> None:
    honest, noisy = (split(config(tmp_path, behave=behave, **REGRESSION)) for behave in ({}, {"cedar": "noise:0.5"}))
    before, after = (one.training(CEDAR, "federated").y for one in (honest, noisy))

    assert sorted(before.tolist()) == sorted(after.tolist())
    assert (before != after).sum() == round(0.5 * len(before))


def test_an_organisation_with_one_class_can_be_relabelled(tmp_path: Path) -> None:
    files = {name: csv(n, seed) for seed, (name, n) in enumerate(SIZES.items())}
    files["cedar"] = files["cedar"].replace("yes", "no")
    made = split(config(tmp_path, files=files, behave={"cedar": "noise:1.0"}))

    assert set(made.training(CEDAR, "federated").y.tolist()) == {1}


@pytest.mark.parametrize(("statistics", "mean"), [("federated", "shared"), ("local", "own")])
def test_each_view_has_the_statistics_it_is_named_after(tmp_path: Path, statistics: str, mean: str) -> None:
    """An organisation far from the others: its own mean makes its rows centred, everyone's does not."""
    files = {"ash": csv(20, 0), "cedar": csv(20, 1, distance=9.0)}
    made = split(config(tmp_path, files=files, task={"statistics": statistics}))
    centre = {view: abs(float(made.training(CEDAR, view).x.mean())) for view in ("federated", "alone")}

    assert centre["alone"] < 1e-5
    assert (centre["federated"] < 1e-5) == (mean == "own")


def test_a_model_of_ash_meets_cedars_rows_as_ash_would_prepare_them(tmp_path: Path) -> None:
    files = {"ash": csv(20, 0), "cedar": csv(20, 1, distance=9.0)}
    made = split(config(tmp_path, files=files))

    at_ash, at_cedar = (made.testing(CEDAR, "alone", OrgId(at)).x.mean() for at in ("ash", "cedar"))
    assert at_ash > 5
    assert abs(at_cedar) < 1
    same = [made.testing(CEDAR, "federated", OrgId(at)).x.tobytes() for at in ("ash", "cedar")]
    assert same[0] == same[1]


def test_statistics_come_from_training_rows_only(tmp_path: Path) -> None:
    """A monstrous number in a test row changes no mean."""
    made = split(config(tmp_path))
    place = 1 + int(made.test_index[CEDAR][0])
    lines = csv(SIZES["cedar"], 2).splitlines()
    lines[place] = "1e9,1e9,1e9," + lines[place].rpartition(",")[2]
    files = {name: csv(n, seed) for seed, (name, n) in enumerate(SIZES.items())} | {"cedar": "\n".join(lines) + "\n"}
    other = split(config(tmp_path, files=files))

    assert made.training(CEDAR, "federated").x.tobytes() == other.training(CEDAR, "federated").x.tobytes()
    assert made.testing(CEDAR, "federated", CEDAR).x.tobytes() != other.testing(CEDAR, "federated", CEDAR).x.tobytes()


def test_classes_keep_their_share_unless_it_says_otherwise(tmp_path: Path) -> None:
    def stratified(**wanted: Any) -> bool:  # noqa: ANN401 - passed on
        made = config(tmp_path, **wanted)
        return split_plan(made, open_task(made)).stratified

    assert stratified()
    assert not stratified(baselines={"split": "random"})
    assert not stratified(**REGRESSION)


def test_check_files_loads_every_file_and_trains_nothing(tmp_path: Path) -> None:
    rows, wrong = check_files(config(tmp_path, behave={"twin": "copy:ash"}))

    assert rows == SIZES
    assert wrong == []


def test_check_files_lists_every_file_that_is_wrong(tmp_path: Path) -> None:
    rows, wrong = check_files(config(tmp_path, files={"ash": "", "birch": csv(9, 0), "cedar": "a,b\n"}))

    assert rows == {"birch": 9}
    assert [type(error).__name__ for error in wrong] == ["EmptyFileError", "WrongColumnsError"]


def test_check_files_finds_files_that_do_not_fit_together(tmp_path: Path) -> None:
    files = {"ash": csv(9, 0), "birch": csv(9, 1).replace("a,b,c", "a,b,d")}
    _, wrong = check_files(config(tmp_path, files=files))

    assert [isinstance(error, DataError) for error in wrong] == [True]


def test_the_task_of_images_is_found(tmp_path: Path) -> None:
    made = config(tmp_path, federation={"task": "image-classification"}, task={"label": None, "model": "cnn"})

    assert isinstance(open_task(made), ImageTask)
    assert np.isfinite(made.task.model_dump()["scale"])


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("os:system", {"command": "echo > called"}),
        ("subprocess:Popen", {"args": ["touch", "called"]}),
        ("builtins:open", {"file": "called", "mode": "w"}),
    ],
)
def test_a_plan_that_names_something_else_than_a_task_does_not_get_it_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, options: dict[str, Any]
) -> None:
    """The plan comes from an operator: a participant must not run a function of its choice with its arguments."""
    monkeypatch.chdir(tmp_path)
    document = {
        "federation": {"id": "odd", "task": task, "seed": 1},
        "task": options,
        "training": {"rounds": 1, "epochs": 1, "lr": 0.1},
        "organisation": [{"id": name} for name in SIZES],
    }
    made = parse_federation(document, base=tmp_path, name="told", deployed=True)

    with pytest.raises(TaskNotFoundError):
        open_task(made)
    assert list(tmp_path.iterdir()) == []
