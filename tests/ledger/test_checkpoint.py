"""Checkpoints: an organisation keeps the last one, and a history that does not extend it is evidence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fedgap.crypto import Identity
from fedgap.ledger import Checkpoint, LedgerError, SplitViewError, watch
from fedgap.ledger.proof import is_growth, prove_entry, prove_growth, read_entry
from fedgap.ledger.tree import consistency_path, leaf_hash, root_of
from fedgap.records import read_record
from tests.ledger.tale import Tale
from tests.ledger.tampering import rewritten, rows_of

Told = tuple[Tale, Path]
STRANGER = Identity(b"s" * 32)


def head_of(tale: Tale, rows: list[bytes], server: Identity | None = None) -> Checkpoint:
    """The checkpoint over these entries."""
    root = root_of([leaf_hash(body) for body in rows])
    return Checkpoint.signed(origin=tale.origin, size=len(rows), root=root, server=server or tale.server)


def test_the_first_checkpoint_and_every_later_one_that_extends_it_are_kept(told: Told) -> None:
    tale, path = told
    rows, head = rows_of(path)
    leaves = [leaf_hash(body) for body in rows]
    kept = watch(None, head_of(tale, rows[:5]), server=tale.server.public)
    for size in (5, 6, 8, 21, len(rows)):
        seen = head_of(tale, rows[:size])
        path_between = consistency_path(leaves[:size], kept.size)
        kept = watch(kept, seen, server=tale.server.public, path=path_between)
        assert seen == kept
    assert head == kept


def test_another_history_is_a_split_view_and_both_heads_are_the_evidence(told: Told) -> None:
    tale, path = told
    rows, _ = rows_of(path)
    other, head = rewritten(rows, tale.server, without=len(rows) - 9)
    same_size = head_of(tale, rows[: len(other)])
    leaves = [leaf_hash(body) for body in other]
    for kept, proof in (
        (same_size, []),
        (head_of(tale, rows[:25]), consistency_path(leaves, 25)),
        (head_of(tale, rows), []),
    ):
        with pytest.raises(SplitViewError) as caught:
            watch(kept, head, server=tale.server.public, path=proof)
        evidence = json.loads(json.dumps(caught.value.evidence))
        for name in ("kept", "seen"):
            assert Checkpoint.of_document(evidence[name]).is_signed_by(bytes.fromhex(evidence["server"]))


def test_an_older_head_than_the_kept_one_is_not_kept(told: Told) -> None:
    tale, path = told
    rows, head = rows_of(path)
    with pytest.raises(SplitViewError):
        watch(head, head_of(tale, rows[:5]), server=tale.server.public)


def test_a_head_that_the_server_did_not_sign_or_of_another_ledger_is_no_evidence(told: Told) -> None:
    tale, path = told
    rows, head = rows_of(path)
    for seen in (head_of(tale, rows, STRANGER), replace(head, size=head.size + 1), replace(head, root=bytes(32))):
        with pytest.raises(LedgerError) as caught:
            watch(head, seen, server=tale.server.public)
        assert not isinstance(caught.value, SplitViewError)
    foreign = Checkpoint.signed(origin=bytes(32), size=1, root=bytes(32), server=tale.server)
    with pytest.raises(LedgerError, match="another federation"):
        watch(head, foreign, server=tale.server.public)


def test_a_checkpoint_survives_json(told: Told) -> None:
    _, head = rows_of(told[1])

    assert head == Checkpoint.of_document(json.loads(json.dumps(head.document())))


@pytest.mark.parametrize(
    "changed", [{"size": -1}, {"size": "1"}, {"size": True}, {"size": 2**70}, {"root": "00"}, {"origin": "zz"}]
)
def test_what_is_no_checkpoint_is_refused(told: Told, changed: dict[str, object]) -> None:
    _, head = rows_of(told[1])
    documents: list[object] = [head.document() | changed, {}, None, [], "x"]
    for document in documents:
        with pytest.raises(LedgerError):
            Checkpoint.of_document(document)


@pytest.mark.parametrize("position", [0, 7, 29])
def test_a_proof_gives_the_entry_to_whoever_knows_the_server(told: Told, position: int) -> None:
    tale, path = told
    rows, head = rows_of(path)
    leaves = [leaf_hash(body) for body in rows]
    proof = json.loads(json.dumps(prove_entry(leaves, position, rows[position], head)))
    entry = read_entry(proof, server=tale.server.public)

    assert entry.body == rows[position]
    read_record(entry.record)
    wrong = [
        proof | {"position": position + 1},
        proof | {"position": float("inf")},
        proof | {"position": str(position)},
        proof | {"position": -1},
        proof | {"body": rows[3].hex()},
        proof | {"body": "00"},
        proof | {"path": proof["path"][:-1]},
        proof | {"path": "x"},
        proof | {"checkpoint": head_of(tale, rows[:29]).document()},
        proof | {"checkpoint": head_of(tale, rows, STRANGER).document()},
        proof | {"kind": "other"},
        {},
        None,
    ]
    for document in wrong:
        with pytest.raises(LedgerError):
            read_entry(document, server=tale.server.public)
    with pytest.raises(LedgerError):
        prove_entry(leaves, 30, b"", head)


def test_growth_is_proven_from_every_kept_checkpoint_and_from_no_other(told: Told) -> None:
    tale, path = told
    rows, head = rows_of(path)
    leaves = [leaf_hash(body) for body in rows]
    for size in (1, 4, 29, 30):
        proof = json.loads(json.dumps(prove_growth(leaves, head_of(tale, rows[:size]), head)))
        assert is_growth(proof)
        assert not is_growth(proof | {"path": [*proof["path"], "00" * 32]})
        assert not is_growth(proof | {"before": head.document() | {"root": "00" * 32}})
    assert not is_growth({})
    for before in (head_of(tale, [b"x", *rows[1:9]]), replace(head, size=31)):
        with pytest.raises(LedgerError):
            prove_growth(leaves, before, head)
