"""A federation of real processes on loopback: a server and its participants, started with the commands people type.

Every process is watched: each address it reaches for is written down, so that a test can say that none was elsewhere.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.flower.serving import free_port
from tests.simulation import tiny

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120.0

WATCH = """
import os, socket, sys

def watch(event, arguments):
    if event == "socket.connect" and getattr(arguments[0], "family", None) != socket.AF_UNIX:
        with open(os.environ["WATCH_LOG"], "a") as log:
            log.write(f"{arguments[1][0]}\\n")
    if event == "socket.getaddrinfo":
        with open(os.environ["WATCH_LOG"], "a") as log:
            log.write(f"{arguments[0]}\\n")

sys.addaudithook(watch)
"""


def wait_until(what: Callable[[], object], *, seconds: float = PATIENCE_S) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not in time.
    """
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


@dataclass(slots=True)
class Running:
    """A command that runs, and every line it said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    on_line: Callable[[str], None] = lambda line: None  # noqa: ARG005 - by default nobody listens
    listener: threading.Thread | None = None

    def start(self) -> "Running":
        """Begin to listen."""
        self.listener = threading.Thread(target=self._read, daemon=True)
        self.listener.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self.on_line(line)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of a client that runs with --json."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [event for event in found if event.get("event") == kind]

    def stop(self) -> int:
        """Ask it to end, and wait; give its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if self.listener is not None:
            self.listener.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


@dataclass(slots=True)
class Stage:
    """A folder with a federation in it, and the processes that were started there.

    Attributes:
        inside: the command within which an organisation's own commands run; none: they run as they are.
    """

    folder: Path
    rounds: int
    port: int = field(default_factory=free_port)
    running: list[Running] = field(default_factory=list)
    inside: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "sitecustomize.py").write_text(WATCH)
        training = {"rounds": self.rounds, "lr": 0.1, "device": "cpu"}
        tiny.write(self.folder, training=training, secagg={"reply_timeout_s": 15.0})

    @property
    def orgs(self) -> list[str]:
        """Everybody."""
        return sorted(tiny.SIZES)

    @property
    def reached(self) -> set[str]:
        """Every address that any process reached for."""
        log = self.folder / "network.log"
        return set(log.read_text().split()) if log.exists() else set()

    def fedgap(self, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; every argument after the folder is set in its environment."""
        return subprocess.run(
            [*self.inside.get(cwd.name if cwd else "", ()), sys.executable, "-m", "fedgap", *arguments],
            cwd=cwd or self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def environment(self, **more: str) -> Mapping[str, str]:
        """What processes find around them: nothing of the test's own proxies or settings."""
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COLUMNS": "200"}
        return kept | {"PYTHONPATH": f"{self.folder}:{ROOT}", "WATCH_LOG": str(self.folder / "network.log")} | more

    def start(self, *arguments: str, cwd: Path | None = None, **more: str) -> Running:
        """Start a command that stays; every argument after the folder is set in its environment."""
        command = [*self.inside.get(cwd.name if cwd else "", ()), sys.executable, "-m", "fedgap", *arguments]
        process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(Running(process).start())
        return self.running[-1]

    def serve(self) -> Running:
        """Make the server's folder and start it."""
        address = f"https://127.0.0.1:{self.port}"
        listen = ("--host", "127.0.0.1", "--port", str(self.port))
        made = self.fedgap("server", "init", "server", "--address", address, *listen)
        assert made.returncode == 0, made.stderr
        plan = (self.folder / "federation.toml").read_text()
        without_data = "".join(line for line in plan.splitlines(keepends=True) if not line.startswith("data"))
        (self.folder / "server" / "federation.toml").write_text(without_data)
        server = self.start("server", "run", "server")
        wait_until(lambda: any("waiting" in line for line in server.lines))
        return server

    def invite(self, org: str) -> str:
        """Make an invitation."""
        made = self.fedgap("server", "invite", org, "--dir", "server", "--json")
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["invite"])

    def join(self, org: str, invite: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Join in a folder of its own, with the command of the README."""
        place = self.folder / org
        place.mkdir(exist_ok=True)
        (place / "rows.csv").write_bytes((self.folder / f"{org}.csv").read_bytes())
        arguments = ("client", "join", invite, "--data", "rows.csv", "--yes", "--json")
        return self.fedgap(*arguments, cwd=place, **more)

    def client(self, org: str, **more: str) -> Running:
        """Start a participant."""
        return self.start("client", "run", "--json", cwd=self.folder / org, **more)

    def status(self, org: str) -> dict[str, Any]:
        """What a participant says about itself."""
        found: dict[str, Any] = json.loads(self.fedgap("client", "status", "--json", cwd=self.folder / org).stdout)
        return found

    def simulated_sha256(self) -> str:
        """The model of the simulation of the same configuration, data and seed."""
        options = ("--engine", "sequential", "--protocol", "full", "--workers", "1", "--json")
        ended = self.fedgap("simulate", "federation.toml", *options)
        assert ended.returncode == 0, ended.stderr
        return str(json.loads(ended.stdout)["model_sha256"])

    def end(self) -> None:
        """End whatever still runs."""
        for one in reversed(self.running):
            one.stop()
