"""A server that sends anything, in any order, again and again: each member still says one thing at each place.

Four members, one of which sides with the server and signs whatever it is asked to; the lists are endorsed by as many as
the server can get. Keys change in between, and the server may say that a list is the new version's. Whatever it does,
an honest member endorses one list and gives one answer, opens no edge to another honest member, and erases its secrets
only with a final statement.
"""

from copy import deepcopy
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fedgap.secagg.errors import RefusalError
from fedgap.secagg.messages import Voice
from fedgap.secagg.settlement import (
    CLASH,
    Agenda,
    Answer,
    Challenge,
    Close,
    Endorsement,
    LeftOut,
    Opening,
    Reveal,
    SettlementMessage,
    Statement,
    agenda_of,
    seal_settlement,
)
from fedgap.secagg.wire import kind_of, unpack
from tests.settling.rosters import new_keys
from tests.settling.settled_run import SettledRun

N, COLLUDER = 4, 3
RUN = SettledRun(n=N, rounds=3).run()
CLOSED = SettledRun(n=N, rounds=3).run()
CLOSED.close()
WHOLE = CLOSED.shown()
ROTATED = SettledRun(n=N, rounds=3).run()
new_keys(ROTATED, 0)
LISTS = (
    WHOLE,
    replace(WHOLE, rounds=WHOLE.rounds[:2], left_out=(LeftOut(round=3, reason=CLASH),)),
    replace(WHOLE, rounds=WHOLE.rounds[1:], left_out=(LeftOut(round=1, reason=CLASH),)),
    replace(WHOLE, manifest=ROTATED.manifest.digest),
)
KEYS = RUN.federation.identities
honest = st.integers(0, N - 2)
some = st.just(frozenset(range(N - 1))) | st.frozensets(honest, min_size=1)
lists = st.integers(0, len(LISTS) - 1)


class AnySettlement(RuleBasedStateMachine):
    """The server's hand is free; the members are real."""

    @initialize(closed=st.booleans())
    def found(self, *, closed: bool) -> None:
        """Members whose run is over, and perhaps closed."""
        self.run_ = RUN
        self.vaults = deepcopy(RUN.vaults)
        self.members = [self._start(seat) for seat in range(N)]
        self.said: dict[tuple[int, str], set[bytes]] = {}
        self.endorsed: dict[int, dict[int, bytes]] = {k: {} for k in range(len(LISTS))}
        self.answers: dict[int, Answer] = {}
        if closed:
            self.close(frozenset(range(COLLUDER)), empty=True)

    def _start(self, seat: int) -> object:
        before, self.run_.vaults = self.run_.vaults, self.vaults
        member = self.run_.member(seat)
        self.run_.vaults = before
        return member

    def _send(self, message: SettlementMessage, seat: int) -> bytes | None:
        try:
            reply: bytes = self.members[seat].handle(seal_settlement(RUN.server.identity, message))  # type: ignore[attr-defined]  # a member
        except RefusalError:
            return None
        self.said.setdefault((seat, kind_of(reply)), set()).add(reply)
        return reply

    @rule(to=some, empty=st.booleans())
    def close(self, to: frozenset[int], *, empty: bool) -> None:
        """Close the run, with the offers or without."""
        offers = () if empty else RUN.desk.offers(RUN.outcomes[-1])
        message = Close(manifest=RUN.manifest.digest, outcome=RUN.outcomes[-1], offers=offers, checkpoint=b"")
        for seat in sorted(to):
            self._send(message, seat)

    @rule(to=some, chosen=lists)
    def agenda(self, to: frozenset[int], chosen: int) -> None:
        """Ask for an endorsement of any list."""
        for seat in sorted(to):
            reply = self._send(agenda_of(LISTS[chosen]), seat)
            if reply is not None:
                self.endorsed[chosen][seat] = unpack(Endorsement, reply).signature

    @rule(to=some, chosen=lists, left=st.frozensets(honest, max_size=1))
    def reveal(self, to: frozenset[int], chosen: int, left: frozenset[int]) -> None:
        """Reveal any list, with the colluder's endorsement and all there are, or all but one: its key may be old."""
        agenda: Agenda = agenda_of(LISTS[chosen])
        ours = KEYS[COLLUDER].sign("endorsement", agenda.context, COLLUDER, agenda.listed)
        signatures = {**self.endorsed[chosen], COLLUDER: ours}
        voices = tuple(Voice(seat=one, signature=signatures[one]) for one in sorted(signatures.keys() - left))
        for seat in sorted(to):
            reply = self._send(replace(LISTS[chosen], voices=voices), seat)
            if reply is not None:
                self.answers[seat] = unpack(Answer, reply)

    @rule(seat=honest, other=st.integers(0, N - 1), lie=st.booleans())
    def challenge(self, seat: int, other: int, *, lie: bool) -> None:
        """Challenge with any answer there is, changed or not; only the colluder's can be signed anew."""
        answer = self.answers.get(other if other != COLLUDER else seat)
        if answer is None:
            return
        if lie or other == COLLUDER:
            answer = replace(answer, seat=other, reports=answer.reports[1:] if lie else answer.reports)
        self._send(Challenge(manifest=RUN.manifest.digest, period=1, recipient=seat, answer=answer), seat)

    @rule(seat=honest, final=st.booleans(), revision=st.integers(1, 2))
    def state(self, seat: int, revision: int, *, final: bool) -> None:
        """State that nothing was answered."""
        listed = agenda_of(LISTS[0]).listed
        said = Statement(
            manifest=RUN.manifest.digest,
            period=1,
            revision=revision,
            final=final,
            listed=listed,
            answers=(),
            judged=(),
            bases=(),
            blocs=(),
        )
        self._send(said, seat)

    @rule()
    def new_keys(self) -> None:
        """Put the next version into force, in which member 0 has another key; there is no way back."""
        self.run_ = ROTATED
        self.members = [self._start(seat) for seat in range(N)]

    @rule(seat=honest)
    def restart(self, seat: int) -> None:
        """End a member's process and start it from its vault."""
        self.members[seat] = self._start(seat)

    @invariant()
    def one_thing_at_each_place(self) -> None:
        """One endorsement, one answer, and no edge between honest members opened."""
        for (_, kind), replies in self.said.items():
            if kind.split("/")[2] in {"answer", "endorsement", "certified"}:
                assert len(replies) == 1
            for reply in replies:
                if kind.split("/")[2] == "opening":
                    assert unpack(Opening, reply).peer == COLLUDER

    @invariant()
    def one_list_is_answered(self) -> None:
        """All answers are over one list, and what it counts is one opening."""
        assert len({answer.listed for answer in self.answers.values()}) <= 1
        for member in self.members[:COLLUDER]:
            assert member._record.account.openings <= 1  # type: ignore[attr-defined]  # a member


AnySettlement.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestAnySettlement = AnySettlement.TestCase


def test_the_lists_of_the_schedule_are_all_valid_by_themselves() -> None:
    """Each would be opened if it were the only one: nothing but the endorsements stands between them."""
    for chosen in LISTS[:3]:
        for keys in (False, True):
            run = SettledRun(n=N, rounds=3).run()
            run.close()
            if keys:
                new_keys(run, 0)
            reveal: Reveal = run.endorsed(replace(run.shown(), rounds=chosen.rounds, left_out=chosen.left_out))
            assert run.members[0].handle(seal_settlement(run.server.identity, reveal))
