"""What a command prints cannot always be printed: the disk is full, the reader has gone, the place is no file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Run
from tests.ledger.tale import Tale

FEDGAP = f"{sys.executable} -m fedgap"
full_device = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line as somebody types it."""
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=300)


@full_device
@pytest.mark.parametrize("more", ["", " --json"])
def test_an_output_that_cannot_be_written_is_told_in_one_line_and_is_no_defect(more: str) -> None:
    ended = shell(f"{FEDGAP} config explain training{more} >/dev/full")

    assert ended.returncode == 1
    assert ended.stderr.startswith("system.refused: The system refused to go on: No space left on device. Check")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["export", "show --json"])
def test_a_reader_that_has_gone_is_told_nothing(tmp_path: Path, command: str) -> None:
    """`| head` closes the pipe; the ledger is closed before the entries that nobody reads any more."""
    path = tmp_path / "ledger.sqlite"
    Tale().write(path)
    ended = shell(f"{{ {FEDGAP} ledger {command} {path}; echo $? >&2; }} | true")

    assert ended.stderr == "1\n"


def test_a_narrow_terminal_wraps_a_table_and_loses_no_column(tmp_path: Path) -> None:
    """At 40 columns the names and the verdicts were left out and digits cut off."""
    path = tmp_path / "ledger.sqlite"
    Tale().write(path)
    narrow, usual = (
        shell(f"COLUMNS={columns} {FEDGAP} ledger show {path} --kind RosterAgreed").stdout for columns in (40, 80)
    )

    assert "RosterAgreed" in narrow
    assert "organisations (" in narrow
    assert "\u2026" not in narrow
    assert narrow.split() == usual.split()


@pytest.mark.parametrize("name", ["pipe", "folder"])
def test_an_output_file_takes_the_place_of_a_file_only(run: Run, tmp_path: Path, name: str) -> None:
    """A device that a name leads to is not replaced by a file."""
    path = tmp_path / "ledger.sqlite"
    Tale().write(path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    ended = run("ledger", "export", path, "--out", tmp_path / name)

    assert (ended.status, ended.err.partition(":")[0]) == (1, "storage.write-failed")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "ledger.sqlite", "pipe"]
