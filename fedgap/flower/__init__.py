"""Deployment on Flower: the server an operator runs and the client a participant runs. The only importer of flwr.

    server side   service (the command) -> federation_run (rounds) -> cohort (asks) -> superlink -> listener (TLS)
    client side   supervisor -> node (asks for work) -> application (answers) -> fedgap.secagg.participant

What the two have in common, and nothing else, is `contract` (the envelope of every message), `enrolment` (how an
organisation joins) and `course` (how plan and model follow from the sums, computed on both sides).

Importing this package turns off everything that Flower and Ray would report to their makers; it must happen before
flwr is imported, and every module of flwr is imported from below here.
"""

import ctypes
import os
from pathlib import Path

SILENCE = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
"""Read by Flower and Ray when they are imported."""

PIECE_BYTES = 960 << 10
"""Large messages travel in pieces of this size: with what stands around it a piece stays below 1 MiB, which reverse
proxies take by default (nginx: `client_max_body_size`). Flower's own are of 5 MB."""

os.environ.update(SILENCE)
os.environ["FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE"] = str(PIECE_BYTES)  # Flower has no other way to say it


_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""Numbers of glibc's malloc.h."""


def give_back_memory() -> None:
    """Let what is freed of a large model go back to the system at once, where the C library is glibc.

    The working process of a client is started with the same settings (`supervisor.MEMORY`). Without them the threads
    that answer calls keep several hundred megabytes that nobody uses.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 20)
        mallopt(_ARENA_MAX, 2)


def live_in(folder: Path) -> None:
    """Keep what Flower writes for itself (its home) inside a folder of ours; call before any other module here."""
    os.environ["FLWR_HOME"] = str(folder)
