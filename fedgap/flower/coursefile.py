"""The course of a federation on disk: the model and what follows from the sums so far, whole or as it was before.

A lost or old file is no harm: the server sends the sums again, and a state is only used if its digest is the round's.
Large models are written and read without a second copy in memory; what a rule remembers of them stays in the file.
"""

import json
import os
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedgap.flower.column import MOST_HELD, STRIPE, Column
from fedgap.flower.course import Course, Standing
from fedgap.learning.server import Memory, ServerState
from fedgap.storage import PRIVATE, DamagedFileError, StorageError

F = TypeVar("F", bound=np.generic)
_MAGIC = b"fedgap/1/course\n"
_MOST_HEAD = 4096


def save_course(path: Path, course: Course) -> None:
    """Put a course on disk in one step.

    Raises:
        StorageError: it cannot be written; what was there is unchanged.
    """
    state = course.state
    used = _is_used(state.first) or _is_used(state.second)
    head = {"applied": course.applied, "clip": course.clip.hex(), "size": state.model.size, "memory": used}
    temporary = path.with_suffix(".tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + json.dumps(head).encode() + b"\n")
            file.flush()
            state.model.tofile(file)
            for memory in (state.first, state.second) if used else ():
                for at in range(0, memory.size, STRIPE):
                    memory[at : at + STRIPE].tofile(file)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}).") from error


def load_course(path: Path) -> Course | None:
    """Read a course; None if there is none that is whole."""
    try:
        with path.open("rb") as file:
            if file.readline(_MOST_HEAD) != _MAGIC:
                return None
            head = json.loads(file.readline(_MOST_HEAD))
            size, applied, clip = int(head["size"]), int(head["applied"]), float.fromhex(head["clip"])
            model = _whole(np.fromfile(file, dtype=np.float32, count=size), size)
            zero = np.zeros(size)
            first, second = (_memory(file, size) if head["memory"] else zero for _ in range(2))
            if file.read(1):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Course(state=ServerState(model=model, first=first, second=second), clip=clip, applied=applied)


def shelve(path: Path, course: Course) -> Standing:
    """Put a course on disk, so that its numbers need not stay in memory.

    Raises:
        StorageError: it cannot be written.
    """
    save_course(path, course)
    return Standing(applied=course.applied, clip=course.clip, digest=course.digest)


def unshelve(path: Path, standing: Standing) -> Course:
    """Take a shelved course back.

    Raises:
        DamagedFileError: it is not what was put there.
    """
    course = load_course(path)
    if course is None or course.applied != standing.applied or course.digest != standing.digest:
        raise DamagedFileError(f"{path} is not what was written there.", remedy="Start the server again.")
    return course


def _is_used(memory: Memory) -> bool:
    return any(bool(memory[at : at + STRIPE].any()) for at in range(0, memory.size, STRIPE))


def _memory(file: IO[bytes], size: int) -> Memory:
    """Read so many numbers; leave them where they are if they are many."""
    if size <= MOST_HELD:
        return _whole(np.fromfile(file, dtype=np.float64, count=size), size)
    at = file.tell()
    if os.fstat(file.fileno()).st_size < at + 8 * size:
        raise ValueError("the file ends early")
    file.seek(8 * size, os.SEEK_CUR)
    return Column(file, size, at)


def _whole(array: NDArray[F], size: int) -> NDArray[F]:
    if array.size != size:
        raise ValueError("the file ends early")
    return array
