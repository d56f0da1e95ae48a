"""A server that lies in exchanges 4 and 5: no share of a secret is given, and provable lies leave evidence."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedgap import rounds
from fedgap.crypto import digest
from fedgap.secagg.errors import (
    BadServerMessageError,
    EquivocationError,
    QuorumLostError,
)
from fedgap.secagg.evidence import read_sealed
from fedgap.secagg.local import Network
from fedgap.secagg.messages import (
    Certificate,
    Survivors,
    seal,
)
from tests.secagg.lying_server import VICTIM, Case, Direct, N, survivor_of


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, survivors=(replace(m.survivors[0], root=bytes(32)), *m.survivors[1:])),
        lambda m: replace(m, survivors=(replace(m.survivors[0], signature=bytes(64)), *m.survivors[1:])),
        lambda m: replace(m, survivors=(m.survivors[0], *m.survivors)),
        lambda m: replace(m, survivors=m.survivors[:2]),
        lambda m: replace(m, survivors=(*m.survivors, replace(m.survivors[0], seat=N))),
    ],
    ids=["root", "signature", "twice", "too-few", "not-in-the-roster"],
)
def test_who_stayed_must_be_who_signed_an_upload(change: Callable[[Survivors], Survivors]) -> None:
    case = Case()
    case.refused(case.lie(Survivors, change), BadServerMessageError, provable=True)


def test_a_member_that_dealt_no_shares_cannot_have_stayed() -> None:
    case = Case()
    case.before("relay")
    network = Network(Direct(case), on_reply=lambda e, s, r: None if e == "adverts" and s == 3 else r)
    case.plan = replace(case.plan, attempt=2)
    seen: list[bytes] = []

    def add_the_dropout(exchange: str, seat: int, request: bytes) -> bytes | None:
        if exchange != "survivors" or seat != VICTIM:
            return request
        message = read_sealed(case.manifest, request)
        assert isinstance(message, Survivors)
        extra = survivor_of(case, message, 3, bytes(32))
        seen.append(seal(case.server.identity, replace(message, survivors=(*message.survivors, extra))))
        return None

    lossy = Network(network, on_request=add_the_dropout)
    with pytest.raises(QuorumLostError):
        rounds.run_round(case.server, lossy, rounds.MemoryJournal(), case.plan, previous=None, attempts=1)
    case.refused(seen[0], BadServerMessageError, provable=True)


def test_members_that_were_relayed_other_shares_do_not_sign() -> None:
    case = Case()
    request = case.lie(Survivors, lambda m: replace(m, t2=digest("another view")))
    case.refused(request, EquivocationError, provable=True)


def test_left_out_of_the_list_we_say_nothing_more() -> None:
    """Our mask key will be opened for the others' sake, so no share of ours may open the self mask beside it."""
    case = Case()
    request = case.lie(Survivors, lambda m: replace(m, survivors=(m.survivors[0], *m.survivors[2:])))
    victim = case.members[VICTIM]
    assert victim.handle(request) is None
    assert victim.handle(request) is None  # asked again
    case.refused(case.requests["survivors", VICTIM], EquivocationError, provable=True)


def test_another_upload_cannot_be_passed_off_as_ours() -> None:
    case = Case()

    def swap(message: Survivors) -> Survivors:
        forged = survivor_of(case, message, VICTIM, digest("another upload"))
        return replace(message, survivors=(message.survivors[0], forged, *message.survivors[2:]))

    case.refused(case.lie(Survivors, swap), EquivocationError, provable=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, voices=m.voices[:2]),
        lambda m: replace(m, voices=(m.voices[0], m.voices[0], m.voices[0])),
        lambda m: replace(m, voices=(replace(m.voices[0], signature=bytes(64)), *m.voices[1:])),
        lambda m: replace(m, voices=(*m.voices, replace(m.voices[0], seat=N))),
    ],
    ids=["too-few", "one-signer", "signature", "not-in-the-roster"],
)
def test_nothing_is_unmasked_without_a_quorum_of_signatures(change: Callable[[Certificate], Certificate]) -> None:
    case = Case()
    case.refused(case.lie(Certificate, change), BadServerMessageError, provable=True)


def test_signatures_of_another_round_open_nothing() -> None:
    case = Case()

    def stale(message: Certificate) -> Certificate:
        voices = [
            replace(
                voice,
                signature=case.federation.identities[voice.seat].sign(
                    "agree", digest("another round"), voice.seat, message.agreement
                ),
            )
            for voice in message.voices
        ]
        return replace(message, voices=tuple(voices))

    case.refused(case.lie(Certificate, stale), BadServerMessageError, provable=True)


def test_a_list_we_did_not_sign_opens_nothing() -> None:
    case = Case()

    def another(message: Certificate) -> Certificate:
        agreed = digest("another list")
        voices = tuple(
            replace(v, signature=case.federation.identities[v.seat].sign("agree", message.sid, v.seat, agreed))
            for v in message.voices
        )
        return replace(message, agreement=agreed, voices=voices)

    case.refused(case.lie(Certificate, another), EquivocationError, provable=True)


def test_shares_are_given_for_one_list_only_even_after_a_restart() -> None:
    """Self-mask shares now and mask-key shares later would open one member's update."""
    case = Case()
    request = case.before("certificate")[VICTIM]
    first = case.members[VICTIM].handle(request)
    message = read_sealed(case.manifest, request)
    assert isinstance(message, Certificate)
    fewer = seal(case.server.identity, replace(message, voices=message.voices[:3]))
    other = seal(case.server.identity, replace(message, agreement=digest("another list")))
    for _ in range(2):
        assert case.members[VICTIM].handle(request) == first
        assert case.members[VICTIM].handle(fewer) == first  # the same list with other signatures: the same bytes
        case.refused(other, EquivocationError, provable=True)
        case.members[VICTIM] = case.member(VICTIM)
