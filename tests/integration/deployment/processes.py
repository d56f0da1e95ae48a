"""A federation of real processes on loopback: the commands an operator and its participants type, over TLS."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.flower.serving import free_port, without_data
from tests.simulation.tiny import SIZES, write

ROOT = Path(__file__).parents[3]
PATIENCE_S = 600


def environment() -> dict[str, str]:
    """What our processes see: this checkout, one thread, no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def fedgap(*words: object, cwd: Path | None = None) -> dict[str, Any]:
    """Run a command with --json and give its document, whatever its exit status; that is under `exit`."""
    command = [sys.executable, "-m", "fedgap", *map(str, words), "--json"]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment(), timeout=PATIENCE_S, check=False
    )
    assert ended.stdout, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found | {"exit": ended.returncode}


@dataclass(slots=True)
class Deployment:
    """A folder with a simulation's files, a server and a site for each organisation.

    Attributes:
        folder: where.
        rounds: T.
        wait_s: how long the server waits for organisations.
        sections: other settings of the federation (see `tests.simulation.tiny.write`).
        files: content of each organisation's file, if not those of `tiny`.
        roster_changes: what sites do about newcomers (see site.toml).
    """

    folder: Path
    rounds: int = 2
    wait_s: float = 600.0
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    roster_changes: str = "ask"
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    address: str = ""

    def __post_init__(self) -> None:
        (self.folder / "simulated").mkdir()
        self.server.mkdir(exist_ok=True)
        sections: dict[str, Any] = {"training": {"rounds": self.rounds}, "secagg": {"reply_timeout_s": 60.0}}
        sections["baselines"] = {"splits": 1}
        sections |= self.sections
        federation = write(self.folder / "simulated", self.files, **sections)
        (self.server / "federation.toml").write_text(without_data(federation))
        port = free_port()
        self.address = f"https://localhost:{port}"
        made = fedgap("server", "init", self.server, "--host", "127.0.0.1", "--port", port, "--address", self.address)
        assert made["exit"] == 0, made

    @property
    def server(self) -> Path:
        """The server's folder."""
        return self.folder / "server"

    @property
    def names(self) -> list[str]:
        """The organisations."""
        return sorted(SIZES if self.files is None else self.files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        if kind is not None:
            for name in self.running:
                sys.stderr.write(f"--- {name}\n{self.log(name)[-2000:]}\n")

    def start_server(self, *more: str) -> None:
        """Run the server in the background."""
        self._start("server", "server", "run", str(self.server), "--wait", str(self.wait_s), *more)
        self.until(lambda: "listening" in self.log("server"))

    def join(self, name: str) -> dict[str, Any]:
        """Invite an organisation and let it join, with a copy of the simulation's file."""
        text = fedgap("server", "invite", name, "--dir", self.server)["invite"]
        site = self.folder / name
        site.mkdir(exist_ok=True)
        shutil.copy(self.folder / "simulated" / f"{name}.csv", site / "data.csv")
        joined = fedgap("client", "join", text, "--data", "data.csv", "--yes", cwd=site)
        settings = (site / "site.toml").read_text()
        changed = settings.replace('# roster_changes = "ask"', f'roster_changes = "{self.roster_changes}"')
        (site / "site.toml").write_text(changed)
        return joined

    def start_client(self, name: str) -> None:
        """Run a site in the background until all rounds are done."""
        self._start(name, "client", "run", cwd=self.folder / name)

    def start_all(self) -> None:
        """Server, joins, sites."""
        self.start_server()
        for name in self.names:
            joined = self.join(name)
            assert joined["exit"] == 0, joined
            self.start_client(name)

    def wait_for(self, name: str) -> int:
        """Wait until a process ends; give its exit status."""
        return self.running[name].wait(PATIENCE_S)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a process, by default without a chance to say goodbye."""
        self.running[name].send_signal(number)
        self.running[name].wait(60)

    def log(self, name: str) -> str:
        """What a process has printed so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def asked(self, name: str) -> list[tuple[int, int, str]]:
        """What a site was asked so far, in order: round, attempt, purpose."""
        path = self.folder / name / "fedgap-site" / "client.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [(one["round"], one["attempt"], one["purpose"]) for one in found if one["event"] == "asked"]

    def peak_bytes(self, name: str) -> int:
        """The most memory that a process, or one that it started, had at once so far."""
        pid = self.running[name].pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return max(map(_peak_bytes, (pid, *children)))

    def status(self) -> dict[str, Any]:
        """What the server says about itself."""
        return json.loads((self.server / "state" / "status.json").read_bytes())  # type: ignore[no-any-return]  # JSON

    def sums(self) -> int:
        """How many rounds are finished."""
        return len(list((self.server / "state" / "sums").glob("*.bin")))

    def until(self, holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait for something."""
        end = time.monotonic() + patience_s
        while not holds():
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.02)

    def model_sha256(self) -> str:
        """The model that the server has written."""
        from safetensors.numpy import load_file  # noqa: PLC0415 - only here

        from fedgap.learning.parameters import digest  # noqa: PLC0415 - loads torch

        return digest(load_file(self.server / "model" / "model.safetensors")["parameters"])

    def simulated_sha256(self) -> str:
        """The model of a simulation of the same configuration, data and seed."""
        out = self.folder / "simulated" / "out"
        federation = self.folder / "simulated" / "federation.toml"
        found = fedgap(
            "simulate", federation, "--engine", "sequential", "--protocol", "full", "--out", out, "--workers", 1
        )
        return str(found["model_sha256"])

    def _start(self, name: str, *words: str, cwd: Path | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "fedgap", *words], stdout=log, stderr=log, cwd=cwd, env=environment()
            )


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
