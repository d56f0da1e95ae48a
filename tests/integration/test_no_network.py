"""A simulation talks to nobody: no process of it opens a connection, whatever libraries it loads."""

import json
import subprocess
import sys
from pathlib import Path

from tests.simulation.tiny import write

WATCH = """
import os, socket, sys

def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        if event != "socket.getaddrinfo" and getattr(arguments[0], "family", None) == socket.AF_UNIX:
            return  # how the worker processes are started
        with open(os.environ["WATCH_LOG"], "a") as log:
            log.write(f"{event} {arguments[1:]!r}\\n")

sys.addaudithook(watch)
"""


def run_watched(folder: Path, *command: str) -> list[str]:
    """Run Python with every process of it watched; return what reached for the network."""
    (folder / "sitecustomize.py").write_text(WATCH)
    log = folder / "network.log"
    environment = {
        "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}",
        "WATCH_LOG": str(log),
        "PATH": "/usr/bin:/bin",
    }
    ended = subprocess.run([sys.executable, *command], env=environment, cwd=folder, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return log.read_text().splitlines() if log.exists() else []


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    """Otherwise the test below could not fail."""
    reach = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"

    assert run_watched(tmp_path, "-c", reach) == ["socket.connect (('127.0.0.1', 9),)"]


def test_a_simulation_opens_no_connection(tmp_path: Path) -> None:
    federation = write(tmp_path)
    arguments = ("-m", "fedgap", "simulate", str(federation), "--workers", "2", "--out", str(tmp_path / "out"))

    assert run_watched(tmp_path, *arguments) == []
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rounds"]
