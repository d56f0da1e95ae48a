"""Ctrl-C, or a killed worker, ends a simulation cleanly: a status, no half-written file, no process left."""

import builtins
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedgap.__main__
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


def running(folder: Path) -> "subprocess.Popen[str]":
    """Start a long simulation with two workers in a session of its own, and wait until both are there."""
    path = write(folder, training={"rounds": 100_000}, baselines={"splits": 4})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    command = subprocess.Popen(
        [sys.executable, "-m", "fedgap", "simulate", str(path), "--workers", "2", "--out", str(folder / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    assert within(90, lambda: len(processes(command.pid)) >= 5), "itself, tracker, fork server, two workers"
    time.sleep(1)
    return command


def ended(command: "subprocess.Popen[str]", hurt: Callable[[], None]) -> tuple[str, str, bool]:
    """Hurt the command; return what it printed, and whether every process of it has ended."""
    try:
        hurt()
        out, err = command.communicate(timeout=60)
        return out, err, within(10, lambda: processes(command.pid) == [])
    finally:
        for process in processes(command.pid):
            os.kill(process, signal.SIGKILL)


on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ps shows sessions as numbers on Linux only")


@on_linux
def test_ctrl_c_ends_with_3_and_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """The terminal sends the signal to every process of the command, workers included."""
    command = running(tmp_path)
    out, err, gone = ended(command, lambda: os.killpg(command.pid, signal.SIGINT))

    assert (command.returncode, out) == (3, "")
    assert "run.interrupted: Interrupted." in err
    assert "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
    assert gone, "a process outlived the command"


def test_ctrl_c_while_the_command_loads_ends_with_3_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and tables take a second to load, in which nothing has begun."""
    usual = builtins.__import__

    def interrupted(name: str, *more: Any, **named: Any) -> Any:  # noqa: ANN401 - as the built-in one
        if name == "fedgap" and "cli" in (more[2] if len(more) > 2 else ()):
            raise KeyboardInterrupt
        return usual(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        fedgap.__main__.main()
    assert ended.value.code == 3


@on_linux
def test_a_killed_worker_is_named_and_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """As the system does when memory runs out: the youngest process is a worker."""
    command = running(tmp_path)
    out, err, gone = ended(command, lambda: os.kill(max(processes(command.pid)), signal.SIGKILL))

    assert (command.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith("run.worker-died: ")
    assert "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
    assert gone, "a process outlived the command"


@on_linux
def test_workers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    """Nobody is left to tell them."""
    command = running(tmp_path)
    _, err, gone = ended(command, command.kill)

    assert "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
    assert gone, "a worker outlived the command"
