"""The processes engine: sequential training in one process a core, for models that are too large to gain by stacking.

Every worker process has a sequential engine of its own. Rows travel once, the first time their organisation trains;
each round sends the start and brings back trained parameters. What comes out is what the sequential engine gives, bit
for bit, because each process computes in one thread.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Self, cast

import numpy as np
import torch

from fedgap.errors import FedgapError
from fedgap.learning.engine import Finished, Member, Training, Update, round_of, update_of
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.task import Task

BLOCK = 16
"""Trainings a worker is asked for at a time: enough to be busy, few enough that results do not pile up."""

KEPT_ROWS_BYTES = 2**29
"""Rows that a worker keeps for the next round; beyond this it forgets them all and is sent what it needs."""

NO_ROWS = Rows(np.zeros((0, 0), np.float32), np.zeros(0, np.float32))


class TrainerDiedError(FedgapError):
    """A process that trained organisations ended before its work was done; nothing of it was used."""

    code = "learning.worker-died"
    remedy = "If memory ran out, use --engine sequential, or fewer processes; then run the command again."


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A training on its way to a worker; rows the worker has already are left out, and named by `number`."""

    training: Training
    number: int
    watched: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What a worker process makes its engine of; picklable if its task is."""

    task: Task
    like: Rows
    plan: LocalTraining
    device: str
    channels_last: bool

    def engine(self) -> SequentialEngine:
        """Make it."""
        where = torch.device(self.device)
        return SequentialEngine(self.task, self.like, self.plan, where, channels_last=self.channels_last)


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, process: ForkServerProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.known: dict[int, int] = {}
        self.held: list[Rows] = []

    def ask(self, trainings: Sequence[Training]) -> None:
        """Send trainings, with the rows that the worker does not have yet."""
        if forget := sum(rows.x.nbytes for rows in self.held) > KEPT_ROWS_BYTES:
            self.known, self.held = {}, []
        new: dict[int, Rows] = {}
        asked = []
        for training in trainings:
            number = self._number(training.rows, new)
            watched = None if training.watched is None else self._number(training.watched, new)
            asked.append(Asked(replace(training, rows=NO_ROWS, watched=None), number, watched))
        try:
            self.pipe.send((forget, new, asked))
        except OSError as error:
            raise _died(self.process) from error

    def answer(self) -> list[Finished]:
        """Wait for the results of what was asked first."""
        try:
            found: list[Finished] | BaseException = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise _died(self.process) from error
        if isinstance(found, BaseException):
            raise found
        return found

    def _number(self, rows: Rows, new: dict[int, Rows]) -> int:
        number = self.known.get(id(rows))
        if number is None:
            number = self.known[id(rows)] = len(self.held)
            self.held.append(rows)  # held, so that the identity stays taken
            new[number] = rows
        return number


class ProcessesEngine:
    """Splits organisations over processes.

    Args:
        task: model and loss; must be picklable, like every task of an importable class.
        like: what rows look like.
        plan: how a round trains.
        device: where each process computes.
        workers: how many.
        channels_last: see `SequentialEngine`; with it, bits differ from the sequential engine's default.
    """

    name = "processes"

    def __init__(
        self,
        task: Task,
        like: Rows,
        plan: LocalTraining,
        device: torch.device,
        *,
        workers: int,
        channels_last: bool = False,
    ) -> None:
        self.plan = plan
        self.here = SequentialEngine(task, like, plan, device, channels_last=channels_last)
        self._recipe = Recipe(task, like.take(np.arange(min(1, len(like)))), plan, str(device), channels_last)
        self._count = max(1, workers)
        self._workers: list[_Worker] = []

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run independent trainings; the results stand in the order of the list.

        Raises:
            EmptyTrainingError: one has no rows.
            TrainerDiedError: a process was killed.
        """
        return list(self._finished(trainings))

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start` by `plan`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
            TrainerDiedError: a process was killed.
        """
        trainings = round_of(start, cohort, round_number, self.plan)
        yield from (update_of(one, done) for done, one in zip(self._finished(trainings), trainings, strict=True))

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        return self.here.outputs(vector, rows)

    def close(self) -> None:
        """End the processes; the next call starts new ones."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _finished(self, trainings: Sequence[Training]) -> Iterator[Finished]:
        """Deal blocks to whoever is free; hand out results in order.

        A worker is asked again only when it has answered, so that the two ends of a pipe never both wait to write.
        """
        size = min(BLOCK, -(-len(trainings) // self._count) or 1)
        blocks = [trainings[first : first + size] for first in range(0, len(trainings), size)]
        self._start()
        free, asked, answered, due = list(self._workers), iter(enumerate(blocks)), {}, 0
        busy: dict[Connection, tuple[_Worker, int]] = {}
        try:
            while due < len(blocks):
                for worker, (number, block) in zip(free, asked, strict=False):
                    busy[worker.pipe] = worker, number
                    worker.ask(block)
                free = []
                for pipe in wait(list(busy)):
                    worker, number = busy[cast("Connection", pipe)]
                    answered[number] = worker.answer()
                    del busy[worker.pipe]
                    free.append(worker)
                while due in answered:
                    yield from answered.pop(due)
                    due += 1
        finally:
            if busy:  # an error, an interrupt, or a caller that stopped listening: pipes hold stale answers
                self.close()

    def _start(self) -> None:
        if self._workers:
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["fedgap.learning.processes"])
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._recipe), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))


def _died(process: ForkServerProcess) -> TrainerDiedError:
    process.join(timeout=5)
    return TrainerDiedError(f"A training process ended with status {process.exitcode} before its work was done.")


def _serve(pipe: Connection, recipe: Recipe) -> None:  # pragma: no cover - runs in the worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    engine = recipe.engine()
    rows: dict[int, Rows] = {}
    while True:
        try:
            forget, new, asked = pipe.recv()
        except (EOFError, OSError):
            sys.exit(0)
        rows = new if forget else rows | new
        pipe.send(_answer(engine, rows, asked))


def _answer(engine: SequentialEngine, rows: dict[int, Rows], asked: Sequence[Asked]) -> list[Finished] | BaseException:
    try:
        return engine.train_many(
            [
                replace(one.training, rows=rows[one.number], watched=None if one.watched is None else rows[one.watched])
                for one in asked
            ]
        )
    except FedgapError as error:
        return error
    except Exception as error:  # noqa: BLE001 - somebody else's model may fail in any way, with what no pipe can carry
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:  # pragma: no cover - runs in the worker
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
