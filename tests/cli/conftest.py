"""The command, ready to be run."""

from pathlib import Path

import pytest

from tests.cli.command import Run, command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `fedgap` in this process, in a folder of its own."""
    return command(monkeypatch, capsys, tmp_path)
