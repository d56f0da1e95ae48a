"""What left this building: one line for every message, durable before the message goes.

    {"time": ..., "to": ..., "purpose": ..., "round": 3, "attempt": 1, "bytes": 4128, "sha256": "..."}

`bytes` and `sha256` are of the message itself, as the journal keeps it, so that anyone on site can compare. What asks
for work and says "still here" carries no content; it is summed up in lines with the purpose `polling`.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from fedgap.flower.lines import append_line
from fedgap.storage import PRIVATE, StorageError

POLLING = "polling"


class EgressLog:
    """An append-only file of JSON lines; a line that a power cut or a full disk left incomplete harms no other."""

    def __init__(self, path: Path, *, to: str) -> None:
        self.path, self.to = path, to
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE)
        except OSError as error:
            raise StorageError(f"{path} cannot be written ({error.strerror}).") from error
        self._file = io.FileIO(handle, "r+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def note(self, purpose: str, content: bytes, **about: int | str) -> None:
        """Write down a message that is about to leave.

        Raises:
            StorageError: that is not possible; the message must not leave.
        """
        self._line({"purpose": purpose, **about, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    def note_polling(self, *, calls: int, size_bytes: int) -> None:
        """Write down how often the server was asked for work since the last such line, and with how many bytes."""
        if calls:
            self._line({"purpose": POLLING, "calls": calls, "bytes": size_bytes})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _line(self, entry: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            append_line(self._file, json.dumps({"time": now, "to": self.to, **entry}).encode())
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written ({error.strerror}).") from error


def read_egress(path: Path) -> Iterator[dict[str, Any]]:
    """Read the log back, line by line; an incomplete line is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
