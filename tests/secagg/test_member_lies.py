"""A member that lies: it counts as a dropout, the others' sum is exact, and what can be proven is."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedgap import rounds
from fedgap.crypto import AgreementKey, Identity, digest, leaf_paths, statement
from fedgap.secagg.dealt import columns
from fedgap.secagg.errors import RoundSuspendedError
from fedgap.secagg.evidence import Contradiction, ShareEvidence, contradicts, read_sealed, shows_fault
from fedgap.secagg.messages import Adverts, Agree, Shares, Unmask, Upload, slip
from fedgap.secagg.transcript import Advert, first_transcript
from fedgap.secagg.unmasking import Unmasking
from fedgap.secagg.wire import kind_of, pack, unpack
from tests.secagg.lying_member import (
    LIAR,
    SIGNATURE,
    Case,
    answer_of,
    answer_with,
    check_that_changed_proofs_fail,
    dealt_in,
    with_answers,
)


@pytest.mark.parametrize(
    ("cls", "lie", "reason"),
    [
        (Advert, lambda m: replace(m, mask_public=bytes(31) + b"\7"), SIGNATURE),
        (Advert, lambda m: replace(m, signature=bytes(64)), SIGNATURE),
        (Advert, lambda m: replace(m, seat=0), "it was not asked, or answered for somebody else"),
        (Advert, lambda m: replace(m, seat=900), "it was not asked, or answered for somebody else"),
        (Shares, lambda m: replace(m, rows=m.rows[:-1]), "it dealt to another number of members"),
        (Shares, lambda m: replace(m, rows=m.rows[::-1]), SIGNATURE),
        (Shares, lambda m: replace(m, rows=tuple(bytes(32) + row[32:] for row in m.rows)), SIGNATURE),
        (
            Shares,
            lambda m: replace(m, signatures=m.signatures[:-64]),
            "it dealt to another number of members",
        ),
        (
            Shares,
            lambda m: replace(m, signatures=m.signatures[64:] + m.signatures[:64]),
            SIGNATURE,
        ),
        (Upload, lambda m: replace(m, body=m.body[:-4]), "its vector has another length"),
        (Upload, lambda m: replace(m, body=b""), "its vector has another length"),
        (Upload, lambda m: replace(m, body=m.body + bytes(4)), "its vector has another length"),
        (Upload, lambda m: replace(m, body=bytes([m.body[0] ^ 1]) + m.body[1:]), SIGNATURE),
        (Upload, lambda m: replace(m, body=np.frombuffer(m.body, "<u4").astype(">u4").tobytes()), SIGNATURE),
        (
            Upload,
            lambda m: Agree(seat=m.seat, signature=m.signature),
            "A message is not of the kind 'fedgap/1/upload/1'.",
        ),
    ],
)
def test_an_answer_that_is_wrong_is_a_dropout(cls: type, lie: Callable[..., object], reason: str) -> None:
    case = Case()
    case.lies[cls] = lie
    case.check_sum_without_liar(reason)


def test_a_key_of_small_order_is_a_dropout_of_its_sender() -> None:
    """Passed on, it would make every other member refuse."""
    case = Case()

    def zero(advert: Advert) -> Advert:
        signature = case.liar.sign("advert", case.plan.sid, LIAR, bytes(32), advert.letter_public)
        return replace(advert, mask_public=bytes(32), signature=signature)

    case.lies[Advert] = zero
    case.check_sum_without_liar("a one-time key is of small order")


@pytest.mark.parametrize(
    ("cls", "lie"),
    [
        (Agree, lambda m: replace(m, signature=bytes(64))),
        (Unmask, lambda m: replace(m, shares=m.shares[:-32])),
        (Unmask, lambda m: replace(m, signature=bytes(64))),
        (Unmask, lambda m: replace(m, shares=m.shares[32:] + m.shares[:32])),
        (Unmask, lambda m: replace(m, seat=LIAR + 1)),
    ],
)
def test_whoever_lies_after_its_upload_is_still_in_the_sum(cls: type, lie: Callable[..., object]) -> None:
    case = Case()
    case.lies[cls] = lie
    (fault,) = case.check_full_sum()
    assert fault.seat == LIAR


@pytest.mark.parametrize("wrong", [b"\1" + bytes(31), b"\xff" * 32], ids=["another-element", "no-element"])
def test_a_changed_share_is_named_with_evidence_and_the_others_are_used(wrong: bytes) -> None:
    case = Case()
    case.lies[Unmask] = lambda answer: answer_with(case, answer, wrong + answer.shares[32:])
    faults = case.check_full_sum()
    assert [(fault.seat, fault.reason) for fault in faults] == [(LIAR, "a share is not the one it was dealt")]
    proof = unpack(ShareEvidence, faults[0].evidence or b"")
    assert proof.accused == LIAR
    assert shows_fault(case.manifest, proof)
    check_that_changed_proofs_fail(case, proof)


def test_an_honest_holder_cannot_be_accused() -> None:
    case = Case()
    case.lies[Unmask] = lambda answer: answer_with(case, answer, b"\1" + bytes(31) + answer.shares[32:])
    proof = unpack(ShareEvidence, case.check_full_sum()[0].evidence or b"")
    honest = with_answers(case, proof, [answer_of(case, 1)])
    assert shows_fault(case.manifest, with_answers(case, proof, list(proof.answers)))
    assert not shows_fault(case.manifest, replace(honest, accused=1))


def test_a_dealer_that_signs_other_rows_afterwards_cannot_make_a_holder_look_wrong() -> None:
    """T2 binds each holder's column, so only the row it accepted counts against it."""
    case = Case()
    case.lies[Unmask] = lambda answer: answer_with(case, answer, b"\1" + bytes(31) + answer.shares[32:])
    proof = unpack(ShareEvidence, case.check_full_sum()[0].evidence or b"")
    dealer, holder = proof.dealer, 1
    row = dealer.rows[holder]
    changed = row[:32] + bytes(64) + row[96:]
    t1 = first_transcript(case.manifest, proof.sid, proof.adverts)
    signature = case.federation.identities[dealer.seat].sign("row", t1, (dealer.seat, holder), slip(changed))
    bent = replace(
        dealer,
        rows=(*dealer.rows[:holder], changed, *dealer.rows[holder + 1 :]),
        signatures=dealer.signatures[: 64 * holder] + signature + dealer.signatures[64 * (holder + 1) :],
    )
    framing = replace(with_answers(case, proof, [answer_of(case, holder)]), accused=holder, dealer=bent)
    assert not shows_fault(case.manifest, framing)
    dealt = [bent if shares.seat == dealer.seat else shares for shares in dealt_in(case)]
    relisted = replace(
        framing,
        columns=columns(dealt, count=len(proof.adverts)),
        paths=(leaf_paths([shares.slips[holder] for shares in dealt])[dealer.seat],),
    )
    assert not shows_fault(case.manifest, relisted)


