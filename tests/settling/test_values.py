"""What an honest settlement opens: exactly the plain inner products, for everybody who stayed in a round."""

from fractions import Fraction

import numpy as np
import pytest

from fedgap import settling
from fedgap.secagg.evaluation import Row, Shard, rows_root
from fedgap.secagg.opening import RING, product
from fedgap.secagg.plain_opening import PlainOpening
from fedgap.secagg.settlement import AFTER_WINDOW, CLASH, NO_CERTIFICATE, UNUSABLE
from tests.settling.settled_run import COMMITTED, ROWS, SettledRun, counts, leaning_updates


def test_the_opened_numbers_are_the_plain_inner_products_bit_for_bit() -> None:
    run = SettledRun(n=5, rounds=3)
    settlement = run.whole()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert not run.refusals
    assert [one.standing for one in settlement.valued] == ["verified"] * 5
    assert [(reaction.code, reaction.complete) for reaction in settlement.reactions] == [("", True)] * 5


@pytest.mark.parametrize("d", [60, 100, 1000])
def test_the_opened_value_is_the_true_one_within_the_promised_error(d: int) -> None:
    """Half a per cent of the largest value, a tenth for small models.

    The updates lean towards the directions as training does: the largest with cosine 0.4, one not at all.
    """
    run = SettledRun(n=4, d=d, rounds=20, updates=leaning_updates(d, (0.4, 0.2, 0.1, 0.0)))
    true = np.zeros(4)
    shares = [run.manifest.share(seat) for seat in range(4)]
    for round_ in range(1, 21):
        direction = run.known(round_)[0]
        for seat in range(4):
            true[seat] += shares[seat] * float(run.update(round_, seat).astype(np.float64) @ direction) / sum(shares)
    settlement = run.whole()
    opened = np.array([float(one.value) for one in settlement.valued])

    assert np.abs(opened - true).max() <= (0.001 if d <= 100 else 0.005) * np.abs(true).max()


def test_the_values_add_up_to_the_directions_product_with_the_sums_in_the_ring() -> None:
    run = SettledRun(rounds=4)
    settlement = run.whole()
    total = 0
    for round_, outcome in enumerate(run.outcomes, 1):
        total += product(run.desk.proposals(round_)[0].direction, np.frombuffer(outcome.total, "<u4"))

    assert total % RING == sum(values[0] for values in counts(settlement).values()) % RING
    assert settlement.totals == (sum((one.value for one in settlement.valued), Fraction(0)),)


def test_members_that_missed_rounds_settle_the_rounds_they_were_in() -> None:
    """One misses a whole round, one drops before its upload, one before it unmasks."""
    gone = {(1, 0): "invite", (2, 3): "relay", (3, 5): "certificate"}
    run = SettledRun(n=6, rounds=4, gone=gone)
    settlement = run.whole()

    assert [len(outcome.survivors) for outcome in run.outcomes] == [5, 5, 6, 6]
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    complete = [reaction.complete for reaction in settlement.reactions]
    assert complete == [True] * 6
    assert [one.standing for one in settlement.valued] == ["verified"] * 6


def test_two_openings_give_two_numbers_whose_mean_is_the_value() -> None:
    run = SettledRun(n=3, rounds=2, openings=2)
    settlement = run.whole()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    for one in settlement.valued:
        assert len(one.values) == 2
        assert one.value == sum(one.values) / 2


def test_several_periods_are_settled_each_with_its_own_rows() -> None:
    """The first as soon as as many rounds again have passed, the last after the closing exchange."""
    source = "public"
    run = SettledRun(n=3, d=100, rounds=21, periods=3, source=source)
    run.run(until=14)
    first = run.settle(1)
    run.run()
    run.close()
    second, third = run.settle(2), run.settle(3)

    for rounds, settlement in ((range(1, 8), first), (range(8, 15), second), (range(15, 22), third)):
        assert run.expected(rounds) == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert not run.refusals


def test_committed_rows_of_several_periods_are_shown_one_shard_at_a_time() -> None:
    """Each settlement shows its own shard, and no other."""
    others = tuple(Row(salt=bytes([200 - k]) * 16, content=b"other %d" % k) for k in range(50))
    shards = (COMMITTED, Shard(root=rows_root(others), rows=len(others)))
    run = SettledRun(n=3, d=60, rounds=20, periods=2, shards=shards)
    run.run().close()
    first, second = run.settle(1), run.settle(2, rows=others)

    assert [run.reveal(period).rows for period in (1, 2)] == [ROWS, others]
    for rounds, settlement in ((range(1, 11), first), (range(11, 21), second)):
        assert run.expected(rounds) == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert not run.refusals


