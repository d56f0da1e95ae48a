"""The sequential engine runs exactly the local training that a deployed organisation runs."""

import numpy as np
import torch

from fedgap.config.task import TabularOptions
from fedgap.ids import OrgId
from fedgap.learning.engine import Member
from fedgap.learning.local import train
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.tabular import TabularTask
from fedgap.learning.vector import build, initial

CPU = torch.device("cpu")
TASK = TabularTask(TabularOptions(label="y"), "classification")
PLAN = LocalTraining(seed=5, lr=0.1, epochs=2, batch_size=4)


def rows(n: int, seed: int) -> Rows:
    """Random rows of two classes."""
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


COHORT = [Member(org=OrgId(name), rows=rows(5 + number, number)) for number, name in enumerate("cab")]
START = initial(TASK, COHORT[0].rows, 5)


def engine() -> SequentialEngine:
    """A fresh one."""
    return SequentialEngine(TASK, COHORT[0].rows, PLAN, CPU)


def test_updates_come_in_name_order_whatever_the_cohort_s() -> None:
    one = list(engine().run_round(START, COHORT, 1))
    other = list(engine().run_round(START, COHORT[::-1], 1))

    assert [update.org for update in one] == ["a", "b", "c"]
    assert [update.delta.tobytes() for update in one] == [update.delta.tobytes() for update in other]


def test_an_update_is_local_training_minus_the_start() -> None:
    """The same bits as an organisation that computes alone, with a model of its own."""
    for update in engine().run_round(START, COHORT, 3):
        mine = next(member.rows for member in COHORT if member.org == update.org)
        trained = train(build(TASK, mine, CPU), START, mine, PLAN, update.org, 3)

        assert update.delta.dtype == np.float64
        np.testing.assert_array_equal(update.delta, trained.vector.astype(np.float64) - START)
        assert (update.steps, update.loss) == (trained.steps, trained.loss)
        assert update.delta.any()


def test_an_organisation_does_not_feel_who_else_is_there() -> None:
    (alone,) = engine().run_round(START, COHORT[:1], 1)
    (together,) = (update for update in engine().run_round(START, COHORT, 1) if update.org == alone.org)

    assert alone.delta.tobytes() == together.delta.tobytes()


def test_rounds_and_a_used_model_leave_no_trace() -> None:
    """The workspace is reused; what it held before does not matter."""
    used = engine()
    first = [update.delta.tobytes() for update in used.run_round(START, COHORT, 1)]
    other = [update.delta.tobytes() for update in used.run_round(START, COHORT, 2)]

    assert first == [update.delta.tobytes() for update in used.run_round(START, COHORT, 1)]
    assert first != other


def test_time_is_metered() -> None:
    for update in engine().run_round(START, COHORT, 1):
        assert update.cpu_seconds >= 0
        assert update.wall_seconds > 0


def test_outputs_are_the_model_s() -> None:
    expected = build(TASK, COHORT[0].rows, CPU).outputs(START, COHORT[1].rows)

    np.testing.assert_array_equal(expected, engine().outputs(START, COHORT[1].rows))
