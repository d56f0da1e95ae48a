"""The egress log: every message in it before it leaves, nothing lost by a power cut, a full disk stops what leaves."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower.egress import POLLING, EgressLog, read_egress
from fedgap.storage import StorageError

TO = "https://fed.example.org"


def test_a_message_is_in_the_log_with_purpose_size_and_digest(tmp_path: Path) -> None:
    with EgressLog(tmp_path / "egress.jsonl", to=TO) as log:
        log.note("relay", b"masked", round=3, attempt=1)

    (line,) = read_egress(log.path)
    assert {key: line[key] for key in ("to", "purpose", "round", "attempt", "bytes", "sha256")} == {
        "to": TO,
        "purpose": "relay",
        "round": 3,
        "attempt": 1,
        "bytes": 6,
        "sha256": hashlib.sha256(b"masked").hexdigest(),
    }
    assert line["time"].endswith("+00:00")
    assert log.path.stat().st_mode & 0o077 == 0


def test_the_log_only_grows(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    for number in range(3):
        with EgressLog(path, to=TO) as log:
            log.note("advert", bytes(number))

    assert [line["bytes"] for line in read_egress(path)] == [0, 1, 2]


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_line_that_a_power_cut_left_incomplete_harms_no_other(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("egress") / "egress.jsonl"
    with EgressLog(path, to=TO) as log:
        log.note("first", b"1")
        log.note("second", b"22")
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])

    with EgressLog(path, to=TO) as log:
        log.note("third", b"333")

    found = [line["purpose"] for line in read_egress(path)]
    assert found[-1] == "third"
    assert found[:-1] == ["first", "second"][: len(found) - 1]
    first_line = len(whole.splitlines(keepends=True)[0])
    assert ("first" in found) == (len(whole) - cut >= first_line - 1)


def test_polling_is_summed_up_and_nothing_is_said_about_none(tmp_path: Path) -> None:
    with EgressLog(tmp_path / "egress.jsonl", to=TO) as log:
        log.note_polling(calls=0, size_bytes=0)
        log.note_polling(calls=40, size_bytes=4000)

    assert [(line["purpose"], line["calls"], line["bytes"]) for line in read_egress(log.path)] == [(POLLING, 40, 4000)]


def test_a_full_disk_is_an_error_before_the_message_leaves() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with EgressLog(full, to=TO) as log, pytest.raises(StorageError):
        log.note("relay", b"masked")


def test_a_line_that_found_no_room_harms_none_that_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves once there is room again must be readable: it has left."""
    write = io.FileIO.write

    class Full(io.FileIO):
        """A file on a disk that takes ten more bytes."""

        def write(self, content: bytes) -> int:  # type: ignore[override]  # bytes is all that comes
            return write(self, content[:10])

        def truncate(self, size: int | None = None) -> int:
            """Not possible either."""
            del size
            raise OSError

    with EgressLog(tmp_path / "egress.jsonl", to=TO) as log:
        log.note("first", b"1")
        with monkeypatch.context() as patch:
            patch.setattr(log, "_file", Full(log._file.fileno(), "r+", closefd=False))
            with pytest.raises(StorageError):
                log.note("relay", b"masked")
        log.note("second", b"22")

    assert [line["purpose"] for line in read_egress(log.path)] == ["first", "second"]


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        EgressLog(tmp_path / "missing" / "egress.jsonl", to=TO)


def test_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    path.write_bytes(b"\xff\n[]\n" + json.dumps({"purpose": "relay"}).encode() + b"\n")

    assert list(read_egress(path)) == [{"purpose": "relay"}]
    assert list(read_egress(tmp_path / "missing")) == []
