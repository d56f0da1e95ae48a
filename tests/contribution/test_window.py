"""Which rounds count: causal, never reopened, the whole run known at a single settlement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.contribution.window import last_round, time_to_gain

RISING = [0.0, 0.5, 0.9, 0.995, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
utilities = st.lists(st.floats(-1, 1), min_size=13, max_size=13)


def test_t99_is_the_first_round_with_99_per_cent_of_the_best_gain() -> None:
    assert time_to_gain(RISING) == 3
    assert time_to_gain([0.0, 1.0, 0.2]) == 1


@pytest.mark.parametrize("never", [[0.5], [0.5, 0.4, 0.3], [0.0, 0.0]])
def test_a_run_that_never_gained_keeps_its_window_open(never: list[float]) -> None:
    assert time_to_gain(never) is None
    assert last_round(never, [len(never) - 1]) == len(never) - 1


def test_one_settlement_ends_the_window_with_round_two_t99() -> None:
    assert last_round(RISING, [10]) == 6
    assert last_round(RISING[:6], [5]) == 5


def test_several_settlements_close_it_at_the_first_boundary_past_that() -> None:
    assert last_round(RISING, [2, 4, 6, 8, 10]) == 6
    assert last_round(RISING, [5, 10]) == 10
    assert last_round(RISING[:3], [2]) == 2


@given(utilities)
def test_later_rounds_never_change_what_a_boundary_decided(found: list[float]) -> None:
    boundaries = [3, 6, 9, 12]
    closed = [last_round(found, boundaries[:count]) for count in (2, 3, 4)]
    for earlier, later, boundary in zip(closed, closed[1:], boundaries[1:], strict=False):
        assert earlier in (later, boundary)
