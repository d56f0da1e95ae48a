"""What a member never contradicts: order, repetition, manifests, and what it keeps, shows and erases."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from fedgap import rounds
from fedgap.crypto import Identity, digest
from fedgap.secagg import client
from fedgap.secagg.errors import (
    BadManifestError,
    BadMessageError,
    BadServerMessageError,
    OutOfOrderError,
    RefusalError,
)
from fedgap.secagg.evidence import ServerEvidence, _mismatch, read_sealed, server_fault
from fedgap.secagg.local import MemoryVault, Trainer
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Invite,
    Outcome,
    Relay,
    Sealed,
    Survivors,
    Unmask,
    forget_read,
    seal,
    unseal,
)
from fedgap.secagg.participant import Participant
from fedgap.secagg.states import Advertised, Ready
from fedgap.secagg.transcript import Plan, state_digest
from fedgap.secagg.wire import pack, unpack
from tests.secagg.lying_server import VICTIM, ZEROS, Case, N, counting, finished


@pytest.mark.parametrize("kind", ["invite", "adverts", "relay", "survivors", "certificate"])
def test_a_repeated_request_gets_the_same_bytes_after_a_restart_too(kind: str) -> None:
    case = Case()
    request = case.before(kind)[VICTIM]
    first = case.members[VICTIM].handle(request)
    assert first is not None
    assert case.members[VICTIM].handle(request) == first
    assert case.member(VICTIM).handle(request) == first


def test_messages_out_of_order_are_refused_and_change_nothing() -> None:
    case = Case()
    case.before("certificate")
    story = [case.requests[kind, VICTIM] for kind in ("invite", "adverts", "relay", "survivors", "certificate")]
    for position in range(1, 5):
        case.vaults[VICTIM] = MemoryVault()
        fresh = case.member(VICTIM)
        for request in story[: position - 1]:
            fresh.handle(request)
        before = case.vaults[VICTIM].record
        with pytest.raises(OutOfOrderError):
            fresh.handle(story[position])
        assert case.vaults[VICTIM].record == before


def test_another_attempt_is_not_answered_in_the_middle_of_one() -> None:
    case = Case()
    old = case.before("adverts")[VICTIM]
    case.before("adverts", plan=replace(case.plan, attempt=2))
    case.refused(old, OutOfOrderError, provable=False)


def test_strangers_and_garbage_are_refused() -> None:
    case = Case()
    request = case.before("adverts")[VICTIM]
    message = read_sealed(case.manifest, request)
    stranger = Identity(b"x" * 32)
    unsigned = pack(replace(unpack(Sealed, request), signature=bytes(64)))
    unknown = pack(Sealed(body=pack(case.plan), signature=bytes(64)))
    for wrong in (seal(stranger, message), unsigned, unknown, b"", b"train.default", request + b"\0"):
        with pytest.raises(BadServerMessageError):
            case.members[VICTIM].handle(wrong)


def test_the_same_member_in_two_places_is_noticed() -> None:
    """Two processes with one key draw different seeds; the server keeps evidence of two signed adverts."""
    case = Case()
    request = case.before("invite")[VICTIM]
    rand = counting(99)
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    twin = Participant(me, MemoryVault(), Trainer(lambda _: ZEROS), rand=rand, simulation=True)
    replies = [(seat, case.members[seat].handle(request) or b"") for seat in range(N)]
    after = rounds.step(case.server, case.state, [*replies, (VICTIM, twin.handle(request) or b"")])
    faults = after.state.faults
    assert [(fault.seat, fault.reason) for fault in faults] == [(VICTIM, "it signed two different answers")]
    assert faults[0].evidence is not None


def test_a_deployed_member_refuses_a_simulated_manifest_and_the_other_way_round() -> None:
    case = Case()
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    with pytest.raises(BadManifestError, match="manifest of a simulation"):
        Participant(me, MemoryVault(), Trainer(lambda _: ZEROS), rand=counting(0), simulation=False)
    real = replace(case.manifest, simulation=False)
    me = Me(real, VICTIM, case.federation.identities[VICTIM])
    with pytest.raises(BadManifestError, match="manifest of a deployment"):
        Participant(me, MemoryVault(), Trainer(lambda _: ZEROS), rand=counting(0), simulation=True)


def test_a_member_that_settles_nothing_keeps_no_sum_that_comes_by_itself() -> None:
    case = Case()
    vault = MemoryVault()
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    member = Participant(me, vault, Trainer(lambda _: ZEROS), rand=counting(0), simulation=True)
    before = deepcopy(vault)
    member.learn(finished(case))
    assert vault == before


def test_a_large_message_can_be_let_go_and_is_read_again() -> None:
    case = Case()
    request = case.before("invite")[VICTIM]
    public = case.server.identity.public
    first = unseal(public, Invite, request)
    assert unseal(public, Invite, request) is first
    forget_read()
    again = unseal(public, Invite, request)
    assert again == first
    assert again is not first


def test_a_manifest_does_not_go_back() -> None:
    case = Case()
    second = replace(case.manifest, version=2)
    identity = case.federation.identities[VICTIM]
    vault = MemoryVault()

    def start(manifest: object) -> Participant:
        me = Me(manifest, VICTIM, identity)  # type: ignore[arg-type]  # a manifest
        return Participant(me, vault, Trainer(lambda _: ZEROS), rand=counting(0), simulation=True)

    plan = replace(case.plan, manifest=second.digest)
    start(second).handle(seal(case.server.identity, Invite(plan=plan, previous=None)))
    start(second)
    for older in (case.manifest, replace(second, periods=2)):
        with pytest.raises(BadManifestError, match="in force"):
            start(older)
    start(replace(case.manifest, version=3))


def test_what_was_kept_is_erased_once_a_round_is_settled_and_the_rest_at_once() -> None:
    case = Case()
    outcome = finished(case)
    kept = case.vaults[VICTIM].kept
    assert {"000001-01-update", "000001-01-kept"} <= kept.keys()
    following = replace(case.plan, round=2, state=digest("state", 2))
    case.members[VICTIM].handle(seal(case.server.identity, Invite(plan=following, previous=outcome)))
    left = {name for name in kept if name.startswith("000001")}
    assert left == {"000001-01-update", "000001-01-kept"}
    case.members[VICTIM].forget([(1, 1)])
    assert not [name for name in kept if name.startswith("000001")]


def test_an_abandoned_attempt_leaves_nothing_behind() -> None:
    case = Case()
    case.before("survivors")
    again = replace(case.plan, attempt=2)
    case.members[VICTIM].handle(seal(case.server.identity, Invite(plan=again, previous=None)))
    assert not [name for name in case.vaults[VICTIM].kept if name.startswith("000001-01")]


def test_no_secret_is_shown_in_states_errors_or_records() -> None:
    """Neither seeds nor shares nor edge secrets appear when something is printed or raised."""
    case = Case()
    case.before("certificate")
    secret = digest("test-seed", VICTIM, 0)
    for member in case.members:
        shown = repr(member._record) + repr(member._state()) + repr(member._me)
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        for hidden in ("of_b", "of_sigma", "letters=", "edge="):
            assert hidden not in shown
    assert "update" not in repr(ZEROS)
    assert "shares=" not in repr(
        unpack(Unmask, case.members[VICTIM].handle(case.requests["certificate", VICTIM]) or b"")
    )
    assert "secret" not in repr(case.federation)


def test_nothing_but_messages_of_the_protocol_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The egress guard: an answer with an array that did not come from exchange 3 is held back, whoever made it."""
    case = Case()
    request = case.before("adverts")[VICTIM]
    leak = pack(Outcome(plan=case.plan, t2=bytes(32), survivors=(), voices=(), total=bytes(64), signature=bytes(64)))
    monkeypatch.setattr(Participant, "_advance", lambda self, message, data: leak)  # noqa: ARG005 - a broken client
    case.refused(request, RefusalError, provable=False)


