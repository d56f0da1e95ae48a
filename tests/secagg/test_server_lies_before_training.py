"""A server that lies in exchanges 1 to 3: refused before anybody trains, and provable lies leave evidence."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedgap.crypto import AgreementKey, digest, root_of_chunks
from fedgap.secagg.dealt import relays
from fedgap.secagg.encoding import Contribution
from fedgap.secagg.errors import (
    AlreadyOpenedError,
    BadServerMessageError,
    BadUpdateError,
    EquivocationError,
    JournalBehindError,
    OutOfOrderError,
    PlanMismatchError,
)
from fedgap.secagg.evidence import ServerEvidence, server_fault
from fedgap.secagg.local import MemoryVault
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Adverts,
    Invite,
    Relay,
    seal,
)
from fedgap.secagg.participant import Participant
from fedgap.secagg.stages import Uploading
from fedgap.secagg.transcript import agreement
from tests.secagg.lying_server import (
    VICTIM,
    ZEROS,
    Case,
    N,
    Stubborn,
    advert_of,
    counting,
    finished,
    flipped,
    with_first_changed,
)


def test_honest_messages_show_no_fault() -> None:
    case = Case()
    case.before("certificate")
    for seat in range(N):
        received = tuple(request for (_, to), request in case.requests.items() if to == seat)
        assert len(received) == 5
        assert server_fault(case.manifest, ServerEvidence(messages=received)) is None


@pytest.mark.parametrize("field", ["state", "clip", "training"])
def test_a_plan_that_is_not_our_own_is_refused(field: str) -> None:
    case = Case()
    stubborn = Stubborn(lambda _: ZEROS)
    Stubborn.ours = case.plan
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    case.members[VICTIM] = Participant(me, MemoryVault(), stubborn, rand=counting(0), simulation=True)
    value = 2.0 if field == "clip" else digest("other")
    theirs = replace(case.plan, **{field: value})  # type: ignore[arg-type]  # one field of the plan
    request = seal(case.server.identity, Invite(plan=theirs, previous=None))
    assert field in case.refused(request, PlanMismatchError, provable=False).cause


@pytest.mark.parametrize(("field", "value"), [("manifest", bytes(32)), ("clip", 10.5), ("clip", 0.05)])
def test_a_plan_outside_the_manifest_is_refused_whatever_the_application_says(field: str, value: bytes | float) -> None:
    case = Case()
    theirs = replace(case.plan, **{field: value})  # type: ignore[arg-type]  # one field of the plan
    case.refused(seal(case.server.identity, Invite(plan=theirs, previous=None)), PlanMismatchError, provable=False)


def test_two_plans_for_one_attempt_are_a_contradiction() -> None:
    case = Case()
    case.before("adverts")
    other = Invite(plan=replace(case.plan, clip=2.0), previous=None)
    case.refused(seal(case.server.identity, other), EquivocationError, provable=True)


def test_an_earlier_round_or_attempt_is_refused() -> None:
    case = Case()
    case.plan = replace(case.plan, round=5, attempt=2)
    case.before("adverts")
    for round_, attempt in ((5, 1), (4, 9)):
        plan = replace(case.plan, round=round_, attempt=attempt)
        case.refused(seal(case.server.identity, Invite(plan=plan, previous=None)), OutOfOrderError, provable=False)


def test_a_state_that_was_opened_is_never_trained_on_again() -> None:
    """A second sum on it, without one member, would reveal that member's update as the difference."""
    case = Case()
    finished(case)
    again = Invite(plan=replace(case.plan, round=2), previous=None)
    case.refused(seal(case.server.identity, again), AlreadyOpenedError, provable=False)
    case.members[VICTIM] = case.member(VICTIM)
    case.refused(seal(case.server.identity, again), AlreadyOpenedError, provable=False)


def test_the_last_sum_is_checked_before_it_is_applied() -> None:
    case = Case()
    outcome = finished(case)
    following = replace(case.plan, round=2, state=digest("state", 2))
    wrong = [
        replace(outcome, total=flipped(outcome.total)),
        replace(outcome, total=outcome.total[:-4]),
        replace(outcome, voices=outcome.voices[: case.manifest.tau - 1]),
        replace(outcome, voices=(outcome.voices[0], *outcome.voices)),
        replace(outcome, survivors=outcome.survivors[:-1]),
        replace(outcome, survivors=outcome.survivors[:2]),
        replace(outcome, plan=replace(outcome.plan, clip=3.0)),
        replace(outcome, plan=replace(outcome.plan, manifest=digest("other"))),
    ]
    for previous in wrong:
        case.refused(
            seal(case.server.identity, Invite(plan=following, previous=previous)), BadServerMessageError, provable=False
        )
    assert case.members[VICTIM].handle(seal(case.server.identity, Invite(plan=following, previous=outcome)))


def test_a_sum_whose_canaries_do_not_count_is_not_applied() -> None:
    case = Case()
    outcome = finished(case)
    total = np.frombuffer(outcome.total, "<u4").copy()
    total[8] += 1
    agreed = agreement(outcome.plan.sid, outcome.t2, outcome.survivors)
    signature = case.server.identity.sign("sum", agreed, -1, root_of_chunks("sum", total.tobytes()))
    previous = replace(outcome, total=total.tobytes(), signature=signature)
    following = replace(case.plan, round=2, state=digest("state", 2))
    request = seal(case.server.identity, Invite(plan=following, previous=previous))
    assert "canaries" in case.refused(request, BadServerMessageError, provable=False).cause


