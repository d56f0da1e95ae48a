"""What a member says about its rows before the first round is used or is none; nothing of it ends the server."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto.codec import pack, unpack
from fedgap.flower import course, plainvalues
from fedgap.flower.board import Board
from fedgap.flower.book import Book
from fedgap.flower.contract import STATISTICS
from fedgap.flower.gathering import Gathering
from fedgap.flower.plainvalues import StatisticsError
from fedgap.flower.preparation import (
    MOST_CLASSES,
    AskStatistics,
    Shape,
    Statistics,
    check_statistics,
    merged,
    merged_shape,
)
from fedgap.flower.roster import Roster
from fedgap.ids import OrgId
from fedgap.learning.task import DataError, Task
from fedgap.simulation.sites import open_task
from tests.flower.sites import village
from tests.simulation.tiny import config

ASH, BIRCH = OrgId("ash"), OrgId("birch")
FINE = Shape(inputs=(3,), classes=True, largest=1)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Task, dict[OrgId, bytes]]]:
    """The task, and what three honest members tell."""
    with ExitStack() as stack:
        made = village(tmp_path_factory.mktemp("village"), stack)
        ask = pack(AskStatistics(plan=course.plan_digest(made.config.document())))
        yield open_task(made.config), {org: made.ask(org, STATISTICS, ask).body for org in made.orgs}


def forged(answer: bytes, **changed: object) -> bytes:
    """An honest answer with other statistics in it."""
    found = unpack(Statistics, answer)
    content: Any = plainvalues.read(found.content)
    return pack(Statistics(rows=found.rows, content=plainvalues.write(replace(content, **changed))))


@pytest.mark.parametrize("content", [5, None, "statistics", [1.0, 2.0], {"numeric": 1}])
def test_statistics_of_another_kind_are_none(told: tuple[Task, dict[OrgId, bytes]], content: object) -> None:
    task, parts = told
    wrong = pack(Statistics(rows=7, content=plainvalues.write(content)))

    for answer in parts.values():
        check_statistics(task, answer)
    with pytest.raises(StatisticsError):
        check_statistics(task, wrong)
    with pytest.raises(StatisticsError):
        merged(task, parts | {BIRCH: wrong})


def test_statistics_that_break_the_merging_are_none_and_other_columns_are_said_to_be_others(
    told: tuple[Task, dict[OrgId, bytes]],
) -> None:
    task, parts = told
    with pytest.raises(StatisticsError):
        check_statistics(task, forged(parts[ASH], numeric=5))
    other = forged(parts[ASH], columns=("x", "y", "z"))
    check_statistics(task, other)
    with pytest.raises(DataError):
        merged(task, parts | {ASH: other})


@pytest.mark.parametrize(
    "shape",
    [
        replace(FINE, largest=MOST_CLASSES),
        replace(FINE, largest=2**60),
        replace(FINE, largest=-2),
        replace(FINE, inputs=(2**20, 2**20)),
    ],
)
def test_a_shape_that_would_take_all_memory_is_none(shape: Shape) -> None:
    assert merged_shape({ASH: pack(FINE)}) == FINE
    with pytest.raises(StatisticsError):
        merged_shape({ASH: pack(FINE), BIRCH: pack(shape)})


@dataclass
class Answers:
    """A cohort that has answered (see `fedgap.flower.cohort.FlowerCohort`)."""

    answers: list[bytes]
    heard: object = None

    def ask(self, purpose: str, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Give the answers, seat by seat."""
        assert purpose == STATISTICS
        return zip(requests, self.answers, strict=True)


def test_whoever_tells_statistics_that_are_none_is_named_and_asked_again(
    told: tuple[Task, dict[OrgId, bytes]], tmp_path: Path
) -> None:
    """A server that ended over it would end at each start, and nobody would know because of whom."""
    task, parts = told
    wrong = pack(Statistics(rows=7, content=plainvalues.write(5)))
    answers = [wrong if org == BIRCH else parts[org] for org in parts]
    book, board = Book(tmp_path / "book"), Board(tmp_path / "status.json", lambda _: None)
    gathering = Gathering(
        config=lambda: config(tmp_path),
        task=task,
        policy=None,
        book=book,
        roster=Roster(book, bytes(32)),
        board=board,
        nodes=lambda: {org: number for number, org in enumerate(parts)},
        cohort=lambda _: Answers(answers),  # type: ignore[arg-type,return-value]  # the one call that is made
        stopped=lambda: False,
        wait_s=600,
    )

    assert gathering._ask(STATISTICS, list(parts), b"") == {org: parts[org] for org in parts if org != BIRCH}
    assert board.heard[BIRCH][0] == "flower.bad-statistics"
