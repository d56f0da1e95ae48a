"""What must survive a power cut: whole files, appended logs, key files, and the server's memory.

Files are either whole or absent: written beside their place, flushed to disk, then renamed over it. Whatever holds a
secret is readable by its owner only.
"""

import errno
import fcntl
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from fedgap.crypto import BadBytesError, Identity, Rand, open_key, seal_key
from fedgap.errors import FedgapError
from fedgap.secagg.errors import OutOfOrderError
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import pack

PUBLIC, PRIVATE = 0o644, 0o600
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,100}")
_LENGTH_BYTES = 8
_PIECE_BYTES = 1 << 20
_HALF_WRITTEN = ".half-written-"
"""In the name of a file that is renamed once it is whole."""


class StorageError(FedgapError):
    """A file could not be written; what stood there before is unchanged."""

    code = "storage.write-failed"
    remedy = "Check that the folder exists, is writable and has free space; then run the command again."


class DiskFullError(StorageError):
    """There is no room left; what stood there before is unchanged."""

    code = "storage.disk-full"
    remedy = "Free some space or choose another folder with --out; then run the command again."


class DamagedFileError(FedgapError):
    """A file of fedgap's own is not what was written there."""

    code = "storage.damaged"
    remedy = "Restore the folder from where it was last whole; do not delete single files in it."


class InUseError(FedgapError):
    """Another process works with this folder."""

    code = "storage.in-use"
    remedy = "End the other fedgap process, or wait for it."


def make_folder(path: Path) -> None:
    """Create `path` and its parents if they are missing, and make sure that files can be written there.

    Raises:
        StorageError: something else stands there, or it is not allowed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {path} cannot be created ({error.strerror}).") from error
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StorageError(f"Nothing can be written into the folder {path} ({error.strerror}).") from error


def replace(path: Path, content: bytes, *, mode: int = PUBLIC) -> None:
    """Put `content` at `path` in one step: a reader sees the old bytes or the new ones, never a part.

    Args:
        path: where.
        content: what.
        mode: who may read it; PRIVATE for anything secret.

    Raises:
        DiskFullError: no room.
        StorageError: any other failure of the file system.
    """
    _replace(path, lambda file: file.write(content), mode)


def replace_in_parts(path: Path, parts: Iterable[bytes | memoryview], *, mode: int = PUBLIC) -> None:
    """Put parts one after the other at `path` in one step, without joining them in memory first.

    Raises:
        DiskFullError, StorageError: as `replace`.
    """

    def write(file: IO[bytes]) -> None:
        for part in parts:
            view = memoryview(part).cast("B")
            for at in range(0, len(view), _PIECE_BYTES):
                file.write(view[at : at + _PIECE_BYTES])

    _replace(path, write, mode)


def copy(source: Path, path: Path, *, mode: int = PUBLIC) -> None:
    """Put the content of a file at `path` in one step, without reading all of it into memory.

    Raises:
        DiskFullError, StorageError: as `replace`.
    """
    with source.open("rb") as content:
        _replace(path, lambda file: shutil.copyfileobj(content, file, _PIECE_BYTES), mode)


def _replace(path: Path, write: Callable[[IO[bytes]], object], mode: int) -> None:
    temporary: str | None = None
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is a folder, a device or a pipe, no file that could be replaced.")
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}{_HALF_WRITTEN}", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
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


def sweep(folder: Path) -> None:
    """Remove what a process that was killed left half-written; some of it holds what has to be erased by a time.

    Only for whoever works with a folder alone: what another process writes at the moment looks the same.
    """
    for path in folder.glob(f".*{_HALF_WRITTEN}*"):
        with suppress(OSError):
            path.unlink()


def append(path: Path, entry: bytes) -> None:
    """Add an entry to a log, behind its length; durable when this returns.

    Raises:
        StorageError: the file cannot be written; what was in it is unchanged.
    """
    try:
        is_new = not path.exists()
        with path.open("ab", buffering=0) as file:
            append_all(file, len(entry).to_bytes(_LENGTH_BYTES, "big") + entry)
        if is_new:
            _flush_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}).") from error


def append_all(file: io.FileIO, content: bytes) -> None:
    """Add bytes to a file that is open for appending: all of them, durable, or none as far as the disk allows.

    Raises:
        OSError: they cannot be written.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        written = file.write(content)
        os.fsync(file.fileno())
    except OSError:
        _cut(file, size)
        raise
    if written != len(content):
        _cut(file, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _cut(file: io.FileIO, size: int) -> None:
    with suppress(OSError):  # no room even for that, or a device
        file.truncate(size)


def entries(path: Path) -> list[bytes]:
    """Read the entries of a log; a last one that a power cut left incomplete is not one."""
    found, data, at = [], path.read_bytes() if path.exists() else b"", 0
    while at + _LENGTH_BYTES <= len(data):
        end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        if end > len(data):
            break
        found.append(data[at + _LENGTH_BYTES : end])
        at = end
    return found


def mend(path: Path) -> None:
    """Cut off a last entry that a power cut left incomplete, so that the next one is read."""
    whole = sum(_LENGTH_BYTES + len(entry) for entry in entries(path))
    if path.exists() and path.stat().st_size > whole:
        os.truncate(path, whole)


def write_key(path: Path, identity: Identity, *, passphrase: str | None, rand: Rand) -> None:
    """Keep a signing key in a file that only its owner can read, sealed if there is a passphrase."""
    replace(path, seal_key(identity, passphrase=passphrase, salt=rand(16)), mode=PRIVATE)


def read_key(path: Path, *, passphrase: str | None) -> Identity:
    """Read a key file that `write_key` wrote.

    Raises:
        DamagedFileError: others may read it, or it is no key file.
        BadPassphraseError: it does not open with this passphrase.
    """
    if path.stat().st_mode & 0o077:
        raise DamagedFileError(f"Others than its owner may use the key file {path}.", remedy=f"Run: chmod 600 {path}")
    try:
        return open_key(path.read_bytes(), passphrase=passphrase)
    except BadBytesError as error:
        raise DamagedFileError(f"{path} is no key file.") from error


def locked(folder: Path) -> IO[str]:
    """Keep other processes away from a folder until the file that this gives is closed.

    Raises:
        InUseError: another process has it.
    """
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise InUseError(f"Another process works with {folder}.") from error
    return lock


class PrivateFolder:
    """A private folder that one process works with at a time."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        folder.chmod(0o700)
        self._folder = folder
        self._lock = locked(folder)
        sweep(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process work with the folder."""
        self._lock.close()

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name: lower-case letters, digits and hyphens."""
        replace(self._path(name), content, mode=PRIVATE)

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name.

        Raises:
            DamagedFileError: it is gone.
        """
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{self._path(name)} cannot be read ({error.strerror}).") from error

    def has(self, name: str) -> bool:
        """Tell whether something is kept under a name."""
        return self._path(name).exists()

    def erase(self, names: Iterable[str]) -> None:
        """Remove what was kept under these names, if it is there."""
        for name in names:
            self._path(name).unlink(missing_ok=True)
        _flush_folder(self._folder)

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"'{name}' is not a name for a file")
        return self._folder / f"{name}.bin"


