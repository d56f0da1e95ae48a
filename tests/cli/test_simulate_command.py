"""`fedgap simulate` as a person and as a program meet it: what it leaves, prints and refuses."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from fedgap.learning.parameters import digest
from tests.cli.command import Run, files, refused, simulated
from tests.simulation.tiny import SIZES, unexplained, write

FILES = ("ledger.sqlite", "model.safetensors", "report.html", "report.json")


def test_it_leaves_its_files_and_says_so(run: Run, tmp_path: Path) -> None:
    ended = run("simulate", write(tmp_path), "--workers", 1)

    tenths = "".join(f"3 organisations, 2 splits: {share} %\n" for share in range(10, 101, 10))
    assert (ended.status, ended.err) == (0, tenths)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(FILES)
    for name in FILES:
        assert f"out/{name}" in ended.out
    for name in SIZES:
        assert name in ended.out
    report = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)
    assert unexplained(report) == []
    assert (tmp_path / "out" / "report.html").read_text().lower().startswith("<!doctype html>")


def test_the_model_is_the_one_the_report_names(run: Run, tmp_path: Path) -> None:
    report = simulated(run, write(tmp_path), "--out", tmp_path / "deep" / "er")

    with safe_open(tmp_path / "deep" / "er" / "model.safetensors", framework="numpy") as file:
        assert digest(file.get_tensor("parameters")) == report["model_sha256"]
        described = file.metadata()
    assert described["task"] == "tabular-classification"
    assert json.loads(described["preprocessing"])["classes"] == ["no", "yes"]


def test_json_is_one_document_and_the_file_holds_the_same(run: Run, tmp_path: Path) -> None:
    report = simulated(run, write(tmp_path))

    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_the_seed_of_the_command_counts(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path)
    base, same, other = (simulated(run, path, *more)["model_sha256"] for more in ((), ("--seed", 1), ("--seed", 2)))

    assert base == same != other


def test_the_files_may_lie_elsewhere(run: Run, tmp_path: Path) -> None:
    path, elsewhere = write(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in SIZES:
        (tmp_path / f"{name}.csv").rename(elsewhere / f"{name}.csv")

    assert simulated(run, path, "--data", elsewhere)["federation"]["rows"] == sum(SIZES.values())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--engine", "flower"), "install.missing-extra"),
        (("--engine", "ray"), "engine.unavailable"),
        (("--engine", "magic"), "engine.unavailable"),
        (("--protocol", "magic"), "protocol.impossible"),
    ],
)
def test_what_this_version_does_not_have_is_refused(
    run: Run, tmp_path: Path, arguments: tuple[str, str], code: str
) -> None:
    ended = refused(run, write(tmp_path), *arguments)

    assert (ended.status, ended.err.partition(":")[0]) == (2, code)


def test_a_wrong_call_ends_with_2(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path)

    for wrong in (
        ("simulate",),
        ("simulate", path, "--seed", "-1"),
        ("simulate", path, "--nothing"),
        ("simulat", path),
    ):
        ended = run(*wrong)
        assert ended.status == 2
        assert ended.out == ""
        assert "Traceback" not in ended.err


def test_a_configuration_that_is_not_there_ends_with_2(run: Run, tmp_path: Path) -> None:
    ended = refused(run, tmp_path / "none.toml")

    assert (ended.status, ended.err.partition(":")[0]) == (2, "config.unreadable")


def test_an_error_is_one_document_for_a_program(run: Run, tmp_path: Path) -> None:
    ended = run("simulate", write(tmp_path, files=files(ash="")), "--json", "--workers", 1)

    assert ended.status == 1
    assert json.loads(ended.out)["error"]["code"] == "data.empty"
    assert set(json.loads(ended.out)["error"]) == {"code", "cause", "remedy"}


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(run: Run, tmp_path: Path, place: str) -> None:
    path = write(tmp_path, files=files(ash=""))
    ended = run("--debug", "simulate", path) if place == "before" else run("simulate", path, "--debug")

    assert ended.status == 1
    assert "Traceback" in ended.err
    assert "data.empty: " in ended.err


def test_an_internal_error_ends_with_4_and_asks_for_a_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a private value")

    path = write(tmp_path)
    monkeypatch.setattr("fedgap.storage.make_folder", broken)
    ended = run("simulate", path)

    assert ended.status == 4
    assert "RuntimeError" in ended.err
    assert "a private value" not in ended.err
    assert "--debug" in ended.err


def test_out_must_be_a_folder_that_can_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        ended = refused(run, write(tmp_path), "--out", out)
        assert (ended.status, ended.err.partition(":")[0]) == (1, "storage.write-failed")


def test_the_terminal_shows_what_each_contributed_or_why_that_is_not_known(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, behave={"cedar": "zero"})
    shown = run("simulate", path, "--workers", 1).out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    lines = {line.split()[0]: line.split() for line in shown.partition("share %")[2].splitlines() if line.split()}

    for entry in report["organisations"]:
        assert lines[entry["id"]][1] == f"{100 * entry['value']:.2f}"
    assert lines["cedar"][1:4] == ["0.00", "0.00..0.00", "0.0"]
    never = run("simulate", write(tmp_path, settlement={"periods": 0}), "--workers", 1).out
    assert "not known: settlement.periods is 0" in never
