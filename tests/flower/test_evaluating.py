"""Directions beside the ledger: the same bits as one after the other, and nothing runs on when something fails."""

import threading

import numpy as np
import pytest

from fedgap.contribution.errors import UtilityError
from fedgap.contribution.interval import halves
from fedgap.contribution.openings import directions, openings
from fedgap.flower.evaluating import Parts, evaluating
from fedgap.flower.stopwatch import Stopwatch
from fedgap.learning.rows import Rows
from fedgap.learning.stack_utility import StackUtility
from fedgap.simulation.assessing import Moved

RNG = np.random.default_rng(1)
ROWS = Rows(RNG.normal(size=(41, 6)).astype(np.float32), RNG.integers(0, 3, 41))
BEFORE, MEAN = RNG.normal(size=21).astype(np.float32), 0.1 * RNG.normal(size=21)
MOVED = Moved(before=BEFORE, after=(BEFORE + MEAN).astype(np.float32), step=1.0)


def utility(rows: Rows = ROWS) -> StackUtility:
    """Softmax regression."""
    return StackUtility.of((6, 3), "relu", "brier", rows)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_directions_have_the_bits_of_those_computed_one_after_the_other(*, apart: bool, known: bool) -> None:
    expected = directions(openings(utility(), 2, 7), MOVED.before, MOVED.after, MEAN, MOVED.step)
    starts = [one.start for one in expected] if known else ()
    parts = Parts(utilities=[utility(ROWS.take(half)) for half in halves(41, 7)], apart=apart, starts=starts)
    watch = Stopwatch()

    with evaluating(watch, utility(), parts, MOVED, MEAN) as work:
        found, value = work.directions(), work.value()

    assert [one.unrounded.tobytes() for one in expected] == [one.unrounded.tobytes() for one in found]
    assert [(one.start, one.end, one.factor) for one in expected] == [(one.start, one.end, one.factor) for one in found]
    assert value == utility().value(MOVED.after.astype(np.float64))
    assert watch.cpu["directions"] > 0


def test_a_round_whose_directions_are_known_is_only_looked_at() -> None:
    parts = Parts(utilities=[utility()], apart=True)
    with evaluating(Stopwatch(), utility(), parts, MOVED, None) as work:
        assert work.directions() == []
        assert 0 < work.value() < 1


@pytest.mark.parametrize("apart", [True, False])
def test_what_fails_in_a_thread_fails_here_and_no_thread_is_left(*, apart: bool) -> None:
    broken = utility(Rows(np.full_like(ROWS.x, np.nan), ROWS.y))
    with (
        pytest.raises(UtilityError),
        evaluating(Stopwatch(), utility(), Parts(utilities=[broken, utility()], apart=apart), MOVED, MEAN) as work,
    ):
        work.directions()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evaluating")]
