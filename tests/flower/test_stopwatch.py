"""The cost of the accounts by part: nothing twice, nothing that others are waited for."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fedgap.crypto import seeded
from fedgap.flower import stopwatch, timed_desk
from fedgap.flower.cohort import purpose_of
from fedgap.flower.stopwatch import Stopwatch
from fedgap.flower.timed_desk import TimedDesk
from tests.settling.settled_run import SettledRun, counts

WAIT_S = 0.25


class Clock:
    """Time that passes only where a test lets it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock on the wall and that of the processor, for all that is measured."""
    clock = Clock()
    for module in (stopwatch, timed_desk):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock, thread_time=clock))
    return clock


def test_what_is_measured_inside_counts_for_its_own_part_only(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.measures("directions"):
        clock.pass_(WAIT_S)
        with watch.measures("entries"):
            clock.pass_(2 * WAIT_S)
        with watch.measures("entries"):
            clock.pass_(WAIT_S)

    assert watch.wall == watch.cpu == {"directions": WAIT_S, "entries": 3 * WAIT_S}
    assert watch.seconds == clock.now


def test_a_part_that_fails_is_counted_and_the_next_round_begins_at_nothing(clock: Clock) -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch.measures("commitments"):
            clock.pass_(WAIT_S)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    watch.count("directions", cpu_s=2.0)
    taken = watch.take()

    assert taken.wall["commitments"] == WAIT_S
    assert taken.cpu["directions"] == 2.0
    assert (watch.wall, watch.cpu) == ({}, {})


def test_what_is_hidden_is_no_part_of_the_path_but_for_what_was_late(clock: Clock) -> None:
    watch = Stopwatch()
    watch.count("exchanges", wall_s=1.0)
    with watch.hides(), watch.measures("directions"):
        clock.pass_(WAIT_S)
    watch.was_late(0.25)
    taken = watch.take()

    assert taken.wall == {"exchanges": 1.0, "late": 0.25}
    assert taken.hidden == {"directions": WAIT_S}
    assert watch.hidden == {}


class SlowRun(SettledRun):
    """A run whose members take their time to join, and whose desk is timed."""

    clock: Clock

    def exchange(self, requests: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - as the parent
        """Ask everybody, slowly."""
        for seat, reply in super().exchange(requests):
            if purpose_of(requests[seat]) == "invite":
                self.clock.pass_(WAIT_S)
            yield seat, reply


def test_a_timed_desk_opens_the_same_numbers_and_counts_no_waiting(clock: Clock) -> None:
    watch, run = Stopwatch(), SlowRun(n=4, rounds=3)
    run.clock = clock
    run.desk = TimedDesk(watch, run.server, run.evaluation, run.journal, rand=seeded("s"), origin=run.manifest.digest)
    run.run()
    spent = watch.take()
    run.close()
    settlement = run.settle()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert set(spent.wall) == {"exchanges"}
    assert clock.now == 4 * 3 * WAIT_S
    assert (spent.seconds, spent.cpu) == (0.0, {"exchanges": 0.0})
