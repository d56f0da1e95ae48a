"""Every kind of awkward data: refused in one line with a code, or survived and reported; never a NaN in a report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import Run, files, refused, simulated
from tests.simulation.tiny import REGRESSION, SIZES, csv, write

HEADER = "a,b,c,y\n"
USUAL = csv(20, 1)
WRONG_DATA: Mapping[str, tuple[str | bytes, str]] = {
    "empty file": ("", "data.empty"),
    "column names only": (HEADER, "data.no-rows"),
    "infinite feature": (USUAL + "1,inf,0,yes\n", "data.infinite"),
    "feature beyond any float": (USUAL + "1,1e999,0,yes\n", "data.infinite"),
    "text in a numeric column": (USUAL + "1,two,0,yes\n", "data.not-a-number"),
    "no label in a row": (USUAL + "1,2,0,\n", "data.missing-label"),
    "label that is NaN": (USUAL + "1,2,0,nan\n", "data.missing-label"),
    "another column name": (USUAL.replace("a,b,c,y", "a,b,d,y"), "data.different-columns"),
    "no column of the label": (USUAL.replace("a,b,c,y", "a,b,c,z"), "data.wrong-columns"),
    "bytes that are no UTF-8": (USUAL.encode() + "1,2,0,jä\n".encode("latin-1"), "data.not-utf8"),
    "a row that is too short": (USUAL + "1,2\n", "data.not-a-table"),
}


@pytest.mark.parametrize("name", WRONG_DATA)
def test_data_that_cannot_be_used_are_refused_in_one_line(run: Run, tmp_path: Path, name: str) -> None:
    content, code = WRONG_DATA[name]
    ended = refused(run, write(tmp_path, files=files(birch=content)))

    assert (ended.status, ended.err.partition(":")[0]) == (1, code)
    assert "birch.csv" in ended.err
    for cell in ("two", "jä", "1e999"):
        assert cell not in ended.err, "a cell of a private row is shown"


def test_a_label_that_is_not_finite_is_refused_in_a_regression(run: Run, tmp_path: Path) -> None:
    targets = {name: csv(n, seed, kind="regression") for seed, (name, n) in enumerate(SIZES.items())}
    for cell, code in (("inf", "data.infinite"), ("nan", "data.missing-label"), ("high", "data.not-a-number")):
        path = write(tmp_path, files=targets | {"birch": targets["birch"] + f"1,2,3,{cell}\n"}, **REGRESSION)
        assert refused(run, path).err.startswith(f"{code}: ")


def test_a_federation_with_one_class_only_is_refused(run: Run, tmp_path: Path) -> None:
    ended = refused(run, write(tmp_path, files={k: str(v).replace("yes", "no") for k, v in files().items()}))

    assert (ended.status, ended.err.partition(":")[0]) == (1, "data.one-class")


def test_a_missing_file_is_refused(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "cedar.csv").unlink()

    assert refused(run, path).err.startswith("data.missing-file: ")


def test_two_organisations_with_one_name_or_one_file_are_refused(run: Run, tmp_path: Path) -> None:
    text = write(tmp_path).read_text()
    for wrong in (text.replace('id = "birch"', 'id = "ash"'), text.replace("birch.csv", "ash.csv")):
        (tmp_path / "federation.toml").write_text(wrong)
        ended = refused(run, tmp_path / "federation.toml")
        assert (ended.status, ended.err.partition(":")[0]) == (2, "config.invalid")


SURVIVED: Mapping[str, tuple[Mapping[str, str | bytes], str]] = {
    "a class missing at an organisation": (files(ash=csv(12, 0).replace("yes", "no")), "No training row here has"),
    "a constant column": (
        {name: "\n".join(",".join(["7" if i and j == 1 else cell for j, cell in enumerate(line.split(","))])
                         for i, line in enumerate(str(text).splitlines())) + "\n"
         for name, text in files().items()},
        "The same number in every training row",
    ),
    "missing numbers": (files(ash=csv(12, 0) + "nan,,0,yes\n,1,2,no\n" * 4), "missing numbers count as the mean"),
    "one row": (files(ash=csv(1, 5)), "more inputs than rows"),
    "two rows": (files(ash=csv(2, 5)), "more inputs than rows"),
    "a class that one row only has": (files(ash=csv(12, 0) + "1,1,1,maybe\n"), "maybe"),
}  # fmt: skip


@pytest.mark.parametrize("name", SURVIVED)
def test_awkward_data_are_survived_and_reported(run: Run, tmp_path: Path, name: str) -> None:
    content, words = SURVIVED[name]
    report = simulated(run, write(tmp_path, files=content, baselines={"splits": 3}))

    notes = " ".join(note for entry in report["organisations"] for note in entry["notes"])
    assert words in notes


def test_an_organisation_without_test_rows_gets_no_score_and_a_reason(run: Run, tmp_path: Path) -> None:
    report = simulated(run, write(tmp_path, baselines={"train_rows": 12}))
    ash = report["organisations"][0]

    assert ash["test_rows"] == 0
    assert ash["local"]["metric"] is None
    assert ash["local"]["common"]["metric"] is not None
    assert ash["verdict"] in {"join", "too-little-data"}
    assert ash["reasons"]["local.metric"]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_federation_without_any_test_row_is_survived(run: Run, tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, federation={"task": f"tabular-{kind}"}, baselines={"train_rows": 500})
    report = simulated(run, path)

    assert report["utility"]["start"] is None
    assert report["reasons"]["utility.start"]
    assert report["mean"]["federated"] is None
    assert {entry["verdict"] for entry in report["organisations"]} == {"too-little-data"}
    assert run("simulate", path, "--workers", 1).status == 0, "also as words and as a page"


def test_a_regression_whose_targets_are_all_equal_somewhere_is_survived(run: Run, tmp_path: Path) -> None:
    """R2 has no meaning there; the other organisations' rows still have a score."""
    targets = {name: csv(n, seed, kind="regression") for seed, (name, n) in enumerate(SIZES.items())}
    flat = "\n".join(
        line if i == 0 else line.rpartition(",")[0] + ",5" for i, line in enumerate(targets["ash"].splitlines())
    )
    report = simulated(run, write(tmp_path, files=targets | {"ash": flat + "\n"}, **REGRESSION))

    assert report["organisations"][0]["local"]["metric"] is None
    assert report["organisations"][1]["local"]["metric"] is not None


