"""Another roster closes a period: its rounds are opened with those who were there, within the bound on periods."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fedgap import settling
from fedgap.secagg.account import HeldRound
from fedgap.secagg.certificates import Certified
from fedgap.secagg.errors import BadServerMessageError, OutOfOrderError
from fedgap.secagg.opening import RING, centred, product
from fedgap.secagg.settlement import NO_ROOM, OTHER_ROSTER, Reveal, agenda_of, read_settlement, seal_settlement
from fedgap.secagg.together import together
from fedgap.secagg.valuation import Settlement
from fedgap.secagg.wire import pack, unpack
from tests.settling.rosters import Bench, joins, leaves, new_keys, settle_parts, weighs
from tests.settling.settled_run import SettledRun, counts

ROUNDS, BEFORE = 11, 5
"""So many rounds have room for one opening more than is planned."""


def changed(change: Callable[[SettledRun], None], *, n: int = 4, rounds: int = ROUNDS) -> SettledRun:
    """A closed run in which something changes after a few rounds."""
    run = SettledRun(n=n, d=60, rounds=rounds).run(until=BEFORE)
    change(run)
    run.run().close()
    return run


def opened(settlement: Settlement) -> dict[int, list[int]]:
    """The counts of a part."""
    return {seats[0]: list(values) for seats, values in counts(settlement).items()}


def test_rounds_before_a_newcomer_are_opened_without_it_and_those_after_with_it() -> None:
    """The newcomer takes the first seat, so everybody else's seat moves."""
    run = changed(lambda run: joins(run, "a-newcomer"))
    first, second = settle_parts(run)

    assert opened(first) == run.expected(range(1, BEFORE + 1))
    assert opened(second) == run.expected(range(BEFORE + 1, ROUNDS + 1))
    assert {gone.reason for part in (first, second) for gone in part.left_out} == {OTHER_ROSTER}
    assert [len(part.valued) for part in (first, second)] == [4, 5]
    for part in (first, second):
        assert {(one.standing, one.flags) for one in part.valued} == {("verified", ())}
        assert {(reaction.code, reaction.complete) for reaction in part.reactions} == {("", True)}
    assert not run.refusals
    assert [member._record.account.openings for member in run.members] == [1, 2, 2, 2, 2]
    assert not [name for vault in run.vaults for name in vault.kept if name.endswith(("kept", "update", "sum"))]


def test_the_values_of_the_parts_are_the_periods_and_add_up_to_the_directions_products_with_the_sums() -> None:
    run = changed(lambda run: joins(run, "a-newcomer"))
    parts = settle_parts(run)
    whole = together(parts)
    total = sum(
        product(run.desk.proposals(round_)[0].direction, np.frombuffer(outcome.total, "<u4"))
        for round_, outcome in enumerate(run.outcomes, 1)
    )
    unit = parts[0].valued[0].value / Fraction(counts(parts[0])[(0,)][0])

    assert [one.organisation for one in whole.valued] == ["a-newcomer", "org-00", "org-01", "org-02", "org-03"]
    assert whole.valued[0].value == parts[1].valued[0].value
    assert whole.valued[1].value == parts[0].valued[0].value + parts[1].valued[1].value
    assert whole.totals == (sum((one.value for one in whole.valued), Fraction(0)),)
    assert whole.totals == (centred(total % RING) * unit,)
    assert [part.statement.manifest for part in whole.parts] == [tenure.name for tenure in run.desk.tenures]


def test_who_left_is_silent_and_keeps_the_value_that_its_peers_vouch_for() -> None:
    run = changed(lambda run: leaves(run, 2), n=5)
    first, second = settle_parts(run)
    whole = together([first, second])

    assert opened(first) == run.expected(range(1, BEFORE + 1))
    assert opened(second) == run.expected(range(BEFORE + 1, ROUNDS + 1))
    assert [answer.seat for answer in first.statement.answers] == [0, 1, 3, 4]
    assert [one.standing for one in first.valued] == ["provisional"] * 5
    assert [one.standing for one in second.valued] == ["verified"] * 4
    assert [(one.organisation, one.standing) for one in whole.valued] == [
        *((f"org-0{k}", "provisional") for k in (0, 1, 3, 4)),
        ("org-02", "provisional"),
    ]
    assert whole.valued[-1].value == first.valued[2].value != 0


