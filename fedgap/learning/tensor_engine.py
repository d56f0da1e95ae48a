"""The stacked torch engines: many trainings as one tensor program, in chunks that fit the processor's cache.

What a training meets is fixed by `packing.py`; how a step is computed is the kernel's business: `stacked_manual` for
chains of linear layers, `stacked_autograd` for every other model. Trainings that stop early (`patience`) have lengths
that nobody knows beforehand; they run one after the other.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from fedgap import counter
from fedgap.learning.engine import Finished, Member, Training, Update, round_of, update_of
from fedgap.learning.packing import Job, PackedRows
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import EmptyTrainingError, LocalTraining, Trained, diverged
from fedgap.learning.rows import Rows
from fedgap.learning.sequential import SequentialEngine
from fedgap.learning.stacked_autograd import AutogradKernel
from fedgap.learning.stacked_manual import ManualKernel, written_out
from fedgap.learning.stacking import Stack, stacks
from fedgap.learning.task import Task
from fedgap.learning.tensor_course import AfterEpoch, DeviceRows, Ended, Floats, Kernel, run_stack
from fedgap.learning.vector import build

CACHE_BYTES = 2**22
"""What the trainings of a stack may touch in a step; smaller stacks fit a nearer cache and cost more calls."""

DEVICE_BYTES = 2**32
"""Likewise on a GPU, where a step should be large rather than near."""

RESULT_BYTES = 2**28
"""Trained parameters that wait to be handed out in name order."""

KEPT_ROWS_BYTES = 2**28
"""Rows that stay packed from round to round; beyond this they are packed anew."""


class TensorEngine:
    """Runs trainings side by side in one process.

    Args:
        task: model and loss.
        like: what rows look like.
        plan: how a round trains.
        device: where it computes.
        kernel: `stacked-manual`, `stacked-autograd`, or None for the first that can.
        dtype: float32; float64 for comparing engines.

    Raises:
        ValueError: `stacked-manual` for a model that is no chain of linear layers.
    """

    def __init__(
        self,
        task: Task,
        like: Rows,
        plan: LocalTraining,
        device: torch.device,
        *,
        kernel: str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.task, self.like, self.plan, self.device, self.dtype = task, like, plan, device, dtype
        self.one_by_one = SequentialEngine(task, like, plan, device, dtype=dtype)
        self._model = build(task, like, device, dtype)  # apart from the sequential engine's, which changes its mode
        manual = written_out(task, self._model) if kernel is None else kernel == ManualKernel.name
        self.name = ManualKernel.name if manual else AutogradKernel.name
        self._packed = self._empty()
        self._data: DeviceRows | None = None

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run independent trainings; the results stand in the order of the list.

        Raises:
            EmptyTrainingError: one has no rows.
        """
        for training in trainings:
            if len(training.rows) == 0:
                raise EmptyTrainingError(f"Organisation {training.org} has no training rows.")
        finished: dict[int, Finished] = {}
        groups: dict[LocalTraining, list[int]] = {}
        for at, training in enumerate(trainings):
            groups.setdefault(_alike(training.plan), []).append(at)
        for places in groups.values():
            early = [at for at in places if trainings[at].plan.patience]
            finished |= zip(early, self.one_by_one.train_many([trainings[at] for at in early]), strict=True)
            rest = [at for at in places if not trainings[at].plan.patience]
            finished |= zip(rest, self._side_by_side([trainings[at] for at in rest]), strict=True)
        return [finished[at] for at in range(len(trainings))]

    def prepare(self, members: Sequence[Member]) -> None:
        """Pack the rows of everybody who may train, at once and in their exact size, so that no round has to."""
        self._make_room()
        self._packed.places([member.rows for member in members])

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start` by `plan`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
        """
        members = sorted(cohort, key=lambda member: member.org)
        block = max(1, RESULT_BYTES // (2 * start.nbytes))
        for first in range(0, len(members), block):
            some = members[first : first + block]
            if self.plan.patience:
                trainings = round_of(start, some, round_number, self.plan)
                yield from map(update_of, trainings, self.train_many(trainings))
            else:
                yield from self._round(start, some, round_number)

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        return self.one_by_one.outputs(vector, rows)

    def _round(self, start: Vector, members: Sequence[Member], round_number: int) -> list[Update]:
        """A round without early stopping: what `train_many` gives, with less to do for each member."""
        plan, kernel, jobs = self.plan, self._kernel(self.plan), []
        self._make_room()
        keys = counter.keys((plan.seed, "train", round_number), [str(member.org) for member in members])
        places = self._packed.places([member.rows for member in members])
        for member, place, key in zip(members, places, keys, strict=True):
            if place.size == 0:
                raise EmptyTrainingError(f"Organisation {member.org} has no training rows.")
            jobs.append(Job(0, place, key, plan.lr, plan.epochs, plan.steps))
        begin = torch.from_numpy(start[None]).to(self.device, self.dtype)
        before = start.astype(np.float64)
        found: dict[int, Update] = {}
        for stack in self._stacks(kernel, plan, jobs):
            wall, cpu = time.perf_counter(), time.process_time()
            ended = self._run_stack(kernel, stack, begin)
            deltas = ended.vectors.astype(np.float64)
            deltas -= before
            finite = np.isfinite(deltas.sum(axis=1)) & np.isfinite(ended.losses)
            if not finite.all():
                raise diverged(members[stack.order[int(finite.argmin())]].org, round_number)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            total = int(stack.steps.sum())
            lines = zip(stack.order, deltas, stack.steps.tolist(), ended.losses.tolist(), strict=True)
            for at, delta, steps, loss in lines:
                found[at] = Update(
                    org=members[at].org,
                    delta=delta,
                    steps=steps,
                    loss=loss,
                    cpu_seconds=cpu * steps / total,
                    wall_seconds=wall * steps / total,
                )
        return [found[at] for at in range(len(members))]

    def _side_by_side(self, trainings: Sequence[Training]) -> list[Finished]:
        if not trainings:
            return []
        plan = trainings[0].plan
        kernel = self._kernel(plan)
        starts = {id(training.start): training.start for training in trainings}
        lines = {identity: line for line, identity in enumerate(starts)}
        begin = torch.from_numpy(np.stack(list(starts.values()))).to(self.device, self.dtype)
        self._make_room()
        jobs = [self._job(training, lines[id(training.start)]) for training in trainings]
        finished: dict[int, Finished] = {}
        for stack in self._stacks(kernel, plan, jobs):
            some = [trainings[at] for at in stack.order]
            finished |= zip(stack.order, self._finished(kernel, stack, begin, some), strict=True)
        return [finished[at] for at in range(len(trainings))]

    def _stacks(self, kernel: Kernel, plan: LocalTraining, jobs: Sequence[Job]) -> Iterator[Stack]:
        budget = DEVICE_BYTES if self.device.type == "cuda" else CACHE_BYTES
        return stacks(jobs, plan.batch_size, max(1, budget // kernel.bytes_a_job))

    def _run_stack(
        self, kernel: Kernel, stack: Stack, begin: torch.Tensor, watching: AfterEpoch | None = None
    ) -> Ended:
        start = begin[[job.start for job in stack.jobs]]
        lr = torch.tensor([job.lr for job in stack.jobs], dtype=self.dtype, device=self.device)
        return run_stack(kernel, stack, self._on_device(), start, lr, watching)

    def _make_room(self) -> None:
        if self._packed.x.nbytes > KEPT_ROWS_BYTES:
            self._packed, self._data = self._empty(), None

    def _kernel(self, plan: LocalTraining) -> Kernel:
        if self.name == ManualKernel.name:
            return ManualKernel(self.task.kind, self._model, plan)
        return AutogradKernel(self._model, plan)

    def _job(self, training: Training, line: int) -> Job:
        plan = training.plan
        key = counter.key(plan.seed, "train", training.round_number, str(training.org))
        place = self._packed.place(training.rows)
        return Job(start=line, place=place, key=key, lr=plan.lr, epochs=plan.epochs, steps=plan.steps)

    def _on_device(self) -> DeviceRows:
        """The packed rows as tensors; copied again only when there are more of them."""
        if self._data is None or len(self._data) != self._packed.used:
            self._data = DeviceRows(self._packed, self.like.x.shape[1:], self.device)
        return self._data

    def _empty(self) -> PackedRows:
        return PackedRows(self.like, np.float64 if self.dtype == torch.float64 else np.float32, ones=False)

    def _finished(
        self, kernel: Kernel, stack: Stack, begin: torch.Tensor, trainings: Sequence[Training]
    ) -> list[Finished]:
        """Train one stack; `trainings` stand in its order."""
        wall, cpu = time.perf_counter(), time.process_time()
        answers: list[list[Vector]] = [[] for _ in trainings]

        def judge(place: int, epoch: int, read: Callable[[], Floats]) -> None:
            watched = trainings[place].watched
            if watched is not None and epoch in trainings[place].judged:
                answers[place].append(self.one_by_one.model.outputs(read(), watched))

        watching = judge if any(training.judged for training in trainings) else None
        ended = self._run_stack(kernel, stack, begin, watching)
        share = stack.steps / stack.steps.sum()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        sound = np.isfinite(ended.vectors).all(axis=1) & np.isfinite(ended.losses)
        return [
            Finished(
                trained=Trained(vector=vector, steps=steps, loss=loss),
                answers=np.stack(answered) if answered else np.zeros((0, 0, 1), np.float32),
                diverged=None if fine else diverged(training.org, training.round_number),
                cpu_seconds=cpu * part,
                wall_seconds=wall * part,
            )
            for training, vector, steps, loss, answered, fine, part in zip(
                trainings,
                ended.vectors,
                stack.steps.tolist(),
                ended.losses.tolist(),
                answers,
                sound.tolist(),
                share.tolist(),
                strict=True,
            )
        ]


@lru_cache(maxsize=256)
def _alike(plan: LocalTraining) -> LocalTraining:
    """What plans that may share a stack have in common."""
    return replace(plan, lr=1.0, epochs=1, steps=None, patience=0)