class FolderJournal(PrivateFolder):
    """The server's durable memory (`fedgap.rounds.Journal`): events, uploads, a waiting round, the last sum."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._log = folder / "events.log"
        mend(self._log)

    def open(self, plan: Plan) -> None:
        """Begin an attempt.

        Raises:
            OutOfOrderError: it is not later than every attempt before.
        """
        if plan.number <= self.last:
            raise OutOfOrderError(f"Round and attempt {plan.number} are not later than {self.last}.")
        self.put("attempt", f"{plan.round} {plan.attempt}".encode())

    @property
    def last(self) -> tuple[int, int]:
        """Round and attempt that were begun last; (0, 0) before the first."""
        path = self._path("attempt")
        if not path.exists():
            return 0, 0
        round_, attempt = map(int, path.read_text().split())
        return round_, attempt

    def note(self, event: object) -> None:
        """Append something that happened; read them back with `entries`."""
        append(self._log, pack(event))

    def spool(self, plan: Plan, seat: int, upload: bytes) -> None:
        """Keep an upload until the round is settled."""
        self.put(f"upload-{plan.round}-{plan.attempt}-{seat}", upload)

    def uploaded(self, number: tuple[int, int], seat: int) -> bytes:
        """Give back a spooled upload of a round and attempt.

        Raises:
            DamagedFileError: it is gone.
        """
        return self.get(f"upload-{number[0]}-{number[1]}-{seat}")

    def drop(self, number: tuple[int, int], seats: Iterable[int]) -> None:
        """Remove the spooled uploads of a settled round."""
        self.erase([f"upload-{number[0]}-{number[1]}-{seat}" for seat in seats])

    def hold(self, state: bytes) -> None:
        """Keep the state of a round that waits for members to unmask."""
        self.put("waiting", state)

    def held(self) -> bytes | None:
        """Give back what `hold` kept, unless a sum was released since."""
        return self.get("waiting") if self._path("waiting").exists() else None

    @property
    def outcome_file(self) -> Path:
        """Where the sum is that `release` kept last."""
        return self._path("outcome")

    def released(self) -> bytes | None:
        """Give back the sum that `release` kept last."""
        return self.get("outcome") if self._path("outcome").exists() else None

    def release(self, outcome: bytes) -> None:
        """Keep the sum of the last round; nothing waits any longer."""
        self.put("outcome", outcome)
        self.erase(["waiting"])