def test_rounds_before_too_many_left_are_credited_by_weight() -> None:
    """Of four, three are a quorum; when two have left, nothing is opened for the rounds they were in."""
    run = SettledRun(n=6, d=60, rounds=ROUNDS).run(until=BEFORE)
    leaves(run, 0)
    leaves(run, 0)
    run.run().close()
    first, second = settle_parts(run)

    assert {(one.standing, one.flags) for one in first.valued} == {("by-weight", ("unsettled",))}
    assert sum(one.value for one in first.valued) == first.totals[0] != 0
    assert [one.standing for one in second.valued] == ["verified"] * 4
    assert [one.flags for one in together([first, second]).valued] == [
        *[("partly-by-weight", "unsettled")] * 4,
        *[("unsettled",)] * 2,
    ]
    assert not [name for vault in run.vaults for name in vault.kept if name.endswith(("kept", "update", "sum"))]


def test_without_room_for_one_more_opening_the_closed_part_is_credited_by_weight_and_nothing_of_it_is_asked() -> None:
    run = SettledRun(n=4, d=60, rounds=9).run(until=BEFORE)
    weighs(run, 0, 12)
    run.run().close()
    first, second = settle_parts(run)

    assert [(gone.round, gone.reason) for gone in first.left_out][:BEFORE] == [(k, NO_ROOM) for k in range(1, 6)]
    assert {(one.standing, one.flags) for one in first.valued} == {("by-weight", ("no-room",))}
    weights = [one.weight for one in first.valued]
    assert [one.value / first.totals[0] for one in first.valued] == weights
    assert opened(second) == run.expected(range(BEFORE + 1, 10))
    assert {one.standing for one in second.valued} == {"verified"}
    whole = together([first, second])
    assert {(one.standing, one.flags) for one in whole.valued} == {("verified", ("no-room", "partly-by-weight"))}
    assert [member._record.account.openings for member in run.members] == [1] * 4
    assert not [name for vault in run.vaults for name in vault.kept if name.endswith(("kept", "update", "sum"))]


def test_every_change_of_the_roster_takes_one_opening_until_the_bound_is_reached() -> None:
    """With 21 rounds and 60 parameters three periods are the most: two planned ones leave room for one cut."""
    run = SettledRun(n=4, d=60, rounds=21, periods=2, source="public").run(until=3)
    for until, weight in ((6, 12), (14, 14), (21, 16)):
        weighs(run, 0, weight)
        run.run(until=until)
    room = [[desk.has_room(period) for desk in run.desk.parts(period)] for period in (1, 2)]
    assert room == [[True, False, True], [False, True]]

    run.close()
    parts = [part for period in (1, 2) for part in settle_parts(run, period)]
    assert [{one.standing for one in part.valued} for part in parts] == [
        {"verified"},
        {"by-weight"},
        {"verified"},
        {"by-weight"},
        {"verified"},
    ]
    assert opened(parts[0]) == run.expected(range(1, 4))
    assert opened(parts[2]) == run.expected(range(7, 12))
    assert opened(parts[4]) == run.expected(range(15, 22))
    assert [member._record.account.openings for member in run.members] == [3] * 4


def test_a_member_opens_no_more_numbers_than_the_bound_allows_whatever_the_server_says() -> None:
    run = changed(lambda run: joins(run, "a-newcomer"))
    for member in run.members:
        account = member._record.account
        member._record = replace(member._record, account=replace(account, openings=2))
    first, second = settle_parts(run)

    assert {one.standing for part in (first, second) for one in part.valued} == {"by-weight"}
    assert {str(error) for _, error in run.refusals} == {"All the openings that the manifest allows have been used."}


def test_new_keys_in_another_roster_still_settle_the_rounds_before_it() -> None:
    """Whoever changes its key after the roster changed answers for the old one with the key it has now."""
    run = SettledRun(n=3, d=60, rounds=ROUNDS).run(until=BEFORE)
    joins(run, "org-99")
    run.run(until=8)
    new_keys(run, 1)
    run.run().close()
    first, second = settle_parts(run)

    assert opened(first) == run.expected(range(1, BEFORE + 1))
    assert opened(second) == run.expected(range(BEFORE + 1, ROUNDS + 1))
    assert {one.standing for part in (first, second) for one in part.valued} == {"verified"}


