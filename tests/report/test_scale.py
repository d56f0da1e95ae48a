"""Axes: every value has its place, and the ticks are round."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedgap.report import scale

values = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)


@given(values, st.integers(2, 6))
def test_every_value_lies_on_the_axis_and_order_is_kept(known: list[float], intervals: int) -> None:
    """The low end is not above the least value, the high end not below the largest."""
    axis = scale.around(known, intervals=intervals)
    places = [axis.share(value) for value in sorted(known)]

    assert axis.low <= min(known) + 1e-5 * axis.step
    assert axis.high >= max(known) - 1e-5 * axis.step
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)


@given(values)
def test_there_are_a_handful_of_ticks_from_end_to_end(known: list[float]) -> None:
    """Enough to read, too few to overlap, and each with its own label."""
    axis = scale.around(known, intervals=4)
    assume(axis.step > 1e-3 * max(abs(axis.low), abs(axis.high)))
    labels = [label for _, label in axis.ticks()]

    assert 2 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)


def test_ticks_are_round_and_never_minus_nought() -> None:
    assert [label for _, label in scale.around([-0.3, 0.9], intervals=3).ticks()] == ["-0.5", "0.0", "0.5", "1.0"]


def test_no_value_at_all_still_makes_an_axis() -> None:
    """A report where nothing could be scored has a page too."""
    assert (scale.around([], intervals=4).low, scale.around([], intervals=4).high) == (0.0, 1.0)


@pytest.mark.parametrize(("scores", "low"), [([-20.0, 0.9], -1.0), ([-20.0, -19.0], -20.0), ([0.4, 0.9], 0.4)])
def test_one_bad_score_does_not_press_the_others_into_a_point(scores: list[float], low: float) -> None:
    """Below -1 it is left to the edge, unless all scores are negative."""
    axis = scale.for_scores(scores)

    assert axis.low == pytest.approx(low)
    assert axis.share(-20.0) == 0
