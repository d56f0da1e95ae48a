"""A file is whole or absent, and what stood there survives a failure."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap import storage
from fedgap.flower.vault import FolderVault
from fedgap.storage import DiskFullError, StorageError


@given(first=st.binary(max_size=200), second=st.binary(max_size=200))
def test_the_last_content_written_is_there_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, first: bytes, second: bytes
) -> None:
    folder = tmp_path_factory.mktemp("storage")
    storage.replace(folder / "file", first)
    storage.replace(folder / "file", second)

    assert (folder / "file").read_bytes() == second
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_file_written_may_be_read_by_others(tmp_path: Path) -> None:
    storage.replace(tmp_path / "file", b"x")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, StorageError)]
)
def test_a_failed_write_leaves_the_old_content_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[StorageError]
) -> None:
    """The disk fails when the bytes are flushed."""
    storage.replace(tmp_path / "file", b"old")

    def fail(handle: int) -> None:
        del handle
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError) as caught:
        storage.replace(tmp_path / "file", b"new")

    assert type(caught.value) is expected
    assert str(tmp_path / "file") in caught.value.cause
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent/file"):
        storage.replace(tmp_path / "absent" / "file", b"x")


def test_a_folder_in_the_file_s_place_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()

    with pytest.raises(StorageError):
        storage.replace(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").is_dir()


def test_make_folder_makes_parents_and_accepts_what_is_there(tmp_path: Path) -> None:
    storage.make_folder(tmp_path / "a" / "b")
    storage.make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_make_folder_refuses_a_file_in_its_place(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="cannot be created"):
        storage.make_folder(tmp_path / path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody may write, Linux's /proc")
def test_make_folder_refuses_a_folder_in_which_it_may_not_write() -> None:
    """Found before hours of work, not when its result is to be written."""
    with pytest.raises(StorageError, match="/proc/self"):
        storage.make_folder(Path("/proc/self"))


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_parts_stand_one_after_the_other_in_the_file(tmp_path: Path, size: int) -> None:
    parts = (b"head", memoryview(os.urandom(size)), memoryview(bytes(range(12))).cast("I"))
    storage.replace_in_parts(tmp_path / "file", parts)

    assert (tmp_path / "file").read_bytes() == b"".join(parts)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


KILLED = """
import os, sys
from pathlib import Path
from fedgap import storage

def parts():
    yield b"secret" * 300_000
    os.kill(os.getpid(), 9)

storage.replace_in_parts(Path(sys.argv[1]), parts())
"""


def test_what_a_killed_process_left_half_written_goes_when_the_folder_is_opened(tmp_path: Path) -> None:
    """It may be an update or a key that has to be erased once a round is settled."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "update-1-1.bin")], check=False)
    (left,) = tmp_path.iterdir()
    assert left.stat().st_size > 0
    (tmp_path / ".editor.swapfile").touch()
    with FolderVault(tmp_path) as vault:
        vault.put("new", b"content")

    assert {path.name for path in tmp_path.iterdir()} == {".editor.swapfile", "lock", "new.bin"}


@pytest.mark.parametrize("written", [0, 1, 11])
def test_an_entry_that_finds_no_room_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    storage.append(tmp_path / "log", b"first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(StorageError):
            storage.append(tmp_path / "log", bytes(written))
    storage.append(tmp_path / "log", b"second")

    assert storage.entries(tmp_path / "log") == [b"first", b"second"]


def no_room(handle: int) -> None:
    """Fail as a full disk does."""
    del handle
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
