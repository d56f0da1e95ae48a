"""Work that asks for trainings, several such works side by side, and an engine that answers them all at once.

A course is a generator: it yields the trainings it needs next, is sent what they gave, and returns its result. Written
one after the other, folds, learning rates, organisations and splits can so be trained together.
"""

from collections.abc import Generator, Sequence
from typing import TypeAlias, TypeVar

from fedgap.learning.engine import Engine, Finished, Training

T = TypeVar("T")
Course: TypeAlias = Generator[Sequence[Training], list[Finished], T]


def side_by_side(courses: Sequence[Course[T]], *, together: bool) -> Course[list[T]]:
    """Run courses so that what they ask for at the same time is asked for together.

    Args:
        courses: independent of one another.
        together: False runs one after the other to its end, which needs less memory.

    Returns:
        their results, in the order of the list.
    """
    if not together:
        results = []
        for course in courses:
            results.append((yield from course))  # noqa: PERF401 - a comprehension cannot yield
        return results
    found: dict[int, T] = {}
    asked: dict[int, Sequence[Training]] = {}
    for number, course in enumerate(courses):
        _advance(number, course, None, asked, found)
    while asked:
        finished = yield [training for wanted in asked.values() for training in wanted]
        waiting, first = asked, 0
        asked = {}
        for number, wanted in waiting.items():
            given = finished[first : first + len(wanted)]
            first += len(wanted)
            _advance(number, courses[number], given, asked, found)
    return [found[number] for number in range(len(courses))]


def _advance(
    number: int,
    course: Course[T],
    given: list[Finished] | None,
    asked: dict[int, Sequence[Training]],
    found: dict[int, T],
) -> None:
    """Let a course go on to its next question, or to its end."""
    try:
        asked[number] = next(course) if given is None else course.send(given)
    except StopIteration as end:
        found[number] = end.value


def answered_by(engine: Engine, course: Course[T]) -> T:
    """Run a course to its end with this engine."""
    try:
        wanted = next(course)
        while True:
            wanted = course.send(engine.train_many(wanted))
    except StopIteration as end:
        result: T = end.value
        return result