def test_directions_of_the_last_rounds_before_a_change_are_certified_after_it_by_those_who_were_there() -> None:
    run = SettledRun(n=3, d=60, rounds=ROUNDS).run(until=BEFORE)
    assert [len(run.desk.proposals(round_)[0].voices) for round_ in (BEFORE - 1, BEFORE)] == [3, 0]
    joins(run, "a-newcomer")
    run.run(until=BEFORE + 1)

    assert [voice.seat for voice in run.desk.proposals(BEFORE)[0].voices] == [0, 1, 2]


def test_a_round_of_another_roster_is_not_opened_with_the_others() -> None:
    run = changed(lambda run: joins(run, "org-99"))
    desks = run.desk.parts(1)
    shown = []
    for desk in desks:
        run.desk = desk
        shown.append(run.shown())
    mixed: Reveal = replace(shown[1], rounds=(*shown[0].rounds, *shown[1].rounds), left_out=())
    for member in run.members:
        with pytest.raises(BadServerMessageError, match="another manifest"):
            member.handle(seal_settlement(run.server.identity, run.endorsed(mixed)))
        assert member._record.account.openings == 0


def test_a_round_that_was_run_again_under_the_new_roster_is_not_opened_for_the_old_one() -> None:
    """Both lists of survivors may be signed; a member opens a round for the upload that it sent last."""
    run = changed(lambda run: weighs(run, 0, 12))
    run.desk = run.desk.parts(1)[0]
    shown = seal_settlement(run.server.identity, run.shown())
    for member in run.members:
        again = HeldRound(round=BEFORE, attempt=2, manifest=run.manifest.digest, root=bytes(32))
        member._record = replace(member._record, account=member._record.account.holding(again))
        with pytest.raises(BadServerMessageError, match="did not send"):
            member.handle(shown)


def test_a_newcomer_says_nothing_about_a_roster_it_was_not_in() -> None:
    run = changed(lambda run: joins(run, "a-newcomer"))
    desk = run.desk.parts(1)[0]
    run.desk = desk
    for message in (agenda_of(run.shown()), run.shown()):
        with pytest.raises(OutOfOrderError, match="another manifest"):
            run.members[0].handle(seal_settlement(run.server.identity, message))


def test_who_is_asked_again_to_close_at_its_seat_of_before_signs_for_nobody_else() -> None:
    """Org-00 was at seat 0 and is at seat 1 now; a member that claims its old seat there counts for nobody."""
    run = SettledRun(n=4, d=60, rounds=ROUNDS).run(until=BEFORE)
    joins(run, "a-newcomer")
    run.run()
    run.gone = {(0, seat): "invite" for seat in range(1, 5)}
    run.close()
    run.gone = {}

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "close":
            return reply
        return pack(replace(unpack(Certified, reply), seat=seat - 1, cosignature=b"forged"))

    run.change = change
    (first, _) = settle_parts(run)
    assert {one.standing for one in first.valued} == {"verified"}
    assert run.desk.cosignatures == {}


def test_a_settlement_of_parts_that_is_called_again_sends_the_same_and_gives_the_same() -> None:
    run = changed(lambda run: joins(run, "a-newcomer"))
    parts = settle_parts(run)
    run.desk = run.new_desk()

    assert settle_parts(run) == parts
    assert [settling.tell(desk, Bench(run, desk), 1) for desk in run.desk.parts(1)] == [[], []]
    settling.discard(run.desk, 1)
    assert not run.journal.uploads


def test_the_closing_exchange_is_of_the_roster_in_force() -> None:
    run = SettledRun(n=4, d=60, rounds=ROUNDS).run(until=BEFORE)
    joins(run, "org-99")
    run.run()
    run.close()
    close = read_settlement(run.manifest.server, run.journal.get("settlement-close"))
    assert close.manifest == run.manifest.digest
    stale = replace(close, manifest=run.earlier[0].digest)
    for member in run.members[:4]:
        with pytest.raises(OutOfOrderError, match="another manifest"):
            member.handle(seal_settlement(run.server.identity, stale))
