"""Short invitations: whoever saw the last list is sent the sum only, and nothing is believed that does not fit."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from fedgap import rounds
from fedgap.crypto import digest
from fedgap.secagg.errors import BadServerMessageError, UnseenListError
from fedgap.secagg.local import Network
from fedgap.secagg.messages import Invite, Outcome, Sealed, seal
from fedgap.secagg.recall import Invitations, is_short, lengthen, shorten, shortened
from fedgap.secagg.stages import Opened
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import pack, unpack
from tests.secagg.lying_server import VICTIM, Case, Direct, N

VECTOR = Path(__file__).parent.parent / "vectors" / "secagg" / "three-all-stay"


def opened(case: Case, *, unheard: int | None = None) -> Opened:
    """Play the first round; the answer of one member to exchange 5 may get lost."""

    def lose(exchange: str, seat: int, reply: bytes) -> bytes | None:
        return None if (exchange, seat) == ("certificate", unheard) else reply

    network = Network(Direct(case), on_reply=lose)
    return rounds.run_round(case.server, network, rounds.MemoryJournal(), case.plan, previous=None, attempts=1)


def following(case: Case, *, attempt: int = 1) -> Plan:
    return replace(case.plan, round=2, attempt=attempt, state=digest("state", 2))


def test_whoever_answered_is_invited_in_short_and_whoever_was_not_heard_in_full() -> None:
    case = Case()
    first = opened(case, unheard=VICTIM)
    kinds: dict[int, list[bool]] = {seat: [] for seat in range(N)}
    lost = {VICTIM + 1}

    def note(exchange: str, seat: int, request: bytes) -> bytes | None:
        if exchange in {"invite", "recalled"}:
            kinds[seat].append(is_short(request))
        return None if exchange == "relay" and seat not in lost and len(kinds[seat]) == 1 else request

    second = rounds.run_round(
        case.server,
        Network(Direct(case), on_request=note),
        rounds.MemoryJournal(),
        following(case),
        previous=first.outcome,
        knowing=first.answered,
        attempts=2,
    )
    assert [kinds[seat][0] for seat in range(N)] == [seat != VICTIM for seat in range(N)]
    assert not any(kinds[seat][1] for seat in range(N))
    assert len(second.answered) == N


def test_a_short_invitation_is_answered_like_the_whole_one_and_again_with_the_same_bytes() -> None:
    case = Case()
    whole = seal(case.server.identity, Invite(plan=following(case), previous=opened(case).outcome))
    short = shorten(whole)
    assert len(short) < len(whole)
    reply = case.members[VICTIM].handle(short)
    assert case.members[VICTIM].handle(short) == case.members[VICTIM].handle(whole) == reply
    assert case.member(VICTIM).handle(short) == reply


def test_nothing_is_left_out_of_an_invitation_without_a_sum() -> None:
    case = Case()
    whole = seal(case.server.identity, Invite(plan=case.plan, previous=None))
    assert shorten(whole) == whole
    assert not is_short(whole)
    assert not is_short(b"no message")
    with pytest.raises(ValueError, match="no short form"):
        shortened(unpack(Sealed, whole), unpack(Invite, unpack(Sealed, whole).body))


def test_a_member_that_has_not_seen_the_list_asks_for_all_of_it() -> None:
    """Neither one that never took part, nor one that was shown the list but not who signed it."""
    case = Case()
    outcome = opened(Case()).outcome
    short = shorten(seal(case.server.identity, Invite(plan=following(case), previous=outcome)))
    with pytest.raises(UnseenListError, match="needed whole"):
        case.members[VICTIM].handle(short)
    for request in (case.before("certificate")[VICTIM],):
        assert request
    with pytest.raises(UnseenListError, match="needed whole"):
        case.members[VICTIM].handle(short)


def test_a_member_that_knows_an_older_round_asks_for_all_of_it() -> None:
    """Its folder was restored from a copy, for instance."""
    case = Case()
    outcome = opened(case).outcome
    third = replace(case.plan, round=3, state=digest("state", 3))
    short = shorten(seal(case.server.identity, Invite(plan=third, previous=outcome)))
    with pytest.raises(UnseenListError, match="round 1 does not tell"):
        case.members[VICTIM].handle(short)


def test_the_whole_invitation_is_made_again_byte_for_byte() -> None:
    case = Case()
    outcome = opened(case).outcome
    asked: list[int] = []

    def again() -> Outcome:
        asked.append(1)
        return outcome

    for fetch, times in ((None, 0), (again, 1)):
        begun = rounds.begin(
            case.server, following(case), previous=outcome, cohort=range(N), knowing=[VICTIM], again=fetch
        )
        assert isinstance(begun.requests, Invitations)
        assert begun.requests.whole() == begun.requests[VICTIM + 1] != begun.requests[VICTIM]
        assert len(asked) == times


def test_a_server_cannot_shorten_another_list_than_it_showed() -> None:
    case = Case()
    outcome = opened(case).outcome
    forged = replace(outcome, survivors=outcome.survivors[1:])
    for previous in (forged, replace(outcome, voices=outcome.voices[1:]), replace(outcome, t2=bytes(32))):
        short = shorten(seal(case.server.identity, Invite(plan=following(case), previous=previous)))
        with pytest.raises(BadServerMessageError, match="not signed by the server"):
            case.members[VICTIM].handle(short)


def test_the_pinned_short_invitation_is_put_together_again() -> None:
    read = {path.name: path.read_bytes() for path in VECTOR.iterdir()}
    whole, short = read["06a-invite-server-whole.bin"], read["06a-recalled-server-short.bin"]
    plan = unpack(Invite, unpack(Sealed, read["01a-invite-server-all.bin"]).body).plan
    listed, certified = read["04a-survivors-server-0.bin"], read["05a-certificate-server-all.bin"]
    assert shorten(whole) == short
    assert lengthen(short, last=plan, listed=listed, certified=certified) == whole
    assert pack(unpack(Sealed, short)) == short


def test_the_sum_is_copied_as_seldom_as_it_can_be() -> None:
    """Beside the message that came and the one that is made there is one copy of a large sum at a time, or two."""
    read = {path.name: path.read_bytes() for path in VECTOR.iterdir()}
    listed, certified = read["04a-survivors-server-0.bin"], read["05a-certificate-server-all.bin"]
    plan = unpack(Invite, unpack(Sealed, read["01a-invite-server-all.bin"]).body).plan
    sealed = unpack(Sealed, read["06a-invite-server-whole.bin"])
    invite = unpack(Invite, sealed.body)
    assert invite.previous is not None
    size = 1 << 22
    large = replace(invite, previous=replace(invite.previous, total=bytes(size)))
    whole = pack(replace(sealed, body=pack(large)))

    tracemalloc.start()
    try:
        assert not is_short(whole)
        _, looking = tracemalloc.get_traced_memory()
        short = shorten(whole)
        _, cutting = tracemalloc.get_traced_memory()
        again = lengthen(short, last=plan, listed=listed, certified=certified)
        _, joining = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert again == whole
    assert looking < 0.1 * size
    assert cutting < 2.5 * size
    assert joining - len(short) < 2.5 * size