def test_a_restored_backup_is_noticed_by_our_own_later_upload() -> None:
    case = Case()
    outcome = finished(case)
    case.vaults[VICTIM] = MemoryVault()
    case.members[VICTIM] = case.member(VICTIM)
    following = replace(case.plan, round=2, state=digest("state", 2))
    with pytest.raises(JournalBehindError):
        case.members[VICTIM].handle(seal(case.server.identity, Invite(plan=following, previous=outcome)))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, adverts=(replace(m.adverts[0], mask_public=bytes(31) + b"\7"), *m.adverts[1:])),
        lambda m: replace(m, adverts=(replace(m.adverts[0], letter_public=bytes(31) + b"\7"), *m.adverts[1:])),
        lambda m: replace(
            m, adverts=(replace(m.adverts[0], signature=flipped(m.adverts[0].signature)), *m.adverts[1:])
        ),
        lambda m: replace(m, adverts=(replace(m.adverts[1], seat=0), *m.adverts[1:])),
        lambda m: replace(m, adverts=(m.adverts[0], *m.adverts)),
        lambda m: replace(m, adverts=m.adverts[::-1]),
        lambda m: replace(m, adverts=m.adverts[:2]),
        lambda m: replace(m, adverts=()),
        lambda m: replace(m, adverts=(*m.adverts, replace(m.adverts[0], seat=N))),
    ],
    ids=[
        "mask-key",
        "letter-key",
        "signature",
        "another-member's",
        "twice",
        "order",
        "too-few",
        "nobody",
        "not-in-the-roster",
    ],
)
def test_replaced_added_or_missing_adverts_are_refused(change: Callable[[Adverts], Adverts]) -> None:
    case = Case()
    case.refused(case.lie(Adverts, change), BadServerMessageError, provable=True)


def test_an_advert_of_another_round_is_refused() -> None:
    case = Case()
    stale = advert_of(case, 0, key=AgreementKey(b"m" * 32).public, sid=digest("another round"))
    request = case.lie(Adverts, lambda m: replace(m, adverts=(stale, *m.adverts[1:])))
    case.refused(request, BadServerMessageError, provable=True)


def test_a_key_of_small_order_is_refused() -> None:
    case = Case()
    zero = advert_of(case, 0, key=bytes(32))
    request = case.lie(Adverts, lambda m: replace(m, adverts=(zero, *m.adverts[1:])))
    case.refused(request, BadServerMessageError, provable=True)


def test_our_own_advert_must_be_there_unchanged() -> None:
    case = Case()
    request = case.lie(Adverts, lambda m: replace(m, adverts=(m.adverts[0], *m.adverts[2:])))
    case.refused(request, EquivocationError, provable=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: with_first_changed(m, slip=flipped(m.entries[0].slip)),
        lambda m: with_first_changed(m, slip=flipped(m.entries[0].slip[:32]) + m.entries[0].slip[32:]),
        lambda m: with_first_changed(m, slip=m.entries[2].slip),
        lambda m: replace(m, path=m.path[:-1]),
        lambda m: replace(m, path=m.path[::-1]),
        lambda m: replace(m, dealt=flipped(m.dealt)),
        lambda m: with_first_changed(m, signature=flipped(m.entries[0].signature)),
        lambda m: replace(m, entries=m.entries[:2]),
        lambda m: replace(m, entries=m.entries[:3]),
        lambda m: replace(m, entries=(m.entries[0], *m.entries)),
    ],
    ids=[
        "letter",
        "commitment",
        "another's-row",
        "path",
        "order",
        "root",
        "signature",
        "too-few",
        "one-missing",
        "twice",
    ],
)
def test_what_a_dealer_signed_cannot_be_changed_on_its_way(change: Callable[[Relay], Relay]) -> None:
    """The server is at fault, provably, and not the dealer."""
    case = Case()
    case.refused(case.lie(Relay, change), BadServerMessageError, provable=True)


@pytest.mark.parametrize("field", ["recipient", "position", "count"])
def test_rows_meant_for_somebody_else_are_refused(field: str) -> None:
    case = Case()
    request = case.lie(Relay, lambda m: replace(m, **{field: getattr(m, field) + 1}))
    case.refused(request, BadServerMessageError, provable=True)


def test_members_that_saw_other_keys_do_not_go_on() -> None:
    case = Case()
    request = case.lie(Relay, lambda m: replace(m, t1=digest("another view")))
    case.refused(request, EquivocationError, provable=True)


def test_our_own_rows_must_be_there() -> None:
    case = Case()

    def without_ours(message: Relay) -> Relay:
        assert isinstance(case.state, Uploading)
        dealt = [shares for shares in case.state.shares if shares.seat != VICTIM]
        return relays(message.sid, t1=message.t1, seats=range(N), dealt=dealt)[VICTIM]

    case.refused(case.lie(Relay, without_ours), BadServerMessageError, provable=False)


def test_training_that_overflows_sends_nothing_and_may_be_repeated() -> None:
    case = Case()
    request = case.before("relay")[VICTIM]
    broken = Contribution(update=np.full(8, np.nan, np.float32), statistics=ZEROS.statistics, metrics={})
    with pytest.raises(BadUpdateError):
        case.member(VICTIM, train=broken).handle(request)
    assert case.member(VICTIM).handle(request) is not None
