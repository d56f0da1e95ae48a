"""Files that are either whole or absent: written beside their place, flushed to disk, then renamed over it."""

import errno
import os
import tempfile
from pathlib import Path

from fedgap.errors import FedgapError


class StorageError(FedgapError):
    """A file could not be written; what stood there before is unchanged."""

    code = "storage.write-failed"
    remedy = "Check that the folder exists, is writable and has free space; then run the command again."


class DiskFullError(StorageError):
    """There is no room left; what stood there before is unchanged."""

    code = "storage.disk-full"
    remedy = "Free some space or choose another folder with --out; then run the command again."


def make_folder(path: Path) -> None:
    """Create `path` and its parents if they are missing.

    Raises:
        StorageError: something else stands there, or it is not allowed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {path} cannot be created ({error.strerror}).") from error


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old bytes or the new ones, never a part.

    Raises:
        DiskFullError: no room.
        StorageError: any other failure of the file system.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"No space left to write {path}.") from error
        raise StorageError(f"{path} cannot be written ({error.strerror}).") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
