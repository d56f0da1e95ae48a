"""New keys leave a period open: the rounds before and after them are opened together, once."""

from dataclasses import replace

import pytest

from fedgap import settling
from fedgap.crypto import digest
from fedgap.rounds import begin
from fedgap.secagg.account import answered
from fedgap.secagg.errors import BadServerMessageError, EquivocationError, OutOfOrderError, RefusalError
from fedgap.secagg.evidence import Contradiction, contradicts
from fedgap.secagg.messages import Voice
from fedgap.secagg.settlement import CLASH, LeftOut, Statement, agenda_of, read_settlement, seal_settlement
from fedgap.secagg.wire import pack, unpack
from tests.settling.rosters import new_keys
from tests.settling.settled_run import SettledRun, counts
from tests.settling.test_server_asks_for_more import run_invitation


def rotated(n: int = 4, *, lost: bool = False) -> SettledRun:
    """A run of four rounds in which member 1 has new keys after the second; it is not closed."""
    run = SettledRun(n=n, rounds=4).run(until=2)
    new_keys(run, 1, lost=lost)
    return run.run()


@pytest.mark.parametrize("n", [3, 4])
def test_rounds_before_and_after_new_keys_are_opened_together(n: int) -> None:
    """Of three members all must certify each direction, so the new key signs for the rounds of the old one too."""
    run = rotated(n)
    run.close()
    settlement = run.settle()

    assert settlement.left_out == ()
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [(one.standing, one.flags) for one in settlement.valued] == [("verified", ())] * n
    assert [(reaction.code, reaction.complete) for reaction in settlement.reactions] == [("", True)] * n
    assert not run.refusals
    assert not [name for vault in run.vaults for name in vault.kept if name.endswith(("kept", "update", "sum"))]


def test_keys_may_change_more_than_once_and_before_the_closing_exchange() -> None:
    run = SettledRun(n=3, rounds=3).run(until=1)
    new_keys(run, 0)
    run.run(until=2)
    new_keys(run, 0)
    new_keys(run, 2)
    run.run()
    new_keys(run, 1)
    run.close()
    settlement = run.settle()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [one.standing for one in settlement.valued] == ["verified"] * 3


