"""What client and server keep on disk: durable before an answer leaves, never behind, erased when it is settled."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from fedgap import rounds, storage
from fedgap.crypto import BadPassphraseError, Identity, digest
from fedgap.flower.vault import FolderVault
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.errors import JournalBehindError, OutOfOrderError, RoundSuspendedError
from fedgap.secagg.local import LocalCohort, Network, Trainer, local_federation
from fedgap.secagg.me import Me
from fedgap.secagg.participant import Participant
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import unpack
from fedgap.storage import DamagedFileError, FolderJournal, InUseError

N = 4
ORGS = [OrgId(f"org-{k}") for k in range(N)]
FEDERATION = local_federation(
    FederationId("test"),
    dict.fromkeys(ORGS, 1),
    Encoding(parameters=6, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1),
    seed=1,
)
MANIFEST = FEDERATION.manifest
UPDATE = Contribution(update=np.linspace(0, 1, 6, dtype=np.float32), statistics=np.zeros(0, np.float32), metrics={})
PLAN = Plan(manifest=MANIFEST.digest, round=1, attempt=1, state=digest("state"), clip=1.0, training=MANIFEST.training)


def _member(seat: int, vault: FolderVault) -> Participant:
    me = Me(MANIFEST, seat, FEDERATION.identities[seat])
    drawn = iter(range(100))
    return Participant(
        me, vault, Trainer(lambda _: UPDATE), rand=lambda size: digest("d", seat, next(drawn))[:size], simulation=True
    )


class Restarting:
    """A cohort whose members are killed after every answer and start again from their folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def exchange(self, requests: Mapping[int, bytes]) -> list[tuple[int, bytes]]:
        """Start, ask, kill."""
        replies = []
        for seat, request in requests.items():
            with FolderVault(self.folder / f"member-{seat}") as vault:
                replies += list(LocalCohort({seat: _member(seat, vault)}).exchange({seat: request}))
        return replies


def test_a_round_survives_members_killed_between_any_two_messages(tmp_path: Path) -> None:
    with FolderJournal(tmp_path / "server") as journal:
        opened = rounds.run_round(
            FEDERATION.server, Network(Restarting(tmp_path)), journal, PLAN, previous=None, attempts=1
        )
        assert journal.held() is None
    expected, _ = plain_sum(MANIFEST, [(org, UPDATE) for org in ORGS], clip=1.0, round_=1)
    assert np.array_equal(opened.total, expected)
    kinds = [unpack(cls, entry).KIND for cls, entry in zip(_STORY, storage.entries(_log(tmp_path)), strict=True)]
    assert kinds == [cls.KIND for cls in _STORY]
    assert (tmp_path / "server" / "upload-1-1-0.bin").exists()


_STORY: tuple[type[rounds.Event], ...] = (
    rounds.RoundOpened,
    rounds.RosterAgreed,
    rounds.SurvivorsAgreed,
    rounds.AggregateReleased,
)


def _log(folder: Path) -> Path:
    return folder / "server" / "events.log"


def test_a_server_killed_while_it_waits_finishes_the_same_sum(tmp_path: Path) -> None:
    """Only the list that was certified can be opened, by whatever process comes next."""
    cohort = Restarting(tmp_path)
    lossy = Network(cohort, on_request=lambda e, s, r: None if e == "certificate" and s < 2 else r)
    for _ in range(2):
        with FolderJournal(tmp_path / "server") as journal, pytest.raises(RoundSuspendedError):
            rounds.run_round(FEDERATION.server, lossy, journal, PLAN, previous=None, attempts=1)
    with FolderJournal(tmp_path / "server") as journal:
        opened = rounds.resume_round(FEDERATION.server, Network(cohort), journal)
    expected, _ = plain_sum(MANIFEST, [(org, UPDATE) for org in ORGS], clip=1.0, round_=1)
    assert np.array_equal(opened.total, expected)


def test_attempts_at_the_server_only_move_up(tmp_path: Path) -> None:
    with FolderJournal(tmp_path) as journal:
        journal.open(PLAN)
        with pytest.raises(OutOfOrderError):
            journal.open(PLAN)


