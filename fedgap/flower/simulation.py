"""Flower's own simulation runtime (Ray) as an engine: for more than one machine, and never unless it is asked for.

On one machine it is the slowest of the engines by two orders of magnitude (docs/performance.md). What it is for: Ray
spreads trainings over a cluster. A training and its result travel as one record each; every worker process has a
sequential engine, so the updates are a deployment's, bit for bit where all machines have the same processors.
"""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from queue import Queue
from threading import Thread

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedgap.errors import FedgapError, MissingExtraError, UsageError
from fedgap.learning.engine import Engine, Finished, Member, Training, Update, round_of, update_of
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.processes import Recipe
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task
from fedgap.learning.threads import use_one_thread

NODES = 8
"""Virtual nodes that trainings are dealt to; Ray decides how many of them run at a time."""


class RuntimeFailedError(FedgapError):
    """Flower's simulation runtime ended before the trainings were done."""

    code = "flower.simulation-failed"
    remedy = "Use another engine, or look at what Ray says: ray status."


app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Run the training that a message carries, in a worker process of Ray."""
    if "partition-id" not in context.node_config:  # Flower's simulation names one; a message is trusted there only
        raise UsageError("Only Flower's simulation runtime may run this app.", remedy="Use `fedgap client run`.")
    asked = message.content.config_records["asked"]
    engine = _engine(_bytes(asked["recipe"]))
    training = pickle.loads(_bytes(asked["training"]))  # noqa: S301 - made by this simulation
    try:
        found: list[Finished] | FedgapError = engine.train_many([training])
    except FedgapError as error:
        found = error
    answer = ConfigRecord({"number": asked["number"], "finished": pickle.dumps(found)})
    return Message(RecordDict({"answer": answer}), reply_to=message)


@lru_cache(maxsize=4)
def _engine(recipe: bytes) -> Engine:
    made: Recipe = pickle.loads(recipe)  # noqa: S301 - made by this simulation
    use_one_thread()
    return made.engine()


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a record of this engine holds bytes")
    return value


class FlowerEngine:
    """Runs trainings in Flower's simulation runtime, which is started with the first of them.

    Args:
        task: model and loss; its module must be importable on every machine.
        like: what rows look like.
        plan: how a round trains.
        device: cpu, or where each worker computes.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    name = "flower"

    def __init__(self, task: Task, like: Rows, plan: LocalTraining, device: str = "cpu") -> None:
        if not _GRIDS and find_spec("ray") is None:
            raise MissingExtraError(extra="ray", needed_for="--engine flower")
        self.plan = plan
        where = "cpu" if device == "auto" else device
        recipe = Recipe(task, like.take(np.arange(min(1, len(like)))), plan, where, channels_last=False)
        self._recipe = pickle.dumps(recipe)
        self._here = recipe.engine()

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run independent trainings; the results stand in the order of the list.

        Raises:
            EmptyTrainingError: one has no rows.
            RuntimeFailedError: the runtime ended.
        """
        if not trainings:
            return []
        asked = [{"recipe": self._recipe, "training": pickle.dumps(training)} for training in trainings]
        found = []
        for answer in _GRIDS[-1].ask(asked) if _GRIDS else _runtime().ask(asked):
            finished: list[Finished] | FedgapError = pickle.loads(answer)  # noqa: S301 - made by this simulation
            if isinstance(finished, FedgapError):
                raise finished
            found += finished
        return found

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start` by `plan`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
            RuntimeFailedError: the runtime ended.
        """
        trainings = round_of(start, cohort, round_number, self.plan)
        yield from map(update_of, trainings, self.train_many(trainings))

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        return self._here.outputs(vector, rows)


class GridRuntime:
    """A runtime that somebody else has started, for instance `flwr run`: trainings are dealt to the nodes of its grid.

    Args:
        grid: at least one node must be there, or come.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def ask(self, requests: list[dict[str, bytes]]) -> list[bytes]:
        """Send requests and wait for all answers, in order.

        Raises:
            RuntimeFailedError: a node did not do it.
        """
        nodes: list[int] = []
        while not nodes:
            nodes = sorted(self._grid.get_node_ids())
        try:
            return _deal(self._grid, nodes, requests)
        except (RuntimeError, KeyError) as error:
            raise RuntimeFailedError(f"A node of the runtime failed: {error}.") from error


_GRIDS: list[GridRuntime] = []


@contextmanager
def dealing_to(grid: Grid) -> Iterator[None]:
    """Let every `FlowerEngine` deal its trainings to this grid, while the block lasts."""
    _GRIDS.append(GridRuntime(grid))
    try:
        yield
    finally:
        _GRIDS.pop()


def _deal(grid: Grid, nodes: Sequence[int], requests: Sequence[Mapping[str, bytes]]) -> list[bytes]:
    """Send each request to a node in turn and wait for all answers, in order."""
    messages = [
        Message(
            RecordDict({"asked": ConfigRecord({"number": number, **request})}),
            dst_node_id=nodes[number % len(nodes)],
            message_type="train",
        )
        for number, request in enumerate(requests)
    ]
    answers: dict[int, bytes] = {}
    for reply in grid.send_and_receive(messages):
        if reply.has_error():
            raise RuntimeError(reply.error.reason)
        answer = reply.content.config_records["answer"]
        answers[int(str(answer["number"]))] = _bytes(answer["finished"])
    return [answers[number] for number in range(len(requests))]


def close() -> None:
    """End the runtime, if it runs; the next training starts it again."""
    if _runtime.cache_info().currsize:
        _runtime().close()
        _runtime.cache_clear()


@lru_cache(maxsize=1)
def _runtime() -> "_Runtime":
    """One for all engines of this process: Ray can be started once."""
    return _Runtime()


class _Runtime:
    """Flower's runtime in a thread: requests in, answers out, until it is closed."""

    def __init__(self) -> None:
        self.asked: Queue[list[dict[str, bytes]] | None] = Queue()
        self.answered: Queue[list[bytes] | Exception] = Queue()
        self.thread = Thread(target=self._run, daemon=True)
        self.thread.start()

    def ask(self, requests: list[dict[str, bytes]]) -> list[bytes]:
        """Send requests and wait for all answers, in order.

        Raises:
            RuntimeFailedError: the runtime ended.
        """
        self.asked.put(requests)
        found = self.answered.get()
        if isinstance(found, Exception):
            _runtime.cache_clear()
            raise RuntimeFailedError(f"Flower's simulation runtime ended: {type(found).__name__}: {found}.") from found
        return found

    def close(self) -> None:
        """End the runtime and wait for it."""
        self.asked.put(None)
        self.thread.join(timeout=60)

    def _run(self) -> None:
        from flwr.simulation import run_simulation  # noqa: PLC0415 - loads Ray

        server = ServerApp()

        @server.main()
        def serve(grid: Grid, context: Context) -> None:
            del context
            self._serve(grid)

        try:
            run_simulation(
                server_app=server,
                client_app=app,
                num_supernodes=NODES,
                backend_config={
                    "init_args": {"include_dashboard": False, "log_to_driver": False},
                    "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                },
            )
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits for the answer
            self.answered.put(error)

    def _serve(self, grid: Grid) -> None:
        nodes: list[int] = []
        while len(nodes) < NODES:
            nodes = sorted(grid.get_node_ids())
        while (requests := self.asked.get()) is not None:
            self.answered.put(_deal(grid, nodes[:NODES], requests))
