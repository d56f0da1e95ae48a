"""A server that wants another number than the one the manifest allows: every honest member refuses and keeps proof."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedgap.crypto import Identity, digest
from fedgap.secagg.certificates import direction_digest, hide, make_offer, slot_name
from fedgap.secagg.errors import (
    BadServerMessageError,
    EquivocationError,
    OutOfOrderError,
    RefusalError,
)
from fedgap.secagg.evaluation import Row
from fedgap.secagg.evidence import Contradiction, ServerEvidence, contradicts
from fedgap.secagg.faults import settlement_fault
from fedgap.secagg.inspection import UnprovenDirectionError
from fedgap.secagg.messages import Invite, Voice, seal
from fedgap.secagg.settlement import Close, Reveal, RevealedDirection, seal_settlement
from fedgap.secagg.wire import pack, unpack
from tests.settling.settled_run import Numbered, SettledRun


def closed(**options: object) -> SettledRun:
    """A run that is over and not settled."""
    run = SettledRun(**options).run()  # type: ignore[arg-type]  # options of a run
    run.close()
    return run


def refused_by_all(run: SettledRun, reveal: Reveal, error: type[RefusalError], *, provable: bool = True) -> None:
    """Every member refuses the reveal, keeps it, has opened nothing, and can show it to others.

    The list is endorsed by all: nothing is refused for the lack of it.
    """
    request = seal_settlement(run.server.identity, run.endorsed(reveal))
    for seat, member in enumerate(run.members):
        with pytest.raises(error):
            member.handle(request)
        kept = [blob for name, blob in run.vaults[seat].kept.items() if name.startswith("refused-reveal")]
        assert kept == [pack(ServerEvidence(messages=(request,)))]
        assert not [name for name in run.vaults[seat].kept if name.endswith("answer")]
    proof = ServerEvidence(messages=(request,))
    fault = settlement_fault(run.desk.tenure, run.evaluation, proof, assessor=Numbered(run.known))
    assert (fault is not None) is provable


def with_direction(reveal: Reveal, at: int, change: Callable[[RevealedDirection], RevealedDirection]) -> Reveal:
    """The same reveal with the first direction of one round changed."""
    rounds = list(reveal.rounds)
    first, *rest = rounds[at].directions
    rounds[at] = replace(rounds[at], directions=(change(first), *rest))
    return replace(reveal, rounds=tuple(rounds))


def certified_by_all(run: SettledRun, reveal: Reveal, at: int, entries: bytes) -> Reveal:
    """Put another direction in, signed by every member: what a server could do that had all of them certify blindly."""
    listing = reveal.rounds[at].listing
    name = slot_name(listing.agreed, 1)

    def change(revealed: RevealedDirection) -> RevealedDirection:
        hidden = hide(entries, revealed.salt)
        said = direction_digest(listing.agreed, 1, scale=revealed.scale, hidden=hidden)
        voices = tuple(
            Voice(seat=seat, signature=identity.sign("direction", name, seat, said))
            for seat, identity in enumerate(run.federation.identities)
        )
        return replace(revealed, entries=entries, voices=voices)

    return with_direction(reveal, at, change)


def whole_numbers(direction: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bytes:
    """Write a direction as it is sent."""
    return direction.astype("<i2").tobytes()


def test_a_direction_that_changed_after_it_was_committed_to_is_refused() -> None:
    run = closed()
    other = run.desk.proposals(2)[0].entries[::-1]

    refused_by_all(run, with_direction(run.shown(), 1, lambda one: replace(one, entries=other)), BadServerMessageError)


def test_two_directions_for_one_slot_are_signed_once_and_the_second_offer_is_proof() -> None:
    run = SettledRun().run()
    listing = run.desk.dossier(1).listing
    offer = pack(make_offer(run.server.identity, listing, 1, scale=1.0, hidden=digest("another")))
    close = Close(manifest=run.manifest.digest, outcome=run.outcomes[-1], offers=(offer,), checkpoint=b"")
    for member in run.members:
        with pytest.raises(EquivocationError) as caught:
            member.handle(seal_settlement(run.server.identity, close))
        assert caught.value.evidence is not None
        assert contradicts(unpack(Contradiction, caught.value.evidence))


def test_a_second_direction_for_a_slot_is_refused_with_an_invitation_too() -> None:
    run = SettledRun().run(until=2)
    offer = pack(make_offer(run.server.identity, run.desk.dossier(1).listing, 1, scale=1.0, hidden=digest("another")))
    invite = Invite(plan=run.plan(3), previous=run.outcomes[-1], offers=(offer,))
    for seat, member in enumerate(run.members):
        with pytest.raises(EquivocationError) as caught:
            member.handle(seal(run.server.identity, invite))
        assert caught.value.evidence is not None
        assert contradicts(unpack(Contradiction, caught.value.evidence))
        assert caught.value.evidence in run.vaults[seat].kept.values()


def test_two_directions_shown_to_two_halves_are_certified_by_neither() -> None:
    run = closed(n=4)
    reveal = run.shown()
    half = with_direction(reveal, 2, lambda one: replace(one, voices=one.voices[:2]))

    refused_by_all(run, half, BadServerMessageError)


def test_a_second_reveal_of_a_period_is_refused_with_proof_and_the_first_is_answered_alike() -> None:
    run = closed()
    reveal = run.shown()
    request = seal_settlement(run.server.identity, reveal)
    other = seal_settlement(run.server.identity, replace(reveal, rounds=reveal.rounds[:2], left_out=()))
    for seat, member in enumerate(run.members):
        first = member.handle(request)
        with pytest.raises(EquivocationError) as caught:
            member.handle(other)
        assert caught.value.evidence is not None
        assert contradicts(unpack(Contradiction, caught.value.evidence))
        assert caught.value.evidence in run.vaults[seat].kept.values()
        assert member.handle(request) == first == run.member(seat).handle(request)


def test_a_period_the_manifest_does_not_have_is_refused() -> None:
    run = closed()

    refused_by_all(run, replace(run.shown(), period=2), RefusalError)


def test_no_number_is_opened_before_the_run_is_closed() -> None:
    run = SettledRun().run()

    refused_by_all(run, run.shown(), OutOfOrderError, provable=False)


def test_no_number_of_an_early_period_is_opened_before_as_many_rounds_have_passed() -> None:
    run = SettledRun(n=3, d=60, rounds=30, periods=3, source="public").run(until=19)

    refused_by_all(run, run.shown(1), OutOfOrderError, provable=False)


def test_nothing_is_trained_on_after_the_run_is_closed() -> None:
    run = closed()
    run.rounds = 4
    run.now, before = 4, len(run.refusals)
    with pytest.raises(RefusalError) as caught:
        run.members[0].handle(run_invitation(run))
    assert "closed" in str(caught.value)
    assert len(run.refusals) == before


def run_invitation(run: SettledRun) -> bytes:
    """An invitation to the round after the last."""
    from fedgap import rounds  # noqa: PLC0415 - the name is a field of a run everywhere else

    begun = rounds.begin(run.server, run.plan(4), previous=run.outcomes[-1], cohort=[0])
    return begun.requests[0]


def test_a_unit_vector_is_refused_though_everybody_certified_it() -> None:
    run = closed()
    unit = np.zeros(run.d, np.int64)
    unit[0] = 1000
    reveal = certified_by_all(run, run.shown(), 0, whole_numbers(unit))

    refused_by_all(run, reveal, UnprovenDirectionError)


@pytest.mark.parametrize("source", ["server_chooses_directions", "witness"])
def test_a_unit_vector_is_refused_even_where_nobody_recomputes(source: str) -> None:
    witness = Identity(b"w" * 32)
    run = SettledRun(source=source, witness=witness.public if source == "witness" else None).run()
    run.close()
    unit = np.zeros(run.d, np.int64)
    unit[0] = 1000
    reveal = certified_by_all(run, run.shown(), 0, whole_numbers(unit))
    signed = tuple(
        replace(
            opened,
            directions=tuple(
                replace(
                    one,
                    witness=witness.sign(
                        "witnessed",
                        slot_name(opened.listing.agreed, 1),
                        -1,
                        direction_digest(opened.listing.agreed, 1, scale=one.scale, hidden=hide(one.entries, one.salt)),
                    )
                    if source == "witness"
                    else None,
                )
                for one in opened.directions
            ),
        )
        for opened in reveal.rounds
    )

    refused_by_all(run, replace(reveal, rounds=signed), BadServerMessageError)


def test_a_recomputed_direction_that_singles_out_one_coordinate_is_refused() -> None:
    """A server can steer the model until an honest gradient has one entry; members look at their own."""
    run = closed()
    spike = np.zeros(run.d)
    spike[0] = 1.0
    run.known = lambda _: [spike]
    run.settler = replace(run.settler, assessor=Numbered(run.known))
    run.members = [run.member(seat) for seat in range(run.n)]
    unit = np.zeros(run.d, np.int64)
    unit[0] = 1000

    refused_by_all(run, certified_by_all(run, run.shown(), 0, whole_numbers(unit)), BadServerMessageError)


def test_a_dense_direction_of_the_servers_choice_is_refused() -> None:
    """Spread as an honest one and of the same norm, but nobody can recompute it."""
    run = closed()
    chosen = run.desk.proposals(2)[0].entries

    refused_by_all(run, certified_by_all(run, run.shown(), 0, chosen), UnprovenDirectionError)


@pytest.mark.parametrize("words", [5, -1])
def test_a_direction_that_reaches_the_tail_words_is_refused(words: int) -> None:
    """There is one number for each parameter: canaries, clip indicator and metrics have none, nor have statistics."""
    run = closed()
    entries = run.desk.proposals(1)[0].entries
    longer = entries + bytes(2 * words) if words > 0 else entries[:-2]

    refused_by_all(run, certified_by_all(run, run.shown(), 0, longer), BadServerMessageError)


def test_a_direction_above_the_norm_bound_is_refused() -> None:
    run = closed()
    long = np.full(run.d, 2**15 - 1)

    refused_by_all(run, certified_by_all(run, run.shown(), 0, whole_numbers(long)), BadServerMessageError)


def test_a_zero_direction_is_refused() -> None:
    run = closed()

    refused_by_all(run, certified_by_all(run, run.shown(), 0, bytes(2 * run.d)), BadServerMessageError)


def test_directions_of_different_scales_are_refused() -> None:
    run = closed()
    other = with_direction(run.shown(), 1, lambda one: replace(one, scale=2 * one.scale))

    refused_by_all(run, other, BadServerMessageError)


def test_survivor_sets_that_share_too_few_members_are_refused() -> None:
    """The server lists what the rule on overlapping sets leaves out."""
    gone = {(1, 0): "invite", (1, 1): "invite", (2, 5): "invite", (2, 6): "invite"}
    run = closed(n=7, rounds=4, gone=gone)
    listings = {round_: run.desk.dossier(round_).listing for round_ in range(1, 5)}
    honest = run.shown()
    assert [opened.listing.plan.round for opened in honest.rounds] == [2, 3, 4]
    first = replace(
        honest.rounds[0],
        listing=listings[1],
        directions=tuple(one.revealed(None, tau=5) for one in run.desk.proposals(1)),
    )

    refused_by_all(run, replace(honest, rounds=(first, *honest.rounds), left_out=()), BadServerMessageError)


def test_a_list_of_survivors_with_too_few_signatures_is_refused() -> None:
    run = closed()
    reveal = run.shown()
    first = reveal.rounds[0]
    fewer = replace(first, listing=replace(first.listing, voices=first.listing.voices[:2]))

    refused_by_all(run, replace(reveal, rounds=(fewer, *reveal.rounds[1:])), BadServerMessageError)


def test_a_list_of_survivors_that_is_too_short_or_out_of_order_is_refused() -> None:
    run = closed()
    reveal = run.shown()
    first = reveal.rounds[0]
    for survivors in (first.listing.survivors[:2], first.listing.survivors[::-1]):
        other = replace(first, listing=replace(first.listing, survivors=survivors))
        shown = run.endorsed(replace(reveal, rounds=(other, *reveal.rounds[1:])))
        for member in run.members:
            with pytest.raises(BadServerMessageError, match="out of order, or too few"):
                member.handle(seal_settlement(run.server.identity, shown))


@pytest.mark.parametrize(
    "change",
    [
        lambda reveal: replace(reveal, rounds=reveal.rounds[::-1]),
        lambda reveal: replace(reveal, rounds=reveal.rounds[:2]),
        lambda reveal: replace(reveal, rounds=(*reveal.rounds, reveal.rounds[0])),
        lambda reveal: replace(reveal, rows=reveal.rows[:-1]),
        lambda reveal: replace(reveal, rows=(Row(salt=bytes(16), content=b"other"), *reveal.rows[1:])),
        lambda reveal: replace(reveal, rounds=(replace(reveal.rounds[0], directions=()), *reveal.rounds[1:])),
    ],
)
def test_a_list_or_rows_that_are_not_the_periods_are_refused(change: Callable[[Reveal], Reveal]) -> None:
    run = closed()

    refused_by_all(run, change(run.shown()), BadServerMessageError)


def test_rows_nobody_committed_to_are_refused() -> None:
    run = closed(source="public")
    reveal = replace(run.shown(), rows=(Row(salt=bytes(16), content=b"private"),))

    refused_by_all(run, reveal, BadServerMessageError)


def test_a_direction_without_the_witness_is_refused() -> None:
    run = closed(source="witness", witness=Identity(b"w" * 32).public)

    refused_by_all(run, run.shown(), BadServerMessageError)


def test_a_round_with_an_upload_we_never_sent_is_refused() -> None:
    """Its memory says it was not in that round: somebody signed with its key, or it lost its record."""
    run = SettledRun(n=4, rounds=2).run()
    run.close()
    for seat, member in enumerate(run.members):
        record = member._record
        member._record = replace(record, account=replace(record.account, rounds=record.account.rounds[1:]))
        with pytest.raises(BadServerMessageError, match="did not send"):
            member.handle(seal_settlement(run.server.identity, run.shown()))
        assert not [name for name in run.vaults[seat].kept if name.endswith("answer")]


def test_a_message_of_another_manifest_or_of_another_server_is_refused() -> None:
    run = closed()
    other = replace(run.shown(), manifest=bytes(32))
    stranger = seal_settlement(Identity(b"s" * 32), run.shown())
    for member in run.members:
        with pytest.raises(OutOfOrderError):
            member.handle(seal_settlement(run.server.identity, other))
        with pytest.raises(BadServerMessageError):
            member.handle(stranger)
