"""The cost of the accounts by part: nothing twice, nothing that others are waited for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from fedgap.crypto import seeded
from fedgap.flower.stopwatch import Stopwatch
from fedgap.flower.timed_desk import TimedDesk
from fedgap.secagg.messages import Sealed
from fedgap.secagg.wire import kind_of, unpack
from tests.settling.settled_run import SettledRun, counts

WAIT_S = 0.05


def test_what_is_measured_inside_counts_for_its_own_part_only() -> None:
    watch = Stopwatch()
    began = time.monotonic()
    with watch.measures("directions"):
        time.sleep(WAIT_S)
        with watch.measures("entries"):
            time.sleep(2 * WAIT_S)
        with watch.measures("entries"):
            time.sleep(WAIT_S)
    passed = time.monotonic() - began

    assert watch.wall["directions"] >= WAIT_S
    assert watch.wall["entries"] >= 3 * WAIT_S
    assert watch.seconds <= passed


def test_a_part_that_fails_is_counted_and_the_next_round_begins_at_nothing() -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch.measures("commitments"):
            time.sleep(WAIT_S)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    watch.count("directions", cpu_s=2.0)
    taken = watch.take()

    assert taken.wall["commitments"] >= WAIT_S
    assert taken.cpu["directions"] == 2.0
    assert (watch.wall, watch.cpu) == ({}, {})


def test_what_is_hidden_is_no_part_of_the_path_but_for_what_was_late() -> None:
    watch = Stopwatch()
    watch.count("exchanges", wall_s=1.0)
    with watch.hides(), watch.measures("directions"):
        time.sleep(WAIT_S)
    watch.was_late(0.25)
    taken = watch.take()

    assert taken.wall == {"exchanges": 1.0, "late": 0.25}
    assert taken.hidden["directions"] >= WAIT_S
    assert watch.hidden == {}


class SlowRun(SettledRun):
    """A run whose members take their time to join, and whose desk is timed."""

    def exchange(self, requests: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - as the parent
        """Ask everybody, slowly."""
        for seat, reply in super().exchange(requests):
            if "invite" in kind_of(unpack(Sealed, requests[seat]).body):
                time.sleep(WAIT_S)
            yield seat, reply


def test_a_timed_desk_opens_the_same_numbers_and_counts_no_waiting() -> None:
    watch, run = Stopwatch(), SlowRun(n=4, rounds=3)
    run.desk = TimedDesk(watch, run.server, run.evaluation, run.journal, rand=seeded("s"), origin=run.manifest.digest)
    run.run()
    spent = watch.take()
    run.close()
    settlement = run.settle()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert set(spent.wall) == {"exchanges"}
    assert spent.cpu["exchanges"] > 0
    assert spent.seconds < 4 * 3 * WAIT_S