def test_a_period_of_fifty_rounds_at_the_norm_bound_does_not_wrap() -> None:
    """Every upload is as long as it may be and points along the direction: the largest product there is."""
    d, rounds = 60, 50
    along = np.ones(d)
    run = SettledRun(
        n=3,
        d=d,
        rounds=rounds,
        weights=[10, 10, 10],
        directions=lambda _: [along],
        updates=lambda round_, seat: np.full(d, 50.0 + 0 * (round_ + seat), np.float32),
    )
    settlement = run.whole()
    opened = [values[0] for values in counts(settlement).values()]
    norm = (2**16 // rounds) / 2

    assert opened == [run.expected()[seat][0] for seat in range(3)]
    assert all(0 < value < 2**30 for value in opened)
    for value in opened:
        assert value == pytest.approx(rounds * norm * run.manifest.encoding.amplitude, rel=0.01)
    for one in settlement.valued:
        assert float(one.value) == pytest.approx(rounds * d**0.5 / 3, rel=0.01)


def test_a_direction_that_grows_is_scaled_down_instead_of_wrapping() -> None:
    """A thousand times the first one: what fits is opened, and the report says that a part is missing."""
    d = 60
    run = SettledRun(n=3, d=d, rounds=10, directions=lambda round_: [np.ones(d) * (1.0 if round_ == 1 else 1000.0)])
    settlement = run.whole()

    assert settlement.kept < 0.01
    assert all("scaled-down" in one.flags for one in settlement.valued)
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert all(abs(values[0]) < 2**30 for values in counts(settlement).values())


def test_a_round_that_cannot_be_opened_is_credited_by_weight() -> None:
    """Its direction singles out one coordinate; the total is still given away in full."""
    d = 200
    spike = np.zeros(d)
    spike[3] = 100.0
    known = {1: np.ones(d), 2: spike, 3: np.ones(d)}
    run = SettledRun(n=3, d=d, rounds=3, weights=[10, 20, 30], directions=lambda round_: [known[round_]])
    settlement = run.whole()
    unit = 1 / (Fraction(run.desk.proposals(1)[0].scale) * run.manifest.encoding.amplitude)
    word = int(np.frombuffer(run.outcomes[1].total, "<i4")[3])
    entry = int(run.desk.proposals(2)[0].direction[3])

    assert [(gone.round, gone.reason) for gone in settlement.left_out] == [(2, UNUSABLE)]
    opened = run.expected([1, 3])
    for seat, one in enumerate(settlement.valued):
        assert one.values[0] == (opened[seat][0] + Fraction(word * entry * (seat + 1), 6)) * unit
        assert "partly-by-weight" in one.flags


def test_a_round_without_a_certificate_is_credited_by_weight() -> None:
    """Nobody but the server saw the closing exchange, so the last round's direction has no signatures."""
    run = SettledRun(n=3, rounds=3, gone={(0, seat): "invite" for seat in range(3)})
    run.run().close()
    run.gone = {}
    run.change = lambda kind, _, reply: None if kind == "close" else reply
    settlement = run.settle()

    assert [(gone.round, gone.reason) for gone in settlement.left_out] == [(3, NO_CERTIFICATE)]
    assert run.expected([1, 2]) == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert not run.refusals


def test_rounds_that_share_too_few_members_are_not_opened_together() -> None:
    """N = 7, f = 2: rounds of five members may share only three, and f + 2 are needed."""
    gone = {(1, 0): "invite", (1, 1): "invite", (2, 5): "invite", (2, 6): "invite"}
    run = SettledRun(n=7, rounds=4, gone=gone)
    settlement = run.whole()

    assert [(out.round, out.reason) for out in settlement.left_out] == [(1, CLASH)]
    assert run.expected([2, 3, 4]) == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert not run.refusals
    assert [reaction.code for reaction in settlement.reactions] == [""] * 7


def test_rounds_after_the_window_are_neither_opened_nor_credited() -> None:
    run = SettledRun(n=3, rounds=4)
    run.run().close()
    settlement = settling.settle(run.desk, run, 1, rows=ROWS, last=2)

    assert [(gone.round, gone.reason) for gone in settlement.left_out] == [(3, AFTER_WINDOW), (4, AFTER_WINDOW)]
    assert run.expected([1, 2]) == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [one.flags for one in settlement.valued] == [()] * 3
    assert not run.refusals
    plain = PlainOpening(run.manifest, run.evaluation)
    for round_ in range(1, 5):
        plain.add(round_, {seat: run.vector(round_, seat) for seat in range(3)}, run.known(round_), clip=1.0)
    assert [one.values for one in plain.values(1, last=2)] == [one.values for one in settlement.valued]


def test_the_rows_shown_are_the_committed_ones() -> None:
    run = SettledRun(rounds=1)
    run.whole()

    assert run.reveal().rows == ROWS
