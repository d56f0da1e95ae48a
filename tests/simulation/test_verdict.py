"""The verdict follows the printed rule, for whatever numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.simulation.verdict import FEWEST_ROWS, RULE, Gain, Interval, decide

UNKNOWN = Gain(mean=None, interval=None)
NARROW = Gain(mean=0.0, interval=(-0.05, 0.05))
WIDE = Gain(mean=0.0, interval=(-0.3, 0.3))
UP = Gain(mean=0.05, interval=(0.02, 0.08))
DOWN = Gain(mean=-0.05, interval=(-0.08, -0.02))
BARELY = Gain(mean=0.005, interval=(0.001, 0.009))
UNCLEAR_LOSS = Gain(mean=-0.01, interval=(-0.2, 0.1))


@pytest.mark.parametrize(
    ("own", "common", "rows", "verdict", "words"),
    [
        (UP, WIDE, 20, "join", "on its own test rows joining gains +5.0 points, 95 % interval +2.0 to +8.0"),
        (UP, DOWN, 20, "join", "own test rows"),
        (DOWN, UP, 20, "stay-out", "on its own test rows joining costs -5.0 points"),
        (DOWN, UP, FEWEST_ROWS, "stay-out", "costs"),
        (WIDE, UP, 20, "join", "on all organisations' test rows joining gains +5.0 points"),
        (UNKNOWN, UP, 0, "join", "on all organisations' test rows"),
        (NARROW, UP, 20, "join", "on all organisations' test rows"),
        (UNCLEAR_LOSS, UP, 20, "neutral", "its own test rows show no gain"),
        (NARROW, BARELY, 20, "neutral", "on its own test rows joining makes no clear difference"),
        (NARROW, WIDE, 20, "neutral", "on its own test rows"),
        (WIDE, NARROW, 20, "neutral", "its own test rows show no gain"),
        (WIDE, WIDE, 20, "too-little-data", "its 20 different test rows cannot tell"),
        (NARROW, NARROW, FEWEST_ROWS - 1, "too-little-data", "its 4 different test rows"),
        (DOWN, DOWN, FEWEST_ROWS - 1, "too-little-data", "its 4 different test rows"),
        (UNKNOWN, NARROW, 0, "too-little-data", "it has no test rows of its own"),
        (UNKNOWN, UNKNOWN, 0, "too-little-data", "it has no test rows of its own"),
    ],
)
def test_each_branch_of_the_rule(own: Gain, common: Gain, rows: int, verdict: str, words: str) -> None:
    found, why = decide(own, common, rows)

    assert found == verdict
    assert words in why


def interval(pair: tuple[float, float]) -> Interval:
    """Low before high."""
    return min(pair), max(pair)


number = st.floats(-2, 2)
gains = st.builds(
    lambda mean, ends: Gain(mean=mean, interval=ends),
    st.none() | number,
    st.none() | st.tuples(number, number).map(interval),
)


@given(own=gains, common=gains, rows=st.integers(0, 1000))
def test_there_is_always_a_verdict_and_a_reason(own: Gain, common: Gain, rows: int) -> None:
    verdict, why = decide(own, common, rows)

    assert verdict in {"join", "neutral", "stay-out", "too-little-data"}
    assert why
    assert verdict in RULE
    if verdict == "stay-out":
        assert own.interval is not None
        assert own.interval[1] < 0
        assert rows >= FEWEST_ROWS
    if verdict == "join":
        assert max(end[0] for end in (own.interval, common.interval) if end is not None) > 0
