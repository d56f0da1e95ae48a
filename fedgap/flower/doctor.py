"""`fedgap doctor`: whether this machine can do what a server or a participant does; nothing leaves it.

Loads Flower for nothing and torch only to ask for a GPU; so it can also say that one of them is missing.
"""

import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Literal
from urllib.request import getproxies

from fedgap import storage
from fedgap.crypto import Keystream, system
from fedgap.errors import FedgapError, MissingExtraError
from fedgap.flower import SILENCE
from fedgap.flower.finding import Finding, Found, tried
from fedgap.flower.meter import Machine, find_gpu_counter

Role = Literal["server", "client"]

PYTHON = (3, 11)
FLOWER = "1.41."
FEWEST_FILES = 256
LEAST_FREE_BYTES = 1 << 30
EARLIEST_YEAR = 2026
MASK_BYTES = 16 << 20


class UnfitMachineError(FedgapError):
    """This machine lacks something that is needed."""

    code = "doctor.unfit"
    remedy = "See docs/operations.md for a server and docs/participants.md for a participant."


def examine(role: Role, folder: Path) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    Args:
        role: what this machine is to do.
        folder: where it would keep its files.
    """
    attempts: tuple[tuple[str, Callable[[], Found]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("silence", _silence),
        ("processor", _processor),
        ("gpu", _gpu),
        ("memory", _memory),
        ("disk", lambda: _disk(folder)),
        ("files", _files),
        ("clock", _clock),
        ("energy", _energy),
        ("network", _listening if role == "server" else _outbound),
    )
    for name, attempt in attempts:
        yield tried(name, attempt)


def _python() -> Found:
    version = platform.python_version()
    if sys.version_info < PYTHON:
        raise UnfitMachineError(f"This is Python {version}.", remedy="Install Python 3.11 or newer.")
    where = f"{platform.system()} {platform.machine()}"
    return f"Python {version} on {where}", {"python": version, "system": where}


def _packages() -> Found:
    needed = {"torch": "torch", "flwr": "flower", "safetensors": "torch"}
    for module, extra in needed.items():
        if util.find_spec(module) is None:
            raise MissingExtraError(extra=extra, needed_for="A server or a participant")
    found = {name: metadata.version(name) for name in ("fedgap", "flwr", "torch", "cryptography", "numpy")}
    if not found["flwr"].startswith(FLOWER):
        remedy = "Run: pip install --upgrade 'fedgap[flower]' in an environment of its own."
        raise UnfitMachineError(f"Flower is {found['flwr']}; fedgap is made for {FLOWER}x.", remedy=remedy)
    return ", ".join(f"{name} {version}" for name, version in found.items()), found


def _silence() -> Found:
    loud = [name for name, value in SILENCE.items() if os.environ.get(name) != value]
    if loud:
        raise UnfitMachineError(f"{', '.join(loud)} would let Flower or Ray report home.")
    return "nothing phones home: Flower's and Ray's reports are off", {"switches": dict(SILENCE)}


def _processor() -> Found:
    stream = Keystream(system(32))
    began = time.process_time()
    stream.read(0, MASK_BYTES)
    rate = MASK_BYTES / max(time.process_time() - began, 1e-9)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cores} cores, {rate / 1e9:.1f} GB/s of masks each", {"cores": cores, "mask_bytes_per_second": round(rate)}


def _gpu() -> Found:
    if util.find_spec("torch") is None:
        return "torch is missing, which would know", {"gpus": []}
    from fedgap.learning.device import gpus  # noqa: PLC0415 - loads torch, which may be missing

    found = gpus()
    text = "; ".join(f"{name}, {size / 1e9:.0f} GB" for name, size in found) or "none; training uses the processor"
    return text, {"gpus": [{"name": name, "bytes": size} for name, size in found]}


def _memory() -> Found:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "this system does not tell", {"bytes": None}
    return f"{size / 1e9:.1f} GB", {"bytes": size}


def _disk(folder: Path) -> Found:
    storage.make_folder(folder)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise UnfitMachineError(f"{free / 1e9:.1f} GB are free at {folder}.", remedy="Free at least 1 GB.")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "secret"
        began = time.perf_counter()
        storage.replace(path, b"secret", mode=storage.PRIVATE)
        took = time.perf_counter() - began
        if path.stat().st_mode & 0o077:
            remedy = "Choose a folder on a file system that keeps permissions."
            raise UnfitMachineError(f"Files at {folder} cannot be kept from others.", remedy=remedy)
    return f"{free / 1e9:.1f} GB free; a durable write takes {took * 1e3:.1f} ms", {"free_bytes": free}


def _files() -> Found:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FEWEST_FILES:
        raise UnfitMachineError(f"Only {most} files may be open at once.", remedy="Run: ulimit -n 1024")
    return f"{most} files may be open at once", {"most": most}


def _clock() -> Found:
    now = time.gmtime()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", now)
    if now.tm_year < EARLIEST_YEAR:
        raise UnfitMachineError(f"The clock says {text}.", remedy="Set it: it may differ by at most 5 minutes.")
    return f"{text}; compare it with another clock: 5 minutes off, and the server refuses", {"utc": text}


def _energy() -> Found:
    joules = Machine(gpu=find_gpu_counter()).energy_joules()
    return "readable" if joules is not None else "not readable here; it is reported as unknown", {
        "readable": joules is not None
    }


def _outbound() -> Found:
    proxies = {name: address for name, address in getproxies().items() if name in {"https", "all", "no"}}
    shown = "a proxy is named" if "https" in proxies or "all" in proxies else "no proxy is named (HTTPS_PROXY)"
    text = f"one outbound HTTPS connection is all a participant needs; {shown}. Try it: fedgap client check"
    return text, {"proxy": bool({"https", "all"} & set(proxies))}


def _listening() -> Found:
    try:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
    except OSError as error:
        raise UnfitMachineError(f"No port can be opened on loopback ({error.strerror}).") from error
    return "ports can be opened", {"tried": port}