def test_steps_refuse_what_another_server_signed_or_what_belongs_to_another_attempt() -> None:
    """The pure steps check it themselves, not only the program around them."""
    case = Case()
    request = case.before("adverts")[VICTIM]
    state = case.members[VICTIM]._state()
    assert isinstance(state, Advertised)
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    with pytest.raises(BadServerMessageError):
        client.on_adverts(me, state, seal(Identity(b"x" * 32), read_sealed(case.manifest, request)))
    with pytest.raises(OutOfOrderError):
        client.on_adverts(me, replace(state, sid=digest("another attempt")), request)


def test_a_vector_of_another_length_is_a_mistake_of_ours() -> None:
    case = Case()
    me = Me(case.manifest, VICTIM, case.federation.identities[VICTIM])
    ready = Ready(sid=bytes(32), t2=bytes(32), b=bytes(32), held=(), edges=())
    with pytest.raises(ValueError, match="words"):
        client.upload(me, ready, np.zeros(3, np.uint32))


def test_the_server_signs_only_its_own_kinds_of_messages() -> None:
    case = Case()
    with pytest.raises(BadMessageError, match="does not send"):
        unseal(case.manifest.server, Plan, pack(Sealed(body=pack(case.plan), signature=bytes(64))))


def test_messages_of_different_attempts_do_not_contradict_each_other() -> None:
    case = Case()
    case.before("certificate")
    one = [case.requests[kind, VICTIM] for kind in ("adverts", "relay", "survivors", "certificate")]
    case.before("certificate", plan=replace(case.plan, attempt=2))
    two = [case.requests[kind, VICTIM] for kind in ("adverts", "relay", "survivors", "certificate")]
    mixed = ServerEvidence(messages=(one[0], two[1], one[2], two[3]))
    assert server_fault(case.manifest, mixed) is None


