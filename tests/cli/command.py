"""Running `fedgap` in this process, and what must hold whenever it succeeds or refuses."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fedgap import cli
from tests.simulation.tiny import SIZES, csv, needless, unexplained


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Make the function that runs `fedgap` in this process, in a folder of its own."""

    def once(*arguments: object) -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["fedgap", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

    return once


def simulated(run: Run, path: Path, *more: object) -> dict[str, Any]:
    """Simulate with --json; the run must succeed and its report must be whole."""
    ended = run("simulate", path, "--json", "--workers", 1, *more)
    assert ended.status == 0, ended.err
    report: dict[str, Any] = json.loads(ended.out, parse_constant=pytest.fail)
    assert unexplained(report) == []
    assert needless(report) == []
    return report


def refused(run: Run, path: Path, *more: object) -> Ended:
    """Simulate; the run must fail with one line of code, cause and remedy, and leave no file."""
    ended = run("simulate", path, "--workers", 1, *more)
    assert ended.out == ""
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    assert "internal" not in ended.err.lower()
    code, _, rest = lines[0].partition(": ")
    assert code.count(".") == 1
    assert rest.count(".") >= 2, "cause and remedy are sentences"
    assert not list((path.parent / "out").glob("*"))
    return ended


def files(**changed: str | bytes) -> Mapping[str, str | bytes]:
    """The three usual files, some in another form."""
    return {name: csv(n, seed) for seed, (name, n) in enumerate(SIZES.items())} | changed
