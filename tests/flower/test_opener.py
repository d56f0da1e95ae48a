"""Whom a deployed settlement asks and waits for, and how much of the way it forgets when a part of a period is over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from fedgap.errors import InterruptedRunError
from fedgap.flower import opener
from fedgap.flower.opener import PatientCohort
from fedgap.flower.trail import Trail
from tests.settling.rosters import new_keys
from tests.settling.settled_run import SettledRun

if TYPE_CHECKING:
    from fedgap.flower.cohort import FlowerCohort


@dataclass
class Asked:
    """Remembers whom it was to ask."""

    nodes: Mapping[int, int] = field(default_factory=dict)
    seats: list[list[int]] = field(default_factory=list)

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Nobody answers."""
        self.seats.append(list(requests))
        return iter(())

    def ask(self, purpose: str, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Nobody answers."""
        assert purpose == "claim"
        return self.exchange(requests)


def patient(asked: Asked, *, gone: frozenset[int], looks: int = 3) -> PatientCohort:
    """Seats 0 and 1 are connected; whoever looks more often than this is stopped."""
    left = iter(range(looks))

    def check_stopped() -> None:
        if next(left, None) is None:
            raise InterruptedRunError("It waits for somebody.", remedy="None.")

    return PatientCohort(
        cohort=cast("FlowerCohort", asked),
        connected=lambda: {0: 10, 1: 11},
        patience_s=1e9,
        check_stopped=check_stopped,
        gone=gone,
    )


def test_who_left_is_neither_waited_for_nor_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "LOOK_S", 0.001)
    asked = Asked()
    everybody = dict.fromkeys(range(3), b"request")
    assert list(patient(asked, gone=frozenset({2})).exchange(everybody)) == []
    assert list(patient(asked, gone=frozenset({2})).ask("claim", everybody)) == []
    assert list(patient(asked, gone=frozenset({2})).exchange({2: b"request"})) == []
    assert asked.seats == [[0, 1], [0, 1]]

    with pytest.raises(InterruptedRunError):
        list(patient(asked, gone=frozenset()).exchange(everybody))


def test_the_way_is_kept_from_the_first_round_that_ran_under_a_later_roster(tmp_path: Path) -> None:
    run = SettledRun(n=3, rounds=4).run(until=2)
    new_keys(run, 0)
    run.run()
    trail = Trail(tmp_path / "trail", cast("Any", None), list)
    for outcome in run.outcomes:
        trail.add(outcome)
    rounds = range(1, 5)

    assert trail.last_before(rounds, {run.manifest.digest}) == 2
    assert trail.last_before(rounds, set()) == 4
    assert trail.last_before(rounds, {run.earlier[0].digest}) == 0
    assert trail.last_before(range(3, 7), {run.earlier[0].digest}) == 6
