"""`fedgap bench`: finds the repository's scripts, passes on what follows, and ends as they end."""

import sys
from pathlib import Path

import pytest

from fedgap.cli import bench
from tests.cli.command import Run


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks in place of the repository's."""
    folder = tmp_path / "bench"
    folder.mkdir()
    monkeypatch.setattr(bench, "FOLDER", folder)
    return folder


def test_every_benchmark_of_the_repository_is_found() -> None:
    root = Path(__file__).resolve().parents[2]

    assert root / "bench" == bench.FOLDER
    assert (bench.FOLDER / "flamby_heart.py").exists()


@pytest.mark.parametrize("status", [0, 1])
def test_a_benchmark_gets_its_arguments_and_its_status_is_the_commands(run: Run, scripts: Path, status: int) -> None:
    """1: a bar does not hold."""
    written = scripts / "arguments"
    (scripts / "quick.py").write_text(
        f"import pathlib, sys\npathlib.Path({str(written)!r}).write_text(' '.join(sys.argv[1:]))\nsys.exit({status})\n"
    )

    assert run("bench", "quick", "--json", "--seeds", 3).status == status
    assert written.read_text() == "--json --seeds 3"


def test_peers_are_told_not_to_report_home(run: Run, scripts: Path) -> None:
    written = scripts / "told"
    (scripts / "peer.py").write_text(
        f"import os, pathlib\npathlib.Path({str(written)!r}).write_text(os.environ['FLWR_TELEMETRY_ENABLED'])\n"
    )

    assert run("bench", "peer").status == 0
    assert written.read_text() == "0"


def test_an_unknown_benchmark_is_refused_with_those_there_are(run: Run, scripts: Path) -> None:
    (scripts / "secagg.py").touch()
    ended = run("bench", "sekagg")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.strip() == "usage.wrong: There is no benchmark 'sekagg'. There are: secagg."


def test_an_installed_package_without_the_repository_says_so(run: Run, scripts: Path) -> None:
    assert list(scripts.iterdir()) == []
    ended = run("bench", "secagg")

    assert ended.status == 2
    assert ended.err.startswith("bench.no-scripts: ")
    assert sys.executable not in ended.err
