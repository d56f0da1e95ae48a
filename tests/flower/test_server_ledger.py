"""The ledger of a deployed server: made once, taken up where it stands, and shown with proofs for everybody."""

import sqlite3
from pathlib import Path

import pytest

from fedgap.crypto import Identity
from fedgap.crypto.codec import unpack
from fedgap.flower.server_ledger import ServerLedger
from fedgap.flower.site_settling import Witness
from fedgap.ids import FederationId, OrgId
from fedgap.ledger import Trust
from fedgap.ledger.reading import copy_ledger, is_blank, verify_file
from fedgap.ledger.shown import ShownCheckpoint
from fedgap.records import UtilityObserved
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.local import local_federation
from fedgap.secagg.manifest import SignedManifest, approve
from fedgap.storage import FolderJournal

ENCODING = Encoding(parameters=3, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
LOCAL = local_federation(FederationId("test"), {OrgId(name): 10 for name in ("a", "b", "c")}, ENCODING, seed=1)
SIGNED = SignedManifest(
    manifest=LOCAL.manifest, approvals=tuple(approve(LOCAL.manifest, identity) for identity in LOCAL.identities)
)


def opened(folder: Path, journal: FolderJournal) -> ServerLedger:
    """Open the ledger as a server does when it starts."""
    return ServerLedger(folder / "ledger.sqlite", LOCAL.server.identity, [SIGNED], journal, policy=None)


def observed(round_: int) -> UtilityObserved:
    """Something that the server writes."""
    return UtilityObserved(round=round_, utility=round_, evaluation=LOCAL.manifest.evaluation)


def witness(folder: Path, seat: int) -> Witness:
    """A member's site."""
    (folder / f"site-{seat}").mkdir(exist_ok=True)
    org, identity = LOCAL.manifest.members[seat].id, LOCAL.identities[seat]
    return Witness(folder=folder / f"site-{seat}", org=org, identity=identity, server=LOCAL.manifest.server)


def test_it_is_taken_up_where_it_stands(tmp_path: Path) -> None:
    with FolderJournal(tmp_path / "journal") as journal:
        with opened(tmp_path, journal) as ledger:
            ledger.add(observed(0))
            origin = ledger.origin
        with opened(tmp_path, journal) as again:
            assert (origin, 0, 0, set[int]()) == (again.origin, again.observed, again.released, again.estimated)
            again.take([SIGNED])  # nothing new
    assert verify_file(tmp_path / "ledger.sqlite", Trust()).entries == 2


def test_a_server_killed_while_it_made_the_file_makes_it_anew(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    assert is_blank(tmp_path / "ledger.sqlite")

    with FolderJournal(tmp_path / "journal") as journal:
        opened(tmp_path, journal).__exit__()

    assert not is_blank(tmp_path / "ledger.sqlite")
    assert verify_file(tmp_path / "ledger.sqlite", Trust()).fault is None


def test_co_signatures_of_what_was_shown_are_records_and_others_are_not(tmp_path: Path) -> None:
    """Members that were away are shown proofs from what they kept; a signature is taken for the size it is over."""
    with FolderJournal(tmp_path / "journal") as journal:
        with opened(tmp_path, journal) as ledger:
            first = ledger.show()
            early = {0: witness(tmp_path, 0)(first), 1: witness(tmp_path, 1)(first)}
            ledger.add(*ledger.cosignatures(LOCAL.manifest, {0: early[0]}))
            ledger.show()
            ledger.add(observed(0))
        with opened(tmp_path, journal) as ledger:
            late = {seat: witness(tmp_path, seat)(ledger.show()) for seat in range(3)}
            found = ledger.cosignatures(LOCAL.manifest, {**late, 2: b"x" * 64})
            assert [one.record.organisation for one in found] == ["a", "b"]  # type: ignore[union-attr]  # co-signatures
            ledger.add(*found)
            assert ledger.cosignatures(LOCAL.manifest, late) == ledger.cosignatures(LOCAL.manifest, {2: late[2]})
    assert verify_file(tmp_path / "ledger.sqlite", Trust()).cosigned == {"a": 3, "b": 3}


def test_what_is_shown_twice_without_an_entry_between_is_the_same(tmp_path: Path) -> None:
    with FolderJournal(tmp_path / "journal") as journal, opened(tmp_path, journal) as ledger:
        assert ledger.show() == ledger.show()
        assert unpack(ShownCheckpoint, ledger.show()).checkpoint.size == 1


def test_a_copy_made_while_a_server_writes_is_whole(tmp_path: Path) -> None:
    with FolderJournal(tmp_path / "journal") as journal, opened(tmp_path, journal) as ledger:
        ledger.add(observed(0))
        copy_ledger(tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite")

    assert verify_file(tmp_path / "copy.sqlite", Trust()).fault is None
    assert verify_file(tmp_path / "copy.sqlite", Trust()).entries == 2


def test_another_servers_key_does_not_open_it(tmp_path: Path) -> None:
    with FolderJournal(tmp_path / "journal") as journal:
        opened(tmp_path, journal).__exit__()
        with pytest.raises(Exception, match="not that of this ledger's server"):
            ServerLedger(tmp_path / "ledger.sqlite", Identity(b"x" * 32), [SIGNED], journal, policy=None)
