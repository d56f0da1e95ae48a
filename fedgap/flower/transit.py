"""What is under way between server and nodes: small pieces in memory, large ones as files, nothing kept across a start.

Flower cuts a message into objects, each named by its SHA-256, the large ones of 5 MB. Its SQLite store takes several
transactions for each of them; this is its store in memory, except that a large object lies on disk.
"""

import errno
import logging
import shutil
from contextlib import suppress
from pathlib import Path

from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

from fedgap.storage import DiskFullError, StorageError, make_folder

_log = logging.getLogger(__name__)

ON_DISK_BYTES = 1 << 16
"""From this size on an object is a file."""

_ELSEWHERE = b"\0"
"""Stands in memory for the content of a file; no object of Flower is so short."""


class Transit(InMemoryObjectStore):
    """Flower's object store.

    Args:
        folder: of our own; what an earlier process left in it is removed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        self._folder = folder
        self._files: set[str] = set()

    def put(self, object_id: str, object_content: bytes) -> None:
        """Keep an object that was announced.

        Raises:
            StorageError: it cannot be written.
        """
        super().put(object_id, object_content)  # checks it against its name, and that it was announced
        if len(object_content) < ON_DISK_BYTES or object_id in self._files:
            return
        path = self._folder / object_id
        try:
            path.write_bytes(object_content)
        except OSError as error:
            path.unlink(missing_ok=True)
            self._put_off(object_id)
            kind = DiskFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StorageError
            cause = f"A message cannot be kept in {self._folder} ({error.strerror})."
            _log.warning(cause)  # Flower only tells the node that its answer was not taken
            raise kind(cause) from error
        with self.lock_store:
            entry = self.store.get(object_id)
            if entry is None:  # nobody waits for it any more
                path.unlink(missing_ok=True)
                return
            entry.content = _ELSEWHERE
            self._files.add(object_id)

    def get(self, object_id: str) -> bytes | None:
        """Give an object; empty bytes while it is not there, None if nobody announced it."""
        content = super().get(object_id)
        if content != _ELSEWHERE:
            return content
        try:
            return (self._folder / object_id).read_bytes()
        except FileNotFoundError:  # erased in this moment
            return None

    def delete(self, object_id: str) -> None:
        """Erase an object and what it consists of, unless another one needs it."""
        with self.lock_store:
            super().delete(object_id)
            if object_id not in self.store and object_id in self._files:
                self._files.discard(object_id)
                with suppress(OSError):
                    (self._folder / object_id).unlink()

    def is_large(self, object_id: str) -> bool:
        """Tell whether an object is read from disk."""
        return object_id in self._files

    def is_coming(self, object_id: str) -> bool:
        """Tell whether a part of an object that was announced is not here yet."""
        with self.lock_store:
            entry = self.store.get(object_id)
            return entry is not None and (not entry.is_available or any(map(self.is_coming, entry.child_object_ids)))

    def _put_off(self, object_id: str) -> None:
        with self.lock_store:
            entry = self.store.get(object_id)
            if entry is not None:
                entry.content, entry.is_available = b"", False
