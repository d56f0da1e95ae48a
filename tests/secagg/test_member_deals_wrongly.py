"""A member that deals key shares that do not fit: noticed before or after the sum, and provable."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedgap.secagg.errors import ComplaintError, UnusableSumError
from fedgap.secagg.evidence import ShareEvidence, shows_fault
from fedgap.secagg.messages import Accusation, Complaint, Unmask, Upload
from fedgap.secagg.wire import kind_of, unpack
from tests.secagg.lying_member import (
    LIAR,
    SIGNATURE,
    Case,
    Dealer,
    N,
    answer_of,
    answer_with,
    check_that_changed_proofs_fail,
    other_share,
    with_answers,
)


def test_dealing_again_without_bending_is_fine() -> None:
    case = Case()
    Dealer(case).take_part()
    assert case.check_full_sum() == ()


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        ({"bend_letter": other_share}, "commitment"),
        ({"bend_letter": lambda holder, share: share if holder == LIAR else share[32:] + share[:32]}, "commitment"),
        ({"bend_hash": other_share}, "commitment"),
        ({"turn": lambda holder: int(holder > LIAR)}, "letter"),
        ({"bend_commitment": lambda holder, c: c if holder == LIAR else bytes(32)}, "commitment"),
        (
            {
                "bend_letter": lambda holder, share: share if holder == LIAR else b"\xff" * 32 + share[32:],
                "bend_hash": lambda holder, share: share if holder == LIAR else b"\xff" * 32 + share[32:],
            },
            "letter",
        ),
    ],
)
def test_rows_that_do_not_fit_are_complained_about_before_anybody_uploads(
    bend: dict[str, Callable[..., bytes]], reason: str
) -> None:
    """All others name the dealer, so it leaves the cohort."""
    case = Case()
    Dealer(case, **bend).take_part()  # type: ignore[arg-type]  # one of its parts
    complaints: list[Complaint] = []

    def listen(seat: int, reply: bytes) -> list[tuple[int, bytes]]:
        if kind_of(reply) == f"fedgap/1/{Complaint.KIND}":
            complaints.append(unpack(Complaint, reply))
        return [(seat, reply)]

    case.deliver = listen
    with pytest.raises(ComplaintError) as caught:
        case.run()
    assert {seat: set(by) for seat, by in caught.value.accused.items()} == {LIAR: set(range(N)) - {LIAR}}
    assert {complaint.accusations for complaint in complaints} == {(Accusation(seat=LIAR, reason=reason),)}


def test_a_dealer_of_inconsistent_shares_is_named_once_its_secret_is_needed() -> None:
    """Every holder got what was signed, but the shares lie on no polynomial: only opening them shows it."""
    case = Case()
    Dealer(case, bend_letter=other_share, bend_hash=other_share).take_part()
    with pytest.raises(UnusableSumError, match=f"member {LIAR}") as caught:
        case.run()
    proof = unpack(ShareEvidence, caught.value.evidence or b"")
    assert proof.accused == LIAR
    assert shows_fault(case.manifest, proof)
    check_that_changed_proofs_fail(case, proof)
    assert not shows_fault(case.manifest, replace(proof, answers=proof.answers[1:]))


def test_a_dealer_whose_shares_fit_cannot_be_accused() -> None:
    case = Case()
    case.lies[Unmask] = lambda answer: answer_with(case, answer, b"\1" + bytes(31) + answer.shares[32:])
    proof = unpack(ShareEvidence, case.check_full_sum()[0].evidence or b"")
    answers = [answer_of(case, seat) for seat in range(N) if seat != LIAR]
    whole = with_answers(case, proof, answers[: case.manifest.quorum.t])
    assert not shows_fault(case.manifest, replace(whole, accused=proof.dealer.seat, of_dealing=True))


def test_a_complaint_must_be_signed_and_about_somebody_else() -> None:
    case = Case()

    def complain(signature: bytes | None, accused: int) -> Callable[[Upload], Complaint]:
        accusations = (Accusation(seat=accused, reason="letter"),)
        said = signature or case.liar.sign("complaint", case.plan.sid, LIAR, [(accused, "letter")])
        return lambda _: Complaint(seat=LIAR, accusations=accusations, signature=said)

    case.lies[Upload] = complain(bytes(64), 0)
    case.check_sum_without_liar(SIGNATURE)
    case = Case()
    case.lies[Upload] = complain(None, LIAR)
    assert {survivor.seat for survivor in case.run().outcome.survivors} == set(range(N)) - {LIAR}
    case = Case()
    case.lies[Upload] = complain(None, 0)
    with pytest.raises(ComplaintError, match="member 0 by 2"):
        case.run()


@pytest.mark.parametrize("kind", ["advert", "shares", "upload"])
def test_garbage_is_a_dropout(kind: str) -> None:
    case = Case()
    case.deliver = lambda seat, reply: [
        (seat, b"garbage" if seat == LIAR and kind_of(reply) == f"fedgap/1/{kind}/1" else reply)
    ]
    opened = case.run()
    assert {survivor.seat for survivor in opened.outcome.survivors} == set(range(N)) - {LIAR}