def test_a_crash_before_the_commit_repeats_the_step_and_after_it_the_bytes(tmp_path: Path) -> None:
    """An answer leaves only after its commit, so whoever never got one never sees two."""
    request = rounds.begin(FEDERATION.server, PLAN, previous=None, cohort=[0]).requests[0]

    class Crash(Exception):  # noqa: N818 - not an error of ours
        """The power goes."""

    class Failing(FolderVault):
        def commit(self, record: bytes) -> None:
            del record
            raise Crash

    with Failing(tmp_path) as failing, pytest.raises(Crash):
        _member(0, failing).handle(request)
    with FolderVault(tmp_path) as vault:
        first = _member(0, vault).handle(request)
    with FolderVault(tmp_path) as vault:
        assert _member(0, vault).handle(request) == first


def test_a_restored_backup_refuses_to_start(tmp_path: Path) -> None:
    with FolderVault(tmp_path / "vault", counter=tmp_path / "counter") as vault:
        vault.commit(b"first")
        backup = (tmp_path / "vault" / "record.bin").read_bytes()
        vault.commit(b"second")
        assert vault.load() == b"second"
        (tmp_path / "vault" / "record.bin").write_bytes(backup)
        with pytest.raises(JournalBehindError, match=r"number 1; number 2"):
            vault.load()


def test_a_crash_between_record_and_counter_is_no_rollback(tmp_path: Path) -> None:
    with FolderVault(tmp_path / "vault", counter=tmp_path / "counter") as vault:
        vault.commit(b"first")
        before = (tmp_path / "counter").read_bytes()
        vault.commit(b"second")
        (tmp_path / "counter").write_bytes(before)
        assert vault.load() == b"second"


def test_one_process_works_with_a_folder_at_a_time(tmp_path: Path) -> None:
    with FolderVault(tmp_path), pytest.raises(InUseError):
        FolderVault(tmp_path)
    FolderVault(tmp_path).close()


def test_only_the_owner_can_read_what_is_kept(tmp_path: Path) -> None:
    with FolderVault(tmp_path / "vault") as vault:
        vault.put("secret", b"secret")
        vault.commit(b"record")
        assert stat.S_IMODE((tmp_path / "vault").stat().st_mode) == 0o700
        for file in (tmp_path / "vault").glob("*.bin"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert vault.get("secret") == b"secret"
        vault.erase(["secret", "nothing"])
        assert not (tmp_path / "vault" / "secret.bin").exists()


@pytest.mark.parametrize("name", ["", "../escape", "UPPER", "a/b", "a.b"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with FolderVault(tmp_path) as vault, pytest.raises(ValueError, match="not a name"):
        vault.put(name, b"")


@pytest.mark.parametrize("damage", [b"", b"garbage", b"l\0\0\0\0"])
def test_a_damaged_memory_is_not_guessed_at(tmp_path: Path, damage: bytes) -> None:
    with FolderVault(tmp_path) as vault:
        vault.commit(b"record")
        (tmp_path / "record.bin").write_bytes(damage)
        with pytest.raises(DamagedFileError):
            vault.load()
        with pytest.raises(DamagedFileError):
            vault.get("gone")


def test_a_log_gives_whole_entries_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert storage.entries(log) == []
    storage.append(log, b"one")
    storage.append(log, b"")
    storage.append(log, b"three")
    log.write_bytes(log.read_bytes()[:-1])
    assert storage.entries(log) == [b"one", b""]
    storage.mend(log)
    storage.append(log, b"after the power cut")
    assert storage.entries(log) == [b"one", b"", b"after the power cut"]
    storage.mend(tmp_path / "no log yet")
    with pytest.raises(storage.StorageError):
        storage.append(tmp_path, b"a folder is no log")


def test_key_files_are_private_and_open_again(tmp_path: Path) -> None:
    identity, path = Identity(b"k" * 32), tmp_path / "key"
    salt: Callable[[int], bytes] = bytes
    storage.write_key(path, identity, passphrase=None, rand=salt)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert storage.read_key(path, passphrase=None) == identity
    storage.write_key(path, identity, passphrase="a", rand=salt)  # noqa: S106 - not a secret
    with pytest.raises(BadPassphraseError):
        storage.read_key(path, passphrase=None)


def test_key_files_that_others_can_read_or_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    storage.write_key(path, Identity(b"k" * 32), passphrase=None, rand=bytes)
    path.chmod(0o640)
    with pytest.raises(DamagedFileError, match="Others"):
        storage.read_key(path, passphrase=None)
    path.chmod(0o600)
    path.write_bytes(b"garbage")
    with pytest.raises(DamagedFileError, match="no key file"):
        storage.read_key(path, passphrase=None)
