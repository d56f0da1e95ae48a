"""Watches over the working process of a site: starts it, hands on what it says, starts it again if it dies.

This process imports neither Flower nor torch, holds no key once the other has it, and is what systemd sees.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedgap.config.site import load_site
from fedgap.errors import FedgapError
from fedgap.flower import SILENCE, live_in
from fedgap.flower.child import WRONG_USE
from fedgap.flower.membership import SiteFolder, now_text

RESTART_S = (1.0, 2.0, 5.0, 10.0, 30.0)
QUICK_DEATH_S = 10.0
MOST_QUICK_DEATHS = 5
MOST_LOG_BYTES = 20 << 20
END_S = 15.0
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_ARENA_MAX": "2"}
"""For glibc: what is freed of a large model goes back to the system at once."""
PASSPHRASE = "FEDGAP_PASSPHRASE"  # noqa: S105 - the name of a variable
"""Where a passphrase may stand; it is handed on through a pipe, not through the environment."""

Tell = Callable[[dict[str, Any]], None]


class DyingClientError(FedgapError):
    """The working process dies again and again as soon as it starts."""

    code = "client.dies"

    def __init__(self, log: Path) -> None:
        super().__init__("The client's working process dies as soon as it starts.", remedy=f"Look into {log}.")


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Runs one site.

    Attributes:
        site: path of site.toml.
        passphrase: of its keys, if they are sealed.
        tell: told every event of the working process.
    """

    site: Path
    passphrase: str | None = field(repr=False)
    tell: Tell
    _process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Keep the site at work until it is stopped or the federation has ended; then say so, now and every time.

        Raises:
            InUseError: another client works with its folder.
            FedgapError: whatever the working process says a person must see to.
        """
        folder = SiteFolder(load_site(self.site).folder)
        folder.membership()
        deaths = 0
        if folder.ended.exists():
            return self.tell({"event": "ended"})
        with folder.alone():
            folder.tidy()
            live_in(folder.flower)
            while True:
                began = time.monotonic()
                status, last = self._once(folder)
                if status == 0:
                    folder.note_status(state="ended" if folder.ended.exists() else "stopped", since=now_text())
                    return None
                if status == WRONG_USE and last.get("event") == "failed":
                    folder.note_status(state="stopped", since=now_text(), reason=last.get("cause"))
                    raise as_error(last)
                deaths = deaths + 1 if time.monotonic() - began < QUICK_DEATH_S else 1
                if deaths > MOST_QUICK_DEATHS:
                    raise DyingClientError(folder.log)
                pause = RESTART_S[min(deaths, len(RESTART_S)) - 1]
                self._hand_on(folder, {"event": "restarting", "status": status, "seconds": pause})
                time.sleep(pause)

    def stop(self) -> None:
        """End the working process; it says goodbye to the server."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _once(self, folder: SiteFolder) -> tuple[int, dict[str, Any]]:
        """Run the working process until it ends; give its exit status and the last thing it said."""
        receive, send = os.pipe()
        environment = {name: value for name, value in os.environ.items() if name != PASSPHRASE} | SILENCE | MEMORY
        command = [sys.executable, "-P", "-m", "fedgap.flower.child", str(self.site), str(send)]
        _rotate(folder.log)
        last: dict[str, Any] = {}
        with folder.log.open("ab") as log:
            folder.log.chmod(0o600)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=(send,), env=environment
            )
            os.close(send)
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - asked for above; tells mypy
        with os.fdopen(receive, "rb") as events:
            try:
                with suppress(BrokenPipeError):
                    stdin.write(json.dumps(self.passphrase).encode() + b"\n")
                    stdin.flush()
                for line in events:
                    with suppress(ValueError):  # a line that its writer's death left incomplete
                        last = json.loads(line)
                        self._hand_on(folder, last)
                return self._process.wait(), last
            finally:
                self.stop()
                with suppress(BrokenPipeError):
                    stdin.close()

    def _hand_on(self, folder: SiteFolder, event: dict[str, Any]) -> None:
        with folder.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"time": now_text(), **event}) + "\n")
        self.tell(event)


def as_error(event: dict[str, Any]) -> FedgapError:
    """Make the error again that the working process met."""
    kind = type("ClientError", (FedgapError,), {"code": str(event["code"]), "exit_status": int(event["status"])})
    error: FedgapError = kind(str(event["cause"]), remedy=str(event["remedy"]))
    return error


def _rotate(log: Path) -> None:
    """Keep one older log, so that the two never fill a disk."""
    if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
