"""Before anybody answers, tau members endorse one list of rounds: over two lists they would give two numbers."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fedgap import settling
from fedgap.secagg.errors import BadServerMessageError, EquivocationError, OutOfOrderError, RefusalError
from fedgap.secagg.evidence import Contradiction, contradicts
from fedgap.secagg.settlement import CLASH, Agenda, Endorsement, LeftOut, agenda_of, seal_settlement
from fedgap.secagg.states import Kept
from fedgap.secagg.wire import pack, unpack
from tests.settling.settled_run import ROWS, SettledRun, counts


def closed(n: int = 4) -> SettledRun:
    """A run that is over and not settled."""
    run = SettledRun(n=n).run()
    run.close()
    return run


def shorter(agenda: Agenda) -> Agenda:
    """The same list without its last round, which the server claims to have left out."""
    last = agenda.rounds[-1].round
    return replace(agenda, rounds=agenda.rounds[:-1], left_out=(LeftOut(round=last, reason=CLASH),))


def test_two_lists_for_two_halves_are_endorsed_by_neither_and_nothing_is_opened() -> None:
    run = closed(6)
    whole = agenda_of(run.shown())
    part = shorter(whole)
    for seat, member in enumerate(run.members):
        assert member.handle(seal_settlement(run.server.identity, whole if seat < 3 else part))
        with pytest.raises(EquivocationError) as caught:
            member.handle(seal_settlement(run.server.identity, part if seat < 3 else whole))
        assert caught.value.evidence is not None
        assert contradicts(unpack(Contradiction, caught.value.evidence))
        assert caught.value.evidence in run.vaults[seat].kept.values()
    half = replace(run.shown(), voices=run.shown().voices[:3])
    for member in run.members:
        with pytest.raises(BadServerMessageError, match="endorsed by 3"):
            member.handle(seal_settlement(run.server.identity, half))


def test_endorsements_of_another_list_are_not_accepted() -> None:
    run = closed()
    reveal = run.shown()
    fewer = replace(reveal, rounds=reveal.rounds[:-1], left_out=(LeftOut(round=3, reason=CLASH),))
    twice = replace(reveal, voices=(reveal.voices[0], *reveal.voices[:-1]))
    for wrong in (fewer, twice):
        for member in run.members:
            with pytest.raises(BadServerMessageError, match="endorse"):
                member.handle(seal_settlement(run.server.identity, wrong))


def test_a_list_is_endorsed_once_when_it_is_due_and_only_if_it_covers_the_period() -> None:
    early = SettledRun(n=3).run()
    with pytest.raises(OutOfOrderError):
        early.members[0].handle(seal_settlement(early.server.identity, agenda_of(early.shown())))
    run = closed(3)
    agenda = agenda_of(run.shown())
    for wrong in (replace(agenda, rounds=agenda.rounds[1:]), replace(agenda, period=2)):
        with pytest.raises(RefusalError):
            run.members[0].handle(seal_settlement(run.server.identity, wrong))
    request = seal_settlement(run.server.identity, agenda)
    first = run.members[0].handle(request)
    assert first == run.members[0].handle(request) == run.member(0).handle(request)
    run.members[1].handle(seal_settlement(run.server.identity, run.shown()))
    with pytest.raises(OutOfOrderError):
        run.members[1].handle(request)


def test_a_period_whose_list_too_few_endorse_is_left_to_weights() -> None:
    run = closed()
    run.change = lambda kind, seat, reply: None if kind == "agenda" and seat > 1 else reply
    settlement = run.settle()

    assert {one.standing for one in settlement.valued} == {"by-weight"}
    assert not run.journal.has("settlement-reveal-1")
    assert [reaction.code for reaction in settlement.reactions] == [""] * 4


def test_endorsements_that_are_not_valid_are_not_counted() -> None:
    run = closed(6)

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "agenda" or seat > 2:
            return reply
        said = unpack(Endorsement, reply)
        other = replace(said, seat=5)
        unsigned = replace(said, signature=bytes(64))
        return (b"garbage", pack(other), pack(unsigned))[seat]

    run.change = change
    waiting = run.settle(final=False)
    assert {one.standing for one in waiting.valued} == {"by-weight"}
    run.change = lambda kind, _, reply: reply  # noqa: ARG005 - nothing is changed any more
    settlement = run.settle()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}


def test_the_order_in_which_answers_arrive_changes_nothing() -> None:
    straight, turned = closed(), closed()

    class Turned:
        """The members, last ones first."""

        def exchange(self, requests: Mapping[int, bytes]) -> list[tuple[int, bytes]]:
            return list(turned.exchange(requests))[::-1]

    other = settling.settle(turned.desk, Turned(), 1, rows=ROWS)
    assert pack(straight.settle().statement) == pack(other.statement)


def test_after_the_final_statement_no_secret_is_left_in_memory_or_vault() -> None:
    run = SettledRun(n=3).run()
    secrets = [
        edge.secret
        for vault in run.vaults
        for name, content in vault.kept.items()
        if name.endswith("-kept")
        for edge in unpack(Kept, content).edges
    ]
    run.close()
    run.settle()

    assert len(secrets) == 18
    for member, vault in zip(run.members, run.vaults, strict=True):
        everything = b"".join([pack(member._record), vault.record or b"", *vault.kept.values()])
        assert not [secret for secret in secrets if secret in everything]