def test_who_lost_its_memory_is_silent_about_what_was_before_and_takes_part_from_then_on() -> None:
    """It certifies no direction and endorses no list of a time it does not know, and its edges rest on its peers."""
    run = rotated(lost=True)
    run.close()
    settlement = run.settle()

    signed = [[voice.seat for voice in run.desk.proposals(round_)[0].voices] for round_ in (1, 2, 3, 4)]
    assert signed[1:] == [[0, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert [str(error) for seat, error in run.refusals if seat == 1] == [
        "This organisation lost its memory of a listed round, so it endorses no list of it."
    ]
    assert {voice.seat for voice in run.reveal().voices} == {0, 2, 3}
    (lost,) = (answer for answer in settlement.statement.answers if answer.seat == 1)
    assert [report.values for report in lost.reports] == [()] * 3
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [one.standing for one in settlement.valued] == ["provisional"] * 4
    assert {one.seat: len(one.vouched_by) for one in settlement.valued} == {0: 1, 1: 3, 2: 1, 3: 1}
    assert [reaction.code for reaction in settlement.reactions] == [""] * 4


def test_who_was_never_invited_before_its_memory_was_lost_endorses_nothing_either() -> None:
    run = SettledRun(n=4, rounds=2).run()
    new_keys(run, 1, lost=True)
    run.close()
    settlement = run.settle()

    assert {voice.seat for voice in run.reveal().voices} == {0, 2, 3}
    assert run.members[1]._record.account.since == run.rounds + 1
    assert [one.standing for one in settlement.valued] == ["provisional"] * 4


def test_an_invitation_to_an_earlier_round_gives_nobody_a_memory_it_lost() -> None:
    """Nobody else takes part in such a round, so it comes to no upload."""
    run = SettledRun(n=4, rounds=3).run(until=2)
    new_keys(run, 1, lost=True)
    run.now = 1
    begun = begin(run.server, run.plan(1), previous=None, cohort=[1])

    assert run.members[1].handle(begun.requests[1])
    assert run.members[1]._record.plan == run.plan(1)
    assert run.member(1)._record.account.since == run.rounds + 1


def test_a_settlement_in_the_name_of_the_new_version_is_refused_by_all() -> None:
    """The name of a settlement is that of the roster's first version, so that there is one for all its keys."""
    run = rotated()
    run.close()
    assert run.desk.tenure.name == run.earlier[0].digest
    other = replace(run.shown(), manifest=run.manifest.digest)
    for member in run.members:
        for message in (agenda_of(other), run.endorsed(other)):
            with pytest.raises(OutOfOrderError, match="another manifest"):
                member.handle(seal_settlement(run.server.identity, message))


def test_after_new_keys_a_second_list_is_refused_with_proof_and_the_first_is_endorsed_alike() -> None:
    run = SettledRun(n=4, rounds=3).run()
    run.close()
    whole = agenda_of(run.shown())
    shorter = replace(whole, rounds=whole.rounds[:-1], left_out=(LeftOut(round=3, reason=CLASH),))
    first = [member.handle(seal_settlement(run.server.identity, whole)) for member in run.members]
    new_keys(run, 1)

    for seat, member in enumerate(run.members):
        assert member.handle(seal_settlement(run.server.identity, whole)) == first[seat]
        with pytest.raises(EquivocationError) as caught:
            member.handle(seal_settlement(run.server.identity, shorter))
        assert caught.value.evidence is not None
        assert contradicts(unpack(Contradiction, caught.value.evidence))


def test_an_endorsement_with_a_key_of_before_does_not_count() -> None:
    run = rotated()
    run.close()
    agenda, reveal = agenda_of(run.shown()), run.shown()
    old = run.federation.identities[1].sign("endorsement", agenda.context, 1, agenda.listed)
    stale = replace(reveal, voices=(reveal.voices[0], Voice(seat=1, signature=old), *reveal.voices[2:]))
    for member in run.members:
        with pytest.raises(BadServerMessageError, match="Member 1 did not endorse"):
            member.handle(seal_settlement(run.server.identity, stale))


def test_a_round_is_listed_under_the_version_it_ran_under_and_no_other() -> None:
    """The version is in D, which tau members signed: claiming another one makes every signature invalid."""
    run = rotated()
    run.close()
    honest = run.shown()
    for at, claimed in ((0, run.manifest.digest), (3, run.earlier[0].digest), (0, digest("another"))):
        rounds = list(honest.rounds)
        listing = rounds[at].listing
        rounds[at] = replace(rounds[at], listing=replace(listing, plan=replace(listing.plan, manifest=claimed)))
        reveal = run.endorsed(replace(honest, rounds=tuple(rounds)))
        for member in run.members:
            with pytest.raises(BadServerMessageError):
                member.handle(seal_settlement(run.server.identity, reveal))
            assert member._record.account.openings == 0


def test_an_upload_counts_only_for_the_version_it_was_sent_under() -> None:
    run = rotated()
    run.close()
    reveal = run.shown()
    for member in run.members:
        account = member._record.account
        moved = tuple(replace(held, manifest=run.manifest.digest) for held in account.rounds)
        member._record = replace(member._record, account=replace(account, rounds=moved))
        with pytest.raises(BadServerMessageError, match="did not send"):
            member.handle(seal_settlement(run.server.identity, reveal))


def test_a_new_version_does_not_open_a_closed_run_again() -> None:
    run = SettledRun(n=4, rounds=3).run()
    run.close()
    new_keys(run, 1)
    run.now = 4
    with pytest.raises(RefusalError, match="closed"):
        run.members[0].handle(run_invitation(run))


def test_a_member_away_since_before_the_new_keys_settles_with_the_key_it_has() -> None:
    """It missed the last rounds; in the first ones it has a value."""
    run = SettledRun(n=4, rounds=4, gone={(3, 3): "invite", (4, 3): "invite"}).run(until=2)
    new_keys(run, 1)
    run.run().close()
    settlement = run.settle()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [one.standing for one in settlement.valued] == ["verified"] * 4


def test_a_lie_about_an_edge_that_is_older_than_the_new_keys_is_proven() -> None:
    run = rotated()
    run.close()
    run.change = lambda kind, seat, reply: run.lied(reply, seat, {0: 7}) if (kind, seat) == ("reveal", 1) else reply
    settlement = run.settle()

    (judged,) = settlement.statement.judged
    assert (judged.low, judged.high, judged.liars) == (0, 1, (1,))
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert "lied" in settlement.valued[1].flags


def test_a_statement_that_was_missed_is_heard_later_with_the_new_key() -> None:
    run = rotated()
    run.close()
    run.gone = {(0, 3): "invite"}
    settlement = run.settle()
    run.gone = {}
    (late,) = settling.tell(run.new_desk(), run, 1)

    assert (late.seat, late.code) == (3, "settlement.not-answered")
    assert len(settlement.reactions) == 3
    said = read_settlement(run.manifest.server, seal_settlement(run.server.identity, settlement.statement))
    assert isinstance(said, Statement)
    assert pack(said) == pack(settlement.statement)


def test_a_sum_under_a_version_that_is_not_known_is_not_kept() -> None:
    run = SettledRun(n=3, rounds=1).run()
    stranger = replace(run.outcomes[0], plan=replace(run.outcomes[0].plan, manifest=digest("another")))
    before = dict(run.vaults[0].kept)
    run.members[0].learn(stranger)

    assert run.vaults[0].kept == before
    assert answered(run.members[0]._record.account, 1, run.manifest.digest) is None