@pytest.mark.parametrize("field", ["position", "count"])
def test_rows_relayed_to_the_wrong_place_are_a_mismatch(field: str) -> None:
    """Checked without the row itself: the place is wrong whatever the row says."""
    case = Case()
    case.before("certificate")
    adverts, relay = (read_sealed(case.manifest, case.requests[kind, VICTIM]) for kind in ("adverts", "relay"))
    assert isinstance(relay, Relay)
    moved = replace(relay, **{field: 0})  # type: ignore[arg-type]  # a number
    assert _mismatch(case.manifest, adverts, moved) == "It relayed key shares meant for another member."


def test_transcripts_that_do_not_follow_each_other_are_a_mismatch() -> None:
    """Even if enough dealers colluded to sign another view, the server signed both views."""
    case = Case()
    case.before("certificate")
    adverts, relay, survivors = (
        read_sealed(case.manifest, case.requests[kind, VICTIM]) for kind in ("adverts", "relay", "survivors")
    )
    assert isinstance(relay, Relay)
    assert isinstance(survivors, Survivors)
    other_keys, other_shares = replace(relay, t1=bytes(32)), replace(survivors, t2=bytes(32))
    assert _mismatch(case.manifest, adverts, other_keys) == "The key shares it relayed belong to other one-time keys."
    assert _mismatch(case.manifest, relay, other_shares) == "The uploads it listed belong to other key shares."


def test_a_survivor_that_dealt_nothing_is_a_mismatch() -> None:
    case = Case()
    case.before("certificate")
    relay, survivors = (read_sealed(case.manifest, case.requests[kind, VICTIM]) for kind in ("relay", "survivors"))
    assert isinstance(relay, Relay)
    assert isinstance(survivors, Survivors)
    stranger = replace(survivors.survivors[0], seat=9)
    added = replace(survivors, survivors=(*survivors.survivors, stranger))
    assert _mismatch(case.manifest, relay, survivors) is None
    assert _mismatch(case.manifest, relay, added) == "It listed a survivor that dealt no key shares."


def test_states_are_named_by_everything_in_them() -> None:
    model, optimiser = np.ones(3, np.float32), np.ones(2)
    names = {
        state_digest(model, optimiser, clip=1.0, applied=1),
        state_digest(model * 2, optimiser, clip=1.0, applied=1),
        state_digest(model, optimiser * 2, clip=1.0, applied=1),
        state_digest(model, optimiser, clip=2.0, applied=1),
        state_digest(model, optimiser, clip=1.0, applied=2),
    }
    assert len(names) == 5
