"""Processes change the time and nothing else, and a killed one is a typed error."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fedgap.config.task import TabularOptions
from fedgap.ids import OrgId
from fedgap.learning import processes
from fedgap.learning.engine import Member, Training, Update
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining
from fedgap.learning.processes import ProcessesEngine, TrainerDiedError
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.tabular import TabularTask
from fedgap.learning.vector import initial

CPU = torch.device("cpu")
TASK = TabularTask(TabularOptions(label="y", model="mlp", hidden=(4,), dropout=0.2), "classification")
PLAN = LocalTraining(seed=5, lr=0.1, epochs=2, batch_size=4)


def rows(n: int, seed: int, size: float = 1.0) -> Rows:
    """Random rows of two classes."""
    x = (size * np.random.default_rng(seed).normal(size=(n, 3))).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


COHORT = [Member(org=OrgId(f"org-{number:02d}"), rows=rows(5 + number, number)) for number in range(7)]
START = initial(TASK, COHORT[0].rows, 5)


@pytest.fixture(scope="module")
def engine() -> Iterator[ProcessesEngine]:
    """Two processes, shared by the tests of this file."""
    with ProcessesEngine(TASK, COHORT[0].rows, PLAN, CPU, workers=2) as made:
        yield made


def bits(updates: list[Update]) -> list[tuple[str, bytes, float, int]]:
    """What must be equal."""
    return [(update.org, update.delta.tobytes(), update.loss, update.steps) for update in updates]


def test_updates_are_those_of_the_sequential_engine_bit_for_bit(engine: ProcessesEngine) -> None:
    """In name order, round after round, also when rows are known already or blocks are many."""
    torch.set_num_threads(1)
    reference = SequentialEngine(TASK, COHORT[0].rows, PLAN, CPU)
    for number, cohort in enumerate((COHORT, COHORT[::-1], COHORT[:1]), 1):
        expected = bits(list(reference.run_round(START, cohort, number)))
        assert bits(list(engine.run_round(START, cohort, number))) == expected


def test_rows_travel_once(engine: ProcessesEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again after they were forgotten because there are too many."""
    before = bits(list(engine.run_round(START, COHORT, 4)))
    held = [len(worker.held) for worker in engine._workers]
    assert bits(list(engine.run_round(START, COHORT, 4))) == before
    assert sum(held) <= 2 * len(COHORT)

    monkeypatch.setattr(processes, "KEPT_ROWS_BYTES", 0)
    assert bits(list(engine.run_round(START, COHORT, 4))) == before


def test_watched_rows_are_answered(engine: ProcessesEngine) -> None:
    training = Training(
        start=START, rows=COHORT[3].rows, plan=PLAN, org=OrgId("x"), round_number=0, watched=rows(4, 9), judged=(1, 2)
    )
    (expected,) = SequentialEngine(TASK, COHORT[0].rows, PLAN, CPU).train_many([training])
    (found,) = engine.train_many([training])

    np.testing.assert_array_equal(expected.answers, found.answers)
    assert engine.train_many([]) == []


def test_errors_keep_their_type_and_leave_the_engine_usable(engine: ProcessesEngine) -> None:
    before = bits(list(engine.run_round(START, COHORT, 1)))
    empty = Member(org=OrgId("none"), rows=rows(0, 1))
    wild = Member(org=OrgId("wild"), rows=rows(30, 1, 1e30))
    with pytest.raises(EmptyTrainingError, match="none"):
        list(engine.run_round(START, [*COHORT, empty], 1))
    with pytest.raises(DivergedError, match="wild"):
        list(engine.run_round(START, [*COHORT, wild], 1))

    assert bits(list(engine.run_round(START, COHORT, 1))) == before


def test_somebody_who_stops_listening_leaves_no_stale_answer(engine: ProcessesEngine) -> None:
    expected = bits(list(engine.run_round(START, COHORT, 2)))
    stopped = engine.run_round(START, COHORT, 3)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]

    assert bits(list(engine.run_round(START, COHORT, 2))) == expected


def test_a_killed_process_is_a_typed_error_and_the_next_round_starts_new_ones(engine: ProcessesEngine) -> None:
    expected = bits(list(engine.run_round(START, COHORT, 1)))
    victim = engine._workers[0].process.pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(TrainerDiedError, match="status -9"):
        list(engine.run_round(START, COHORT, 1))

    assert engine._workers == []
    assert bits(list(engine.run_round(START, COHORT, 1))) == expected