def test_more_features_than_rows_are_survived(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    header = ",".join([*(f"f{i}" for i in range(40)), "y"])

    def wide(n: int) -> str:
        return "\n".join([header, *(",".join([*map(str, rng.normal(size=40)), "yn"[i % 2]]) for i in range(n))]) + "\n"

    report = simulated(run, write(tmp_path, files={"ash": wide(6), "birch": wide(9)}))
    assert "more inputs than rows" in " ".join(report["organisations"][0]["notes"])


def test_a_category_that_only_test_rows_have_is_survived(run: Run, tmp_path: Path) -> None:
    """Each row of the last organisation has a level of its own, so those of its test rows are unknown."""

    def named(name: str, n: int) -> str:
        lines = str(files()[name]).splitlines()[: n + 1]
        return "\n".join(f"{line},{'k' if i == 0 else f'{name}{i}'}" for i, line in enumerate(lines)) + "\n"

    path = write(tmp_path, files={name: named(name, n) for name, n in SIZES.items()}, task={"categorical": ["k"]})
    notes = " ".join(note for entry in simulated(run, path)["organisations"] for note in entry["notes"])

    assert "names without an input of their own count as no level" in notes


def test_training_that_runs_away_is_refused(run: Run, tmp_path: Path) -> None:
    targets = {name: csv(n, seed, kind="regression") for seed, (name, n) in enumerate(SIZES.items())}
    ended = refused(run, write(tmp_path, files=targets, training={"lr": 1e30}, **REGRESSION))

    assert (ended.status, ended.err.partition(":")[0]) == (1, "learning.diverged")
