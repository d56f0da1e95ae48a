"""Numbers that lie in a file instead of in memory: what a server's optimiser remembers of a large model.

Adaptive rules keep 8 or 16 bytes a parameter beside the 4 of the model. They are needed once a round, stripe by stripe,
and then hashed and written down in the same way, so they are never in memory as a whole. Plain reads and writes, not a
mapped file: a full disk is an error that can be told, and no page of it counts as memory of the process.
"""

import errno
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fedgap.learning.server import Memory
from fedgap.storage import DiskFullError, StorageError

Array = NDArray[np.float64]

MOST_HELD = 2**22
"""Up to so many numbers are held in memory: 32 MB."""

STRIPE = 2**18
_WIDTH = 8


class Column:
    """So many float64 numbers in a file, read and written in slices.

    Args:
        file: open; it may be closed, renamed over or removed afterwards.
        size: how many.
        offset: of the first one, in bytes.
    """

    def __init__(self, file: IO[bytes], size: int, offset: int = 0) -> None:
        self._file, self.size, self._offset = os.dup(file.fileno()), size, offset
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, part: slice, /) -> Array:
        found = np.empty(len(range(*part.indices(self.size))), np.float64)
        for at, here in self._stripes(part):
            content = os.pread(self._file, _WIDTH * len(here), self._offset + _WIDTH * here.start)
            found[at : at + len(here)] = np.frombuffer(content, "<f8")
        return found

    def __setitem__(self, part: slice, numbers: Array, /) -> None:
        for at, here in self._stripes(part):
            content = numbers[at : at + len(here)].astype("<f8", copy=False).tobytes()
            try:
                done = os.pwrite(self._file, content, self._offset + _WIDTH * here.start)
            except OSError as error:
                kind = DiskFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StorageError
                raise kind(f"The memory of the server's rule cannot be kept ({error.strerror}).") from error
            if done < len(content):
                raise DiskFullError("The memory of the server's rule cannot be kept: the disk is full.")

    def _stripes(self, part: slice) -> Iterator[tuple[int, range]]:
        """Cut a slice into pieces; each with its place in the slice."""
        start, stop, step = part.indices(self.size)
        if step != 1:
            raise ValueError("numbers in a file are read in their order")
        for at in range(start, stop, STRIPE):
            yield at - start, range(at, min(at + STRIPE, stop))


def room_in(folder: Path) -> Callable[[int], Memory]:
    """Give what makes room for so many numbers: in memory for few, in a nameless file in this folder for many."""

    def room(size: int) -> Memory:
        if size <= MOST_HELD:
            return np.empty(size, np.float64)
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                return Column(file, size)
        except OSError as error:
            raise StorageError(f"Nothing can be written into {folder} ({error.strerror}).") from error

    return room
