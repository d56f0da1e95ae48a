"""Whatever is done to a ledger's file shows, and the first bad entry has a name."""

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fedgap.crypto import Identity
from fedgap.ids import OrgId
from fedgap.ledger import Chain, Checkpoint, LedgerError, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.ledger.verify import SERVER
from tests.ledger.tale import Tale
from tests.ledger.tampering import BESIDE, WITHOUT_KEYS, rewritten, rows_of, write_rows

Told = tuple[Tale, Path]


def test_an_honest_ledger_is_whole(told: Told) -> None:
    tale, path = told
    found = verify_file(path, Trust())

    assert found.fault is None
    assert found.origin == tale.origin
    assert (found.federation, found.version, found.members) == ("tale", 1, tuple(tale.orgs))
    assert not found.compared
    assert tale.head is not None
    assert (tale.head.size, tale.head.root) == (found.entries, found.root)


@pytest.mark.parametrize("how", WITHOUT_KEYS)
@pytest.mark.parametrize("seed", range(12))
def test_what_is_done_without_keys_shows_where_it_was_done(told: Told, tmp_path: Path, how: str, seed: int) -> None:
    """Everything before `since` is as it was; the first difference is between `since` and the named entry."""
    rows, head = rows_of(told[1])
    after = WITHOUT_KEYS[how](rows, random.Random(seed))  # noqa: S311 - repeatable on purpose
    fault = verify_file(write_rows(tmp_path / "l.sqlite", after, head), Trust()).fault

    first = next((at for at, (a, b) in enumerate(zip(rows, after, strict=False)) if a != b), min(len(rows), len(after)))
    assert fault is not None
    assert fault.position is not None
    assert fault.since is not None
    assert fault.since <= first <= fault.position


def test_a_gap_in_the_numbers_names_the_missing_entry(told: Told, tmp_path: Path) -> None:
    rows, head = rows_of(told[1])
    path = write_rows(tmp_path / "l.sqlite", rows, head, more=("DELETE FROM entry WHERE position = 5",))
    fault = verify_file(path, Trust()).fault

    assert fault is not None
    assert (fault.position, fault.since, fault.code) == (5, 5, "missing-entry")


@pytest.mark.parametrize("what", BESIDE)
def test_nothing_else_may_be_in_the_file(told: Told, tmp_path: Path, what: str) -> None:
    rows, head = rows_of(told[1])
    assert verify_file(write_rows(tmp_path / "l.sqlite", rows, head), Trust()).fault is None

    fault = verify_file(write_rows(tmp_path / "l.sqlite", rows, head, more=BESIDE[what]), Trust()).fault

    assert fault is not None


def test_bytes_behind_the_database_show(told: Told, tmp_path: Path) -> None:
    path = Path(shutil.copy(told[1], tmp_path))
    with path.open("ab") as file:
        file.write(b"a note")
    fault = verify_file(path, Trust()).fault

    assert fault is not None
    assert fault.code == "foreign-content"


@pytest.mark.parametrize("start", range(7))
def test_a_changed_byte_of_the_file_changes_nothing_that_is_read_or_shows(
    told: Told, tmp_path: Path, start: int
) -> None:
    """Every stored byte of an entry and of the checkpoint counts; what SQLite itself ignores stays ignored."""
    content, path = told[1].read_bytes(), tmp_path / "l.sqlite"
    honest, found_ok = rows_of(told[1]), 0
    for at in range(start * 13, len(content), 331):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        with suppress(LedgerError):
            if verify_file(path, Trust()).fault is None:
                assert rows_of(path) == honest
                found_ok += 1
    assert found_ok < len(content) / 331


def test_an_old_copy_and_a_rewritten_history_show_beside_a_kept_checkpoint(told: Told, tmp_path: Path) -> None:
    tale, path = told
    rows, head = rows_of(path)
    chain = Chain()
    for body in rows[:12]:
        chain.add(body)
    old = Checkpoint.signed(origin=tale.origin, size=12, root=chain.root, server=tale.server)
    older = write_rows(tmp_path / "old.sqlite", rows[:12], old)
    other = write_rows(tmp_path / "other.sqlite", *rewritten(rows, tale.server, without=len(rows) - 9))

    assert verify_file(path, Trust(checkpoints=[old, head])).fault is None
    assert verify_file(older, Trust()).fault is None
    assert verify_file(other, Trust()).fault is None
    rolled_back = verify_file(older, Trust(checkpoints=[head])).fault
    assert rolled_back is not None
    assert (rolled_back.code, rolled_back.position) == ("rolled-back", 12)
    assert (split := verify_file(other, Trust(checkpoints=[old, head])).fault) is not None
    assert split.code in {"split-view", "rolled-back"}
    foreign = replace(head, origin=bytes(32))
    assert (fault := verify_file(path, Trust(checkpoints=[foreign])).fault) is not None
    assert fault.code == "foreign-checkpoint"
    unsigned = replace(head, signature=bytes(64))
    assert (fault := verify_file(path, Trust(checkpoints=[unsigned])).fault) is not None
    assert fault.code == "unsigned-checkpoint"


def test_a_co_signature_holds_the_server_to_its_history(tmp_path: Path) -> None:
    tale = Tale(rounds=6)
    path = tmp_path / "l.sqlite"
    tale.write(path)
    found = verify_file(path, Trust())
    assert found.fault is None
    assert found.cosigned
    rows, _ = rows_of(path)

    with pytest.raises(Exception, match="co-signs a history"):
        rewritten(rows, tale.server, without=2)


def test_what_is_known_from_elsewhere_is_compared(told: Told) -> None:
    tale, path = told
    keys = {str(org): key.public for org, key in tale.keys.items()} | {SERVER: tale.server.public}

    assert verify_file(path, Trust(manifest=tale.origin)).compared
    assert verify_file(path, Trust(keys=keys)).compared
    for trust in (
        Trust(manifest=bytes(32)),
        Trust(keys={}),
        Trust(keys={name: key for name, key in keys.items() if name != SERVER}),
        Trust(keys=keys | {"org-1": Identity(b"x" * 32).public}),
    ):
        found = verify_file(path, trust)
        assert found.fault is not None
        assert found.fault.code.startswith("untrusted-")
        assert not found.compared


def test_an_empty_file_of_entries_is_no_ledger(told: Told, tmp_path: Path) -> None:
    _, head = rows_of(told[1])
    fault = verify_file(write_rows(tmp_path / "l.sqlite", [], head), Trust()).fault

    assert fault is not None
    assert (fault.position, fault.code) == (0, "no-manifest")


def test_reading_leaves_nothing_behind(told: Told) -> None:
    verify_file(told[1], Trust())

    assert [told[1].name] == [path.name for path in told[1].parent.iterdir()]


def test_the_document_of_what_was_found_is_plain_json(told: Told) -> None:
    document = verify_file(told[1], Trust()).document()

    assert document["ok"] is True
    assert document["manifest"] == told[0].origin.hex()
    assert document["members"] == [OrgId("org-0"), OrgId("org-1"), OrgId("org-2")]


def test_an_entry_can_be_taken_out_of_the_middle(told: Told) -> None:
    rows, _ = rows_of(told[1])
    with StoredLedger(told[1]) as stored:
        assert rows[7] == stored.body(7)
        assert stored.body(10**6) == b""
        assert [entry["entry"] for entry in stored.described(27)] == [27, 28, 29]
