"""`fedgap doctor` looks at this machine, for people and for programs, and says what is missing."""

import json
from pathlib import Path

import pytest

from fedgap.flower import doctor
from tests.cli.command import Run

NAMES = ["python", "packages", "silence", "processor", "gpu", "memory", "disk", "files", "clock", "energy", "network"]


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_machine_that_runs_the_tests_is_fit(run: Run, role: str) -> None:
    ended = run("doctor", role, "--json")

    found = json.loads(ended.out)
    assert (ended.status, found["ok"]) == (0, True), found
    assert [finding["name"] for finding in found["findings"]] == NAMES


def test_people_read_a_line_for_each_finding(run: Run) -> None:
    ended = run("doctor")

    assert len(NAMES) == len([line for line in ended.out.splitlines() if line.startswith(" ok ")])


def test_what_is_missing_has_a_remedy_and_decides_the_status(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FLOWER", "0.1.")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    ended = run("doctor", "--json")

    wrong = {finding["name"]: finding["error"] for finding in json.loads(ended.out)["findings"] if not finding["ok"]}
    assert ended.status == 1
    assert wrong.keys() == {"packages", "silence"}
    assert "pip install" in wrong["packages"]["remedy"]


def test_a_folder_that_cannot_be_written_is_found(run: Run) -> None:
    ended = run("doctor", "--dir", "/proc/nowhere", "--json")

    wrong = [finding["name"] for finding in json.loads(ended.out)["findings"] if not finding["ok"]]
    assert (ended.status, wrong) == (1, ["disk"])


def test_another_role_is_refused(run: Run) -> None:
    assert run("doctor", "patient").status == 2


def test_nothing_of_a_look_stays_behind(run: Run, tmp_path: Path) -> None:
    run("doctor", "--dir", tmp_path / "place")

    assert list((tmp_path / "place").iterdir()) == []
