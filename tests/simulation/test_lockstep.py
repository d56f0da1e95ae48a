"""Courses side by side get what each asked for, and no other's; what is asked for together is asked for at once."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import OrgId
from fedgap.learning.closed_form import ClosedFormEngine
from fedgap.learning.engine import Finished, Training
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.plan import DivergedError, LocalTraining
from fedgap.simulation.lockstep import Course, answered_by, side_by_side
from tests.simulation.test_tuning import rows

STACK = LinearStack(widths=(3, 2))
PLAN = LocalTraining(seed=1, lr=0.1)
DATA = rows(4)


class Counting(ClosedFormEngine):
    """Remembers how many trainings each call asked for."""

    def __init__(self) -> None:
        super().__init__(STACK, DATA, PLAN)
        self.calls: list[int] = []

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Count, and train."""
        self.calls.append(len(trainings))
        return super().train_many(trainings)


def training(name: str) -> Training:
    """One whose result depends on its name."""
    return Training(start=STACK.initial(0), rows=DATA, plan=PLAN, org=OrgId(name), round_number=1)


def course(name: str, turns: Sequence[int]) -> Course[list[bytes]]:
    """Asks for some trainings turn by turn; returns what they gave."""
    found: list[bytes] = []
    for turn, count in enumerate(turns):
        given = yield [training(f"{name}-{turn}-{number}") for number in range(count)]
        found += [finished.trained.vector.tobytes() for finished in given]
    return found


many = st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=4)


@given(many, st.booleans())
def test_each_course_gets_what_it_would_get_alone(turns: list[list[int]], together: bool) -> None:  # noqa: FBT001 - drawn
    alone = [answered_by(Counting(), course(str(name), of)) for name, of in enumerate(turns)]
    courses = [course(str(name), of) for name, of in enumerate(turns)]

    assert alone == answered_by(Counting(), side_by_side(courses, together=together))


@given(many)
def test_what_is_asked_for_at_the_same_time_is_asked_for_at_once(turns: list[list[int]]) -> None:
    engine = Counting()
    answered_by(engine, side_by_side([course(str(name), of) for name, of in enumerate(turns)], together=True))

    longest = max(map(len, turns), default=0)
    assert [sum(of[turn] for of in turns if turn < len(of)) for turn in range(longest)] == engine.calls


def test_an_error_of_one_course_ends_all() -> None:
    def failing() -> Course[list[bytes]]:
        yield [training("x")]
        raise DivergedError("It ran away.")

    with pytest.raises(DivergedError):
        answered_by(Counting(), side_by_side([course("a", [1, 1]), failing()], together=True))
