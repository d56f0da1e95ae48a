"""A site and the ledger that the server shows it: kept, compared, co-signed; two ledgers are noticed, with evidence."""

import json
from pathlib import Path

import pytest

from fedgap.crypto import BadBytesError, Identity
from fedgap.crypto.codec import pack
from fedgap.flower.site_settling import Witness
from fedgap.ids import OrgId
from fedgap.ledger import Checkpoint, LedgerError, SplitViewError
from fedgap.ledger.shown import NoProofError, ShownCheckpoint, show
from fedgap.ledger.tree import leaf_hash, root_of
from fedgap.records import is_record_signed, write_record
from fedgap.storage import DamagedFileError

SERVER, ASH = Identity(b"s" * 32), Identity(b"a" * 32)
ORIGIN = bytes(32)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


def shown(size: int, *, sizes: tuple[int, ...] = (), leaves: list[bytes] = LEAVES, server: Identity = SERVER) -> bytes:
    """What the server sends when its ledger has so many entries."""
    first = leaves[:size]
    head = Checkpoint.signed(origin=ORIGIN, size=size, root=root_of(first), server=server)
    return pack(show(head, first, sizes))


def witness(folder: Path) -> Witness:
    """A site that has just started."""
    return Witness(folder=folder, org=OrgId("ash"), identity=ASH, server=SERVER.public)


def test_a_growing_ledger_is_co_signed_through_restarts_and_missed_rounds(tmp_path: Path) -> None:
    """The server proves growth from every checkpoint that somebody may have kept."""
    sizes = (3, 7, 19, 40)
    for size in (3, 19, 40):  # this site was away when the ledger had 7 entries
        request = shown(size, sizes=sizes)
        signature = witness(tmp_path)(request)
        kept = witness(tmp_path).kept()
        assert kept is not None
        assert size == kept.size
        record = write_record(kept.cosigned(OrgId("ash")))
        assert is_record_signed(ASH.public, signature, record, origin=ORIGIN)
        assert signature == witness(tmp_path)(request), "the same again gets the same signature"


def test_a_server_that_shows_two_ledgers_is_noticed_and_both_heads_are_kept(tmp_path: Path) -> None:
    witness(tmp_path)(shown(19))
    other = [*LEAVES[:5], leaf_hash(b"another history"), *LEAVES[6:]]
    before = (tmp_path / "checkpoint.bin").read_bytes()
    for request in (shown(19, leaves=other), shown(30, sizes=(19,), leaves=other), shown(7)):
        with pytest.raises(SplitViewError):
            witness(tmp_path)(request)

    found = [json.loads(path.read_bytes()) for path in tmp_path.glob("split-view-*.json")]
    assert len(found) == 3
    for evidence in found:
        for name in ("kept", "seen"):
            assert Checkpoint.of_document(evidence[name]).is_signed_by(bytes.fromhex(evidence["server"]))
    assert before == (tmp_path / "checkpoint.bin").read_bytes()


def test_what_is_not_proven_or_not_signed_is_not_co_signed(tmp_path: Path) -> None:
    witness(tmp_path)(shown(19))
    with pytest.raises(NoProofError):
        witness(tmp_path)(shown(30, sizes=(18,)))
    with pytest.raises(LedgerError):
        witness(tmp_path)(shown(30, sizes=(19,), server=ASH))
    with pytest.raises(BadBytesError):
        witness(tmp_path)(b"\x00")
    (tmp_path / "checkpoint.bin").write_bytes(b"damaged")
    with pytest.raises(DamagedFileError):
        witness(tmp_path)(shown(30, sizes=(19,)))


def test_only_sizes_before_the_present_one_are_proven() -> None:
    head = Checkpoint.signed(origin=ORIGIN, size=10, root=root_of(LEAVES[:10]), server=SERVER)

    assert [one.before for one in show(head, LEAVES[:10], (0, 4, 4, 9, 10, 11)).growths] == [4, 9]
    assert show(head, LEAVES[:10], ()) == ShownCheckpoint(checkpoint=head, growths=())
