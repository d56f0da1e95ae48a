"""A server that is started again: what was begun under a version of the manifest is finished under it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from fedgap.errors import InterruptedRunError
from fedgap.flower.board import Board
from fedgap.flower.gathering import Gathering
from fedgap.flower.roster import SHAPE, SHARED, Roster
from fedgap.learning.task import Task
from fedgap.secagg.wire import pack
from fedgap.simulation.sites import open_task
from tests.flower.test_roster import NAMES, SERVER, book, founding, members, sign

if TYPE_CHECKING:
    from fedgap.flower.book import Book
    from fedgap.flower.charter import Founding

__all__ = ["book", "founding"]


def test_a_version_that_was_signed_meanwhile_comes_into_force_between_rounds_and_not_at_the_start(
    tmp_path: Path,
    book: "Book",
    founding: "Founding",
) -> None:
    """A settlement may have been begun, and what is signed in it counts with the keys that were in force."""
    roster, config = Roster(book, SERVER.public), founding.config
    book.keep(SHARED, founding.shared)
    book.keep(SHAPE, pack(founding.shape))
    task: Task = open_task(config)
    server = Gathering(
        config=lambda: config,
        task=task,
        policy=None,
        book=book,
        roster=roster,
        board=Board(tmp_path / "status.json", lambda _: None),
        nodes=dict,
        cohort=cast("Any", None),
        stopped=lambda: True,
        wait_s=1.0,
    )
    with pytest.raises(InterruptedRunError):
        server.found()
    sign(roster, *NAMES)
    first = server.found()[1]
    assert [member.id for member in first.manifest.members] == NAMES

    roster.update(founding, config, members(book, *NAMES[:3]))
    sign(roster, *NAMES[:3])
    book.revoke(members(book, "doum")[0].org)
    assert server.found()[1] == first
    second = server.amend(founding)
    assert second is not None
    assert [member.id for member in second.manifest.members] == NAMES[:3]
    assert server.found()[1] == second
