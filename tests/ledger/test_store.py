"""The file: durable at every instant, one writer, and an error with a remedy for everything a disk can do."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest

from fedgap.crypto import Identity
from fedgap.ledger import (
    BadEntryError,
    DamagedLedgerError,
    LedgerError,
    LedgerFullError,
    LedgerInUseError,
    LedgerReadOnlyError,
    LedgerVersionError,
    Trust,
)
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.ledger.store import Ledger
from fedgap.records import PolicySigned, UtilityObserved
from tests.ledger.tale import POLICY, Tale
from tests.ledger.tampering import rows_of

FIRST = PolicySigned(version=1, policy=POLICY, from_period=1)
SECOND = UtilityObserved(round=0, utility=1, evaluation=bytes(32))
Told = tuple[Tale, Path]


def begun(path: Path) -> Tale:
    """A ledger with its founding entry and the policy."""
    tale = Tale()
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(FIRST)
    return tale


def test_what_was_written_is_read_back_after_closing(tmp_path: Path) -> None:
    tale = begun(tmp_path / "l.sqlite")
    with Ledger(tmp_path / "l.sqlite", tale.server) as ledger:
        head = ledger.append(SECOND)
        assert (ledger.size, ledger.origin, ledger.roster.version) == (3, tale.origin, 1)
        assert [at for at, _ in ledger.bodies()] == [0, 1, 2]
        assert head == ledger.checkpoint
    assert rows_of(tmp_path / "l.sqlite")[1] == head
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.sqlite"]


def test_the_same_story_gives_the_same_file_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Tale(rounds=4).write(tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_refused_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    tale = begun(tmp_path / "l.sqlite")
    with Ledger(tmp_path / "l.sqlite", tale.server) as ledger:
        before = ledger.checkpoint
        with pytest.raises(BadEntryError):
            ledger.append(SECOND, FIRST)
        assert before == ledger.checkpoint
        ledger.append(SECOND)
    assert verify_file(tmp_path / "l.sqlite", Trust()).entries == 3


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    with Ledger(path, tale.server) as ledger:
        with pytest.raises(LedgerInUseError):
            Ledger(path, tale.server)
        ledger.append(SECOND)
        assert verify_file(path, Trust()).entries == 3
    with Ledger(path, tale.server) as ledger:
        assert ledger.size == 3


def test_two_processes_never_write_the_same_ledger(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    script = (
        "import sys; from pathlib import Path; from fedgap.crypto import Identity\n"
        "from fedgap.ledger import LedgerInUseError; from fedgap.ledger.store import Ledger\n"
        "try:\n    Ledger(Path(sys.argv[1]), Identity(bytes.fromhex(sys.argv[2])))\n"
        "except LedgerInUseError:\n    sys.exit(7)\n"
    )
    arguments = [sys.executable, "-c", script, str(path), tale.server.secret.hex()]
    with Ledger(path, tale.server):
        assert subprocess.run(arguments, check=False).returncode == 7
    assert subprocess.run(arguments, check=False).returncode == 0


def test_a_reader_sees_one_state_while_entries_are_added(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    with Ledger(path, tale.server) as ledger, StoredLedger(path) as stored:
        first = stored.required_head()
        ledger.append(SECOND)
        assert first == stored.required_head()
        assert len(list(stored.bodies())) == first.size == 2


def _crashed(path: Path, target: Path, wal: bytes) -> None:
    """The files as a power cut leaves them: the database as it was, and a part of the log."""
    shutil.copy(path, target)
    Path(f"{target}-wal").write_bytes(wal)


def _interrupted_append(tmp_path: Path) -> tuple[Tale, Path, bytes, int]:
    """The database and its log after an append, copied before anything is tidied up."""
    path, kept = tmp_path / "l.sqlite", tmp_path / "kept.sqlite"
    tale = begun(path)
    with Ledger(path, tale.server) as ledger:
        ledger.append(SECOND)
        before = Path(f"{path}-wal").stat().st_size
        ledger.append(*list(tale.round(1)))
        wal = Path(f"{path}-wal").read_bytes()
        shutil.copy(path, kept)
    return tale, kept, wal, before


def _check_crashes(tmp_path: Path, step: int) -> set[int]:
    tale, kept, wal, before = _interrupted_append(tmp_path)
    sizes = set()
    for end in [*range(before, len(wal), step), len(wal)]:
        target = tmp_path / "crashed.sqlite"
        _crashed(kept, target, wal[:end])
        with Ledger(target, tale.server) as ledger:
            sizes.add(ledger.size)
            assert verify_file(target, Trust()).fault is None
        for name in ("", "-wal", "-shm"):
            Path(f"{target}{name}").unlink(missing_ok=True)
    return sizes


def test_a_crash_during_an_append_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    assert _check_crashes(tmp_path, 173) == {3, 8}


@pytest.mark.slow
def test_a_crash_at_any_byte_of_an_append_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    assert _check_crashes(tmp_path, 1) == {3, 8}


def test_a_killed_writer_loses_nothing_it_was_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    script = (
        "import os, signal, sys; from pathlib import Path; from fedgap.crypto import Identity\n"
        "from fedgap.ledger.store import Ledger; from fedgap.records import UtilityObserved\n"
        "ledger = Ledger(Path(sys.argv[1]), Identity(bytes.fromhex(sys.argv[2])))\n"
        "ledger.append(UtilityObserved(round=0, utility=1, evaluation=bytes(32)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path), tale.server.secret.hex()], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert verify_file(path, Trust()).entries == 3
    with Ledger(path, tale.server) as ledger:
        assert ledger.size == 3
    assert sorted(one.name for one in tmp_path.iterdir()) == ["l.sqlite"]


def test_a_creation_that_was_killed_can_be_begun_again(tmp_path: Path) -> None:
    path, tale = tmp_path / "l.sqlite", Tale()
    path.touch()
    with pytest.raises(DamagedLedgerError):
        Ledger(path, tale.server)
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        assert ledger.size == 1


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    with Ledger(path, tale.server) as ledger:
        ledger._database.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096}")
        rounds = [list(tale.round(number)) for number in range(1, 50)]
        with pytest.raises(LedgerFullError):
            deque((ledger.append(*facts) for facts in rounds), maxlen=0)
        size = ledger.size
        ledger._database.execute("PRAGMA max_page_count = 100000")
        ledger.append(*rounds[(size - 2) // len(rounds[0])])
        assert ledger.size > size
    assert verify_file(path, Trust()).fault is None


def test_a_limit_on_the_size_of_files_is_an_error_with_a_code(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    script = (
        "import resource, signal, sys; from pathlib import Path; from fedgap.crypto import Identity\n"
        "from fedgap.ledger import LedgerError; from fedgap.ledger.store import Ledger\n"
        "from fedgap.records import UtilityObserved\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ledger = Ledger(Path(sys.argv[1]), Identity(bytes.fromhex(sys.argv[2])))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    ledger.append(UtilityObserved(round=0, utility=1, evaluation=bytes(32)))\n"
        "except LedgerError as error:\n    print(error.code)\n"
    )
    arguments = [sys.executable, "-c", script, str(path), tale.server.secret.hex()]
    ended = subprocess.run(arguments, check=True, capture_output=True, text=True)

    assert ended.stdout.strip().startswith("ledger.")
    assert verify_file(path, Trust()).entries == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    tale = begun(tmp_path / "l.sqlite")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LedgerReadOnlyError):
            Ledger(tmp_path / "l.sqlite", tale.server)
        assert verify_file(tmp_path / "l.sqlite", Trust()).fault is None
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    tale = Tale()
    with pytest.raises(LedgerReadOnlyError):
        Ledger(tmp_path / "no" / "l.sqlite", tale.server, founding=tale.signed(tale.manifest))


def test_a_ledger_is_neither_made_twice_nor_opened_where_none_is(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    with pytest.raises(LedgerError, match="already something"):
        Ledger(path, tale.server, founding=tale.signed(tale.manifest))
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(tmp_path / "other", tale.server)
    with pytest.raises(LedgerError, match="no ledger"):
        StoredLedger(tmp_path / "other")


def test_another_key_than_the_servers_cannot_write(tmp_path: Path) -> None:
    begun(tmp_path / "l.sqlite")
    with pytest.raises(LedgerError, match="not that of this ledger's server"):
        Ledger(tmp_path / "l.sqlite", Identity(b"other" + bytes(27)))


def test_a_ledger_of_a_later_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerVersionError):
        Ledger(path, tale.server)
    with pytest.raises(LedgerVersionError):
        verify_file(path, Trust())


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(100), b"no database" * 100], ids=["e", "s", "n"])
def test_what_is_no_ledger_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        verify_file(path, Trust())
    with pytest.raises(LedgerError):
        Ledger(path, Tale().server)


def test_a_ledger_that_is_not_what_its_checkpoint_says_is_not_written_to(told: Told, tmp_path: Path) -> None:
    path = Path(shutil.copy(told[1], tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM entry WHERE position = 29")
    with pytest.raises(DamagedLedgerError):
        Ledger(path, told[0].server)


def test_threads_of_one_process_do_not_both_get_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    tale = begun(path)
    outcomes: list[str] = []

    def hold() -> None:
        try:
            with Ledger(path, tale.server):
                outcomes.append("held")
        except LedgerInUseError:
            outcomes.append("refused")

    with Ledger(path, tale.server):
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
    assert outcomes == ["refused"]
