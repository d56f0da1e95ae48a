"""Environments of their own for contestants that fedgap does not depend on."""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = {"flower": "flwr[simulation]", "pfl-research": "pfl[pytorch]"}
"""What each contestant needs on top of this environment, which it sees: the same torch, the same numpy."""

LONGEST_S = 900


class MissingError(Exception):
    """An environment cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with a contestant's package."""

    python: Path


def environment(name: str, folder: Path) -> Environment:
    """Make a contestant's environment below `folder`, or take the one that is there.

    Raises:
        MissingError: it cannot be made, for instance because no package index can be reached.
    """
    home = folder / name
    python = home / "bin" / "python"
    ready = home / "ready"
    if ready.exists():
        return Environment(python)
    here = sysconfig.get_paths()["purelib"]
    _run([sys.executable, "-m", "venv", "--without-pip", str(home)], "venv cannot make an environment")
    inside = next((home / "lib").glob("python*")) / "site-packages"
    (inside / "ours.pth").write_text(f"{here}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", REQUIREMENTS[name]]
    _run(pip, f"pip cannot install {REQUIREMENTS[name]}")
    ready.touch()
    return Environment(python)


def _run(command: list[str], otherwise: str) -> None:
    try:
        ended = subprocess.run(command, check=False, capture_output=True, timeout=LONGEST_S)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{otherwise} ({type(error).__name__})") from error
    if ended.returncode != 0:
        raise MissingError(f"{otherwise} (status {ended.returncode})")