def test_evidence_about_members_outside_the_roster_shows_nothing() -> None:
    case = Case()
    case.lies[Unmask] = lambda answer: answer_with(case, answer, b"\1" + bytes(31) + answer.shares[32:])
    proof = unpack(ShareEvidence, case.check_full_sum()[0].evidence or b"")
    stranger = replace(proof.adverts[-1], seat=900)
    moved = replace(proof, adverts=(*proof.adverts[:-1], stranger), dealers=(*proof.dealers[:-1], 900))
    assert not shows_fault(case.manifest, replace(moved, dealer=replace(proof.dealer, seat=900)))


def test_too_many_changed_shares_leave_the_round_waiting() -> None:
    """With fewer than t shares as dealt nothing opens; all who changed one are named."""
    case = Case()

    def change(seat: int, reply: bytes) -> list[tuple[int, bytes]]:
        if kind_of(reply) == f"fedgap/1/{Unmask.KIND}" and seat < 3:
            answer = unpack(Unmask, reply)
            shares = b"\1" + bytes(31) + answer.shares[32:]
            agreed = next(event.agreed for event in case.journal.events if isinstance(event, rounds.SurvivorsAgreed))
            identity = case.federation.identities[seat]
            signature = identity.sign("unmask", agreed, seat, digest("unmask-shares", shares))
            return [(seat, pack(replace(answer, shares=shares, signature=signature)))]
        return [(seat, reply)]

    case.deliver = change
    with pytest.raises(RoundSuspendedError):
        case.run()
    waiting = unpack(Unmasking, case.journal.held() or b"")
    assert [fault.seat for fault in waiting.faults] == [0, 1, 2]


