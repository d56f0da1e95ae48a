"""`flwr run`: the model of `fedgap simulate`, trained by the nodes of a grid of Flower's (here in one process)."""

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedgap.config import load_federation
from fedgap.errors import UsageError
from fedgap.flower import server_app, simulation
from fedgap.flower.simulation import RuntimeFailedError
from fedgap.learning.engines import OFFERED
from fedgap.simulation import study
from tests.simulation.tiny import write


class LocalGrid:
    """A grid whose nodes are here: each message is copied, as it would be on its way."""

    def __init__(self, nodes: int, *, is_simulation: bool = True) -> None:
        config: dict[str, Any] = {"partition-id": 0} if is_simulation else {}
        self.contexts = {
            1000 + k: Context(run_id=1, node_id=1000 + k, node_config=config, state=RecordDict(), run_config={})
            for k in range(nodes)
        }
        self.used: set[int] = set()

    def get_node_ids(self) -> list[int]:
        """Everybody."""
        return list(self.contexts)

    def send_and_receive(self, messages: Iterable[Message]) -> list[Message]:
        """Let each node answer."""
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        self.used.add(node)
        sent = Message(copy.deepcopy(message.content), dst_node_id=node, message_type=message.metadata.message_type)
        try:
            return simulation.app(sent, self.contexts[node])
        except Exception as error:  # noqa: BLE001 - as Flower's runtime does
            return Message(Error(1, repr(error)), reply_to=sent)


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1  # as Flower's runtime does
    monkeypatch.delitem(OFFERED, "flower", raising=False)


def run(grid: LocalGrid, **config: Any) -> None:  # noqa: ANN401 - what a user writes
    """As Flower calls the app."""
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)
    server_app.app(grid, context)  # type: ignore[arg-type]  # it has what is used of a grid


def test_the_model_is_that_of_the_simulation_and_every_node_trains(tmp_path: Path) -> None:
    path = write(tmp_path, training={"rounds": 2}, baselines={"splits": 1})
    config = load_federation(path)
    expected = study.simulate(config, workers=1, engine="sequential", protocol=None, progress=lambda _: None)
    grid = LocalGrid(2)
    run(grid, federation=str(path), out=str(tmp_path / "out"))

    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["model_sha256"] == expected.report["model_sha256"]
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > expected.model.nbytes
    assert grid.used == set(grid.contexts)


def test_a_node_that_is_not_of_the_simulation_runtime_refuses(tmp_path: Path) -> None:
    path = write(tmp_path, training={"rounds": 1}, baselines={"splits": 1})
    with pytest.raises(RuntimeFailedError, match="simulation runtime"):
        run(LocalGrid(1, is_simulation=False), federation=str(path), out=str(tmp_path / "out"))


@pytest.mark.parametrize("config", [{}, {"federation": "x.toml"}, {"federation": 3, "out": "out"}])
def test_a_run_that_names_no_federation_is_told_what_to_add(config: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="which federation"):
        run(LocalGrid(1), **config)
