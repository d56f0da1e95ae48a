"""The loop of a site when its disk is full: nothing leaves that is not written down, and figures end no site."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto.codec import pack
from fedgap.flower.contract import STATISTICS, Reply, Request
from fedgap.flower.course import plan_digest
from fedgap.flower.egress import EgressLog
from fedgap.flower.fleet import Announced, Incoming, NotAdmittedError
from fedgap.flower.node import Node
from fedgap.flower.preparation import AskStatistics
from fedgap.storage import StorageError
from tests.flower.sites import village

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


class EndError(Exception):
    """The test has seen enough."""


class OneRequest:
    """A connection over which one request comes, and which is then gone."""

    def __init__(self, request: Request) -> None:
        self.request, self.sent = request, list[Reply]()

    def connect(self, *, earlier: int | None) -> int:
        """Come online."""
        del earlier
        return 1

    def ask(self, *, wait_s: int) -> Announced:
        """There is a message."""
        del wait_s
        return Announced(head=None, tree=None)  # type: ignore[arg-type]  # nobody looks into it

    def fetch(self, announced: Announced) -> Incoming:
        """Give it."""
        del announced
        return Incoming(request=self.request, message=None)  # type: ignore[arg-type]  # same

    def answer(self, incoming: Incoming, reply: Reply, *, seconds: float) -> None:
        """Take the answer and hang up."""
        del incoming, seconds
        self.sent.append(reply)
        raise NotAdmittedError("The test hangs up.")

    def close(self) -> bool:
        """Say goodbye."""
        return True


def run_with_full(folder: Path, name: str) -> tuple[OneRequest, list[str], BaseException]:
    """Run a site one of whose files is on a full disk; give what was sent, what was said, and how it ended."""
    said: list[str] = []

    def say(kind: str, **facts: Any) -> None:  # noqa: ANN401 - plain facts
        del facts
        said.append(kind)

    def end(seconds: float) -> None:
        raise EndError(seconds)

    with ExitStack() as stack:
        made = village(folder, stack)
        site = made.sites[made.orgs[0]]
        body = pack(AskStatistics(plan=plan_digest(made.config.document())))
        link = OneRequest(Request(purpose=STATISTICS, federation=made.config.federation.id, stage_s=5.0, body=body))
        (site.folder.path / name).symlink_to(FULL)
        egress = stack.enter_context(EgressLog(site.folder.egress, to="https://fed.example.org"))
        node = Node(
            resident=site,
            folder=site.folder,
            egress=egress,
            meter=site.meter,
            connect=lambda: link,  # type: ignore[arg-type,return-value]  # the four calls a node makes
            say=say,
            sleep=end,
        )
        with pytest.raises((StorageError, EndError)) as ended:
            node.run()
    return link, said, ended.value


def test_nothing_leaves_when_it_cannot_be_written_down(tmp_path: Path) -> None:
    link, _, ended = run_with_full(tmp_path, "egress.jsonl")

    assert link.sent == []
    assert isinstance(ended, StorageError)


def test_a_figure_that_cannot_be_written_down_is_said_and_the_site_goes_on(tmp_path: Path) -> None:
    link, said, ended = run_with_full(tmp_path, "metering.jsonl")

    assert [reply.status for reply in link.sent] == ["ok"]
    assert "unmetered" in said
    assert isinstance(ended, EndError)


def test_it_is_said_now_and_then_how_far_a_large_message_has_come() -> None:
    said: list[tuple[str, int, int]] = []
    node = Node(
        resident=None,  # type: ignore[arg-type]  # nothing here looks into these
        folder=None,  # type: ignore[arg-type]
        egress=None,  # type: ignore[arg-type]
        meter=None,  # type: ignore[arg-type]
        connect=lambda: None,  # type: ignore[arg-type,return-value]
        say=lambda _, **facts: said.append((facts["way"], facts["bytes"], facts["total"])),
    )
    size = 100 << 20

    for done in range(0, size + 1, 1 << 20):
        node.through("up", done, size)
    node.through("down", 1000, 1000)

    assert said == [("up", 0, size), ("up", size, size)]
