"""What a server's rule remembers of a large model lies on disk: the same bits, no memory, and errors that say why."""

import errno
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import BadBytesError
from fedgap.crypto.canonical import Flow, digest, encode
from fedgap.flower.column import MOST_HELD, Column, room_in
from fedgap.flower.course import Course
from fedgap.flower.coursefile import load_course, save_course
from fedgap.learning.server import ServerRule, ServerState, begin, step, step_in_parts
from fedgap.secagg.transcript import state_digest
from fedgap.storage import DiskFullError, StorageError

RULES = ("fedavg", "fedavgm", "fedadam", "fedadagrad", "fedyogi")
SIZE = 1000


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few numbers count as many, and stripes are short."""
    monkeypatch.setattr("fedgap.flower.column.MOST_HELD", 10)
    monkeypatch.setattr("fedgap.flower.coursefile.MOST_HELD", 10)
    monkeypatch.setattr("fedgap.flower.column.STRIPE", 64)
    monkeypatch.setattr("fedgap.flower.coursefile.STRIPE", 48)
    monkeypatch.setattr("fedgap.learning.server._STRIPE", 100)
    monkeypatch.setattr("fedgap.secagg.transcript._STRIPE", 36)


@given(
    before=st.lists(st.floats(allow_nan=False), min_size=1, max_size=40),
    start=st.integers(0, 50),
    stop=st.integers(0, 50),
)
def test_a_column_gives_back_what_an_array_would(before: list[float], start: int, stop: int) -> None:
    with tempfile.TemporaryFile() as file:
        numbers = np.array(before)
        file.write(b"seven b" + numbers.tobytes())
        file.flush()
        found = Column(file, len(before), offset=7)
        part = slice(start, stop)
        assert found[part].tolist() == numbers[part].tolist()
        found[part] = -numbers[part]
        numbers[part] = -numbers[part]
        assert found[:].tolist() == numbers.tolist()
        assert file.seek(0) == 0
        assert file.read(7) == b"seven b"


def test_numbers_in_a_file_are_read_in_their_order(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path) as file, pytest.raises(ValueError, match="order"):
        Column(file, 3)[::-1]


@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.usefixtures("on_disk")
def test_every_rule_gives_the_same_bits_with_its_memory_on_disk(tmp_path: Path, optimizer: str) -> None:
    """Also through the file of the course, which is written and read after each round as the server does."""
    rng, rule, path = np.random.default_rng(3), ServerRule(optimizer=optimizer, lr=0.3), tmp_path / "course.bin"
    whole = parts = begin(rng.normal(size=SIZE).astype(np.float32))
    for applied in range(1, 4):
        mean = rng.normal(size=SIZE)
        whole = step(rule, whole, mean)
        parts = step_in_parts(rule, parts, mean.__getitem__, room=room_in(tmp_path))
        save_course(path, Course(state=parts, clip=1.0, applied=applied))
        found = load_course(path)
        assert found is not None
        parts = found.state

        assert (parts.model.tobytes(), parts.first[:].tobytes(), parts.second[:].tobytes()) == (
            whole.model.tobytes(),
            np.asarray(whole.first).tobytes(),
            np.asarray(whole.second).tobytes(),
        )
        assert found.digest == Course(state=whole, clip=1.0, applied=applied).digest
        assert isinstance(parts.first, Column) == (optimizer != "fedavg")
    assert [file.name for file in tmp_path.iterdir()] == ["course.bin"]


@pytest.mark.usefixtures("on_disk")
def test_a_state_that_was_read_stays_what_it_was_when_its_file_is_replaced(tmp_path: Path) -> None:
    path, rule = tmp_path / "course.bin", ServerRule(optimizer="fedadam")
    first = step(rule, begin(np.ones(SIZE, np.float32)), np.ones(SIZE))
    save_course(path, Course(state=first, clip=1.0, applied=1))
    found = load_course(path)
    assert found is not None
    save_course(path, Course(state=step(rule, first, np.full(SIZE, 9.0)), clip=1.0, applied=2))

    assert found.state.second[:].tobytes() == np.asarray(first.second).tobytes()


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("cut", [1, 8 * SIZE, 8 * SIZE + 1, 16 * SIZE])
def test_a_course_that_ends_early_or_late_is_none(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "course.bin"
    state = step(ServerRule(optimizer="fedadam"), begin(np.ones(SIZE, np.float32)), np.ones(SIZE))
    save_course(path, Course(state=state, clip=1.0, applied=1))
    content = path.read_bytes()
    for other in (content[:-cut], content + b"x"):
        path.write_bytes(other)
        assert load_course(path) is None


def test_one_step_of_fedadam_takes_no_memory_for_what_it_remembers(tmp_path: Path) -> None:
    """What is held of five million parameters is the model: 4 of the 20 bytes a parameter."""
    size, rule = MOST_HELD + 2**20, ServerRule(optimizer="fedadam")
    state = step_in_parts(rule, begin(np.zeros(size, np.float32)), _ones, room=room_in(tmp_path))
    tracemalloc.start()
    state = step_in_parts(rule, state, _ones, room=room_in(tmp_path))
    name = state_digest(state.model, state.first, state.second, clip=1.0, applied=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(name) == 32
    assert peak < 4 * size + 50 * 2**20


def _ones(part: slice) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ones(part.stop - part.start)


def test_few_numbers_are_held_in_memory(tmp_path: Path) -> None:
    assert isinstance(room_in(tmp_path)(MOST_HELD), np.ndarray)


def full(*_: object) -> int:
    """A disk without room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize(
    ("write", "error"),
    [
        (full, DiskFullError),
        (lambda *_: 1, DiskFullError),
        (lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O")), StorageError),
    ],
)
def test_a_disk_that_is_full_or_broken_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., int], error: type[StorageError]
) -> None:
    rule, state = ServerRule(optimizer="fedadam"), begin(np.zeros(SIZE, np.float32))
    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(error, match="memory of the server's rule"):
        step_in_parts(rule, state, _ones, room=room_in(tmp_path))


@pytest.mark.usefixtures("on_disk")
def test_a_folder_that_cannot_be_written_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        room_in(tmp_path / "gone")(SIZE)


def test_bytes_elsewhere_are_hashed_like_bytes_and_never_written() -> None:
    content = bytes(range(200))
    flow = Flow(200, lambda: (memoryview(content)[at : at + 7] for at in range(0, 200, 7)))

    assert digest("x", 1, flow, "y") == digest("x", 1, content, "y")
    with pytest.raises((TypeError, BadBytesError)):
        encode(flow)


def test_a_state_is_named_alike_wherever_its_numbers_lie() -> None:
    rng = np.random.default_rng(5)
    model, first = rng.normal(size=300).astype(np.float32), rng.normal(size=300)
    state = ServerState(model=model, first=first, second=np.zeros(300))
    named = state_digest(model, first, np.zeros(300), clip=0.5, applied=3)

    assert named == state_digest(model, np.concatenate([first, np.zeros(300)]), clip=0.5, applied=3)
    assert named == Course(state=state, clip=0.5, applied=3).digest
