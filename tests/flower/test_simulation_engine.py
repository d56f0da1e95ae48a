"""Flower's simulation runtime as an engine: the updates of the sequential engine, where Ray is installed."""

import pickle
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedgap.config.task import TabularOptions
from fedgap.errors import MissingExtraError
from fedgap.flower import simulation
from fedgap.flower.simulation import FlowerEngine, RuntimeFailedError
from fedgap.ids import OrgId
from fedgap.learning.engine import Member, round_of
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining
from fedgap.learning.processes import Recipe
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.tabular import TabularTask
from fedgap.learning.threads import use_one_thread
from fedgap.learning.vector import initial, pick_device

TASK = TabularTask(TabularOptions(label="y", model="mlp", hidden=(4,)), "classification")
PLAN = LocalTraining(seed=5, lr=0.1, batch_size=4)


def rows(n: int, seed: int, size: float = 1.0) -> Rows:
    """Random rows of two classes."""
    x = (size * np.random.default_rng(seed).normal(size=(n, 3))).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


COHORT = [Member(org=OrgId(f"org-{number}"), rows=rows(5 + number, number)) for number in range(10)]
START = initial(TASK, COHORT[0].rows, 5)


def answered(member: Member) -> Any:  # noqa: ANN401 - a list of results, or an error
    """What a worker answers to one training, without Ray."""
    (training,) = round_of(START, [member], 1, PLAN)
    recipe = Recipe(TASK, COHORT[0].rows, PLAN, "cpu", channels_last=False)
    asked = ConfigRecord({"number": 7, "recipe": pickle.dumps(recipe), "training": pickle.dumps(training)})
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1  # as Flower's runtime does
    message = Message(RecordDict({"asked": asked}), dst_node_id=1, message_type="train")
    context = Context(run_id=1, node_id=1, node_config={"partition-id": 0}, state=RecordDict(), run_config={})
    answer = simulation.app(message, context).content.config_records["answer"]
    assert answer["number"] == 7
    finished = answer["finished"]
    assert isinstance(finished, bytes)
    return pickle.loads(finished)  # noqa: S301 - made a line above


def test_a_worker_runs_the_training_that_its_message_carries() -> None:
    use_one_thread()
    (expected,) = SequentialEngine(TASK, COHORT[0].rows, PLAN, pick_device("cpu")).train_many(
        round_of(START, COHORT[:1], 1, PLAN)
    )
    (found,) = answered(COHORT[0])

    assert found.trained.vector.tobytes() == expected.trained.vector.tobytes()
    assert isinstance(answered(Member(org=OrgId("none"), rows=rows(0, 1))), EmptyTrainingError)


def test_without_ray_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "find_spec", lambda _: None)

    with pytest.raises(MissingExtraError, match="'ray'"):
        FlowerEngine(TASK, COHORT[0].rows, PLAN)


def test_a_runtime_that_ends_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(**_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(simulation, "find_spec", lambda _: True)
    monkeypatch.setattr("flwr.simulation.run_simulation", ends)
    with pytest.raises(RuntimeFailedError, match="no room"):
        list(FlowerEngine(TASK, COHORT[0].rows, PLAN).run_round(START, COHORT, 1))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fedgap[ray]'")
@pytest.mark.filterwarnings("ignore")
def test_updates_are_those_of_the_sequential_engine_bit_for_bit() -> None:
    use_one_thread()
    reference = SequentialEngine(TASK, COHORT[0].rows, PLAN, pick_device("cpu"))
    engine = FlowerEngine(TASK, COHORT[0].rows, PLAN)
    try:
        for number in (1, 2):
            pairs = zip(
                reference.run_round(START, COHORT, number), engine.run_round(START, COHORT, number), strict=True
            )
            assert all((one.org, one.delta.tobytes()) == (other.org, other.delta.tobytes()) for one, other in pairs)
        with pytest.raises(DivergedError, match="wild"):
            list(engine.run_round(START, [Member(org=OrgId("wild"), rows=rows(30, 1, 1e30))], 3))
    finally:
        simulation.close()
