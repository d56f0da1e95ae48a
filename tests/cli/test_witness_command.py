"""`fedgap witness`: a key for the plan, and no signature for what is no case."""

import json
import stat
from pathlib import Path

import pytest

from fedgap.config.protocol import Evaluation
from tests.cli.command import command


def test_a_key_is_made_once_and_its_line_fits_the_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = command(monkeypatch, capsys, tmp_path)
    first, again = (json.loads(run("witness", "init", "mine", "--json").out) for _ in range(2))
    shown = run("witness", "init", "mine").out

    assert first == again
    assert f'witness = "{first["public"]}"' in shown
    assert "[evaluation]" in shown
    assert Evaluation(source="witness", witness=first["public"]).reveal == "never"
    assert stat.S_IMODE((tmp_path / "mine" / "witness.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("missing", ["case", "mine/witness.key", "rows.csv"])
def test_what_is_missing_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, missing: str
) -> None:
    run = command(monkeypatch, capsys, tmp_path)
    run("witness", "init", "mine")
    for name in ("case", "rows.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / missing).unlink()
    ended = run("witness", "sign", "case", "--key", "mine/witness.key", "--rows", "rows.csv", "--task", "any")

    assert ended.status == 2
    assert missing in ended.err


def test_what_is_no_case_is_not_signed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = command(monkeypatch, capsys, tmp_path)
    run("witness", "init", "mine")
    for name in ("period-1.case", "rows.csv"):
        (tmp_path / name).write_text("x")
    ended = run("witness", "sign", "period-1.case", "--key", "mine/witness.key", "--rows", "rows.csv", "--task", "any")

    assert ended.status == 1
    assert ended.err.startswith("witness.refused")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "period-1.case", "rows.csv"]