@pytest.mark.parametrize("first", [True, False])
def test_two_signed_answers_to_one_request_are_a_proof(first: bool) -> None:  # noqa: FBT001 - a pytest parameter
    case = Case()

    def twice(seat: int, reply: bytes) -> list[tuple[int, bytes]]:
        if seat != LIAR or kind_of(reply) != f"fedgap/1/{Advert.KIND}":
            return [(seat, reply)]
        other = AgreementKey(b"o" * 32).public
        signature = case.liar.sign("advert", case.plan.sid, LIAR, other, other)
        second = pack(Advert(seat=LIAR, mask_public=other, letter_public=other, signature=signature))
        return [(seat, reply), (seat, second), (seat, reply)] if first else [(seat, reply), (seat, reply)]

    case.deliver = twice
    faults = case.check_full_sum()
    assert [fault.reason for fault in faults] == (["it signed two different answers"] if first else [])
    if first:
        proof = unpack(Contradiction, faults[0].evidence or b"")
        assert proof.public == case.liar.public
        assert contradicts(proof)
        for other in (
            replace(proof, second=proof.first, second_signature=proof.first_signature),
            replace(proof, second_signature=proof.first_signature),
            replace(proof, public=case.federation.identities[0].public),
            replace(proof, second=b"garbage"),
        ):
            assert not contradicts(other)


@pytest.mark.parametrize("holder", [LIAR, LIAR + 1])
def test_two_signed_rows_for_one_holder_are_a_proof(holder: int) -> None:
    """Rows are signed one by one, so each is looked at; also the one to itself, with the commitment to b."""
    case = Case()

    def twice(seat: int, reply: bytes) -> list[tuple[int, bytes]]:
        if seat != LIAR or kind_of(reply) != f"fedgap/1/{Shares.KIND}":
            return [(seat, reply)]
        shares = unpack(Shares, reply)
        adverts = read_sealed(case.manifest, case.members[LIAR]._vault.get("000001-01-adverts-request"))
        assert isinstance(adverts, Adverts)
        t1 = first_transcript(case.manifest, case.plan.sid, adverts.adverts)
        row = bytes(32) + shares.rows[holder][32:]
        signature = case.liar.sign("row", t1, (LIAR, holder), slip(row))
        second = replace(
            shares,
            rows=(*shares.rows[:holder], row, *shares.rows[holder + 1 :]),
            signatures=shares.signatures[: 64 * holder] + signature + shares.signatures[64 * (holder + 1) :],
        )
        return [(seat, reply), (seat, pack(second)), (seat, reply)]

    case.deliver = twice
    (fault,) = case.check_full_sum()
    assert fault.reason == "it signed two different answers"
    proof = unpack(Contradiction, fault.evidence or b"")
    assert proof.public == case.liar.public
    assert contradicts(proof)


def test_statements_that_may_be_made_often_contradict_nobody() -> None:
    key = Identity(b"k" * 32)
    for first, second in (
        (("manifest", bytes(32), 0, 1), ("manifest", bytes(32), 0, 2)),
        (("advert", bytes(32)), ("advert", bytes(31))),
        (("advert", b"one attempt", 0, 1), ("advert", b"another", 0, 1)),
        (("advert", b"one attempt", 0, 1), ("advert", b"one attempt", 1, 1)),
    ):
        said = statement(*first), statement(*second)
        signatures = [key._key.sign(part) for part in said]
        proof = Contradiction(
            public=key.public,
            first=said[0],
            first_signature=signatures[0],
            second=said[1],
            second_signature=signatures[1],
        )
        assert not contradicts(proof)
