"""A proxy on the way that allows less silence than a site asks for: it asks for less, and is not slowed down by it."""

from types import SimpleNamespace
from typing import Any

import pytest

from fedgap.flower import node as module
from fedgap.flower.fleet import ForgottenError, NotAdmittedError
from fedgap.flower.meter import Machine, Meter
from fedgap.flower.node import HELD_S, LEAST_HELD_S, Node
from fedgap.flower.outbound import LinkLostError


class Impatient:
    """A connection on which a question may be held for so long, and which ends after so many questions.

    Attributes:
        most_s: longer ones are cut off.
        asked: for how long each question was to be held.
    """

    def __init__(self, most_s: int, questions: int) -> None:
        self.most_s, self.questions, self.asked = most_s, questions, list[int]()

    def ask(self, *, wait_s: int) -> None:
        """There is never a message."""
        if len(self.asked) == self.questions:
            raise NotAdmittedError("The test hangs up.")
        self.asked.append(wait_s)
        if wait_s > self.most_s:
            raise LinkLostError("Cut off.")


def asked(most_s: int, questions: int) -> tuple[list[int], list[str]]:
    """Give for how long a site's questions were to be held, and what it said."""
    said: list[str] = []
    anything: Any = SimpleNamespace(
        is_member=True, member=None, is_over=True, look_for_manifest=lambda: None, note_status=lambda **_: None
    )
    node = Node(
        resident=anything,
        folder=anything,
        egress=anything,
        meter=Meter(Machine()),
        connect=lambda: anything,
        say=lambda kind, **_: said.append(kind),
        sleep=lambda _: None,
    )
    link: Any = Impatient(most_s, questions)
    with pytest.raises(ForgottenError):
        node._serve(link)
    return link.asked, said


def test_a_question_that_is_cut_off_while_it_is_held_is_asked_for_a_shorter_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAS_HELD_S", 0.0)

    assert asked(8, 6) == ([20, 10, 5, 5, 5, 5], ["waiting"] * 2)
    assert asked(0, 6) == ([20, 10, 5, LEAST_HELD_S, LEAST_HELD_S, LEAST_HELD_S], ["waiting"] * 6)
    assert asked(60, 3) == ([HELD_S] * 3, [])


def test_a_server_that_is_away_at_once_says_nothing_about_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAS_HELD_S", 3600.0)

    assert asked(0, 3) == ([HELD_S] * 3, ["waiting"] * 3)
