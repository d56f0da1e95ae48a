"""How long each organisation is waited for: counted while it is asked, kept on disk, generous after a crash."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower.waits import NAME, Waits
from fedgap.ids import OrgId
from fedgap.storage import DamagedFileError, FolderJournal

ASH, ELM = OrgId("ash"), OrgId("elm")


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    s: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.s


class Memory(FolderJournal):
    """A journal without a disk, for laws over many cases."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, name: str, content: bytes) -> None:
        """Keep."""
        self.kept[name] = content

    def get(self, name: str) -> bytes:
        """Give back."""
        return self.kept[name]

    def has(self, name: str) -> bool:
        """Whether it is there."""
        return name in self.kept


def test_a_clock_runs_from_the_request_to_the_answer_and_again_if_more_is_sent() -> None:
    clock = Clock()
    waits = Waits.of(Memory(), clock=clock)
    waits.begin(1, [ASH, ELM], 60.0)
    clock.s = 2.0
    waits.heard(ASH, "flower.behind")
    clock.s = 3.0
    waits.heard(ASH, "asked")
    clock.s = 4.5
    waits.heard(ASH, "ok")
    waits.heard(ASH, "ok")
    clock.s = 9.0
    waits.end()
    waits.heard(ELM, "asked")
    clock.s = 99.0
    waits.heard(ELM, "ok")

    assert (waits.waited_ms(1, ASH), waits.waited_ms(1, ELM), waits.waited_ms(2, ASH)) == (3500, 9000, 0)


@given(
    exchanges=st.lists(
        st.tuples(st.integers(1, 3), st.dictionaries(st.sampled_from([ASH, ELM]), st.floats(0, 60)), st.booleans()),
        max_size=8,
    )
)
def test_after_any_crashes_the_time_is_at_least_what_was_waited_and_at_most_what_might_have_been(
    exchanges: list[tuple[int, dict[OrgId, float], bool]],
) -> None:
    clock, journal = Clock(), Memory()
    waits, least, most = Waits.of(journal, clock=clock), dict[object, float](), dict[object, float]()
    for period, answers, is_killed in exchanges:
        began = clock.s
        waits.begin(period, answers, 60.0)
        for org, after_s in sorted(answers.items(), key=lambda item: item[1]):
            clock.s = began + after_s
            waits.heard(org, "ok")
            key = (period, org)
            least[key] = least.get(key, 0.0) + 1000 * after_s
            most[key] = most.get(key, 0.0) + (60_000 if is_killed else 1000 * after_s + 1)
        if is_killed:
            waits, clock.s = Waits.of(journal, clock=Clock()), 0.0
            waits.clock = clock

    for period in range(1, 4):
        for org in (ASH, ELM):
            key, found = (period, org), waits.waited_ms(period, org)
            assert least.get(key, 0.0) - 0.01 <= found <= most.get(key, 0.0) + 0.01


def test_they_survive_the_end_of_the_process_on_a_real_disk(tmp_path: Path) -> None:
    clock = Clock()
    with FolderJournal(tmp_path) as journal:
        waits = Waits.of(journal, clock=clock)
        waits.begin(1, [ASH], 60.0)
        clock.s = 1.0
        waits.heard(ASH, "ok")
        waits.begin(1, [ASH, ELM], 60.0)
        clock.s = 2.0
        waits.heard(ASH, "ok")
    with FolderJournal(tmp_path) as journal:
        again = Waits.of(journal)

    assert (again.waited_ms(1, ASH), again.waited_ms(1, ELM)) == (61_000, 60_000)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    with FolderJournal(tmp_path) as journal:
        journal.put(NAME, b"\x00")
        with pytest.raises(DamagedFileError):
            Waits.of(journal)
