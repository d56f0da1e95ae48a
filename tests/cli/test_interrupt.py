"""Ctrl-C ends a simulation cleanly: a status of its own, no half-written file, no process left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.tiny import write


def processes(session: int) -> list[int]:
    """Every process of a session that is alive, from the process table."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,sess=,stat="], check=True, capture_output=True, text=True)  # noqa: S607 - wherever ps is
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, sess, state in rows if sess == str(session) and not state.startswith("Z")]


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until something holds, at most so long."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ps shows sessions as numbers on Linux only")
def test_ctrl_c_ends_with_3_and_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """The terminal sends the signal to every process of the command, workers included."""
    path = write(tmp_path, training={"rounds": 100_000}, baselines={"splits": 4})
    command = subprocess.Popen(
        [sys.executable, "-m", "fedgap", "simulate", str(path), "--workers", "2", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert within(90, lambda: len(processes(command.pid)) >= 5), "itself, tracker, fork server, two workers"
        time.sleep(1)
        os.killpg(command.pid, signal.SIGINT)
        out, err = command.communicate(timeout=60)
        left = not within(10, lambda: processes(command.pid) == [])
    finally:
        for process in processes(command.pid):
            os.kill(process, signal.SIGKILL)

    assert command.returncode == 3
    assert out == ""
    assert "run.interrupted: Interrupted." in err
    assert "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
    assert not left, "a process outlived the command"
