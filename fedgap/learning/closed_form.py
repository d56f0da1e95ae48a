"""The stacked engine: many trainings of a stack of linear layers as one numpy program, without torch.

Gives the update of `fedgap.learning.local` (1e-6 in float32 after a round, 1e-12 in float64), and the same bits
whatever else is trained beside a training. d parameters; J trainings in a stack; C models that answer.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedgap import counter
from fedgap.learning.engine import Finished, Member, Training, Update, round_of, update_of
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.packing import Job, PackedRows
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import DivergedError, EmptyTrainingError, LocalTraining, Trained, diverged
from fedgap.learning.rows import Rows
from fedgap.learning.stacked_course import Held, StackedCourse, best_epoch, hold_out
from fedgap.learning.stacked_layers import Layout, StackedLayers, outputs
from fedgap.learning.stacked_slopes import row_losses
from fedgap.learning.stacking import Stack, stacks

Array = NDArray[Any]

CACHE_BYTES = 6 * 2**20
"""What a stack's parameters, gradients and activations may take: a share of the last-level cache."""

OUTPUT_ROWS = 4096
NOTHING = np.zeros((0, 0, 1), np.float32)
TOO_FEW = "too few rows to hold any out: trained for all epochs without early stopping"


class ClosedFormEngine:
    """Runs trainings of one `LinearStack` in stacks that fit the cache.

    Args:
        stack: the model.
        like: what rows look like.
        plan: how a round trains.
        dtype: float32; float64 for comparing engines.
    """

    name = "stacked"

    def __init__(self, stack: LinearStack, like: Rows, plan: LocalTraining, dtype: DTypeLike = np.float32) -> None:
        self.stack, self.plan, self.dtype = stack, plan, np.dtype(dtype)
        self.packed = PackedRows(like, dtype, ones=True)
        self._layout = Layout(stack.widths)
        self._last: StackedLayers | None = None
        self._ones = np.ones(stack.size, self.dtype)

    def train_many(self, trainings: Sequence[Training]) -> list[Finished]:
        """Run independent trainings, those with the same plan but for rate and length in common stacks.

        Raises:
            EmptyTrainingError: one has no rows.
        """
        alike: dict[LocalTraining, list[int]] = {}
        common: dict[int, LocalTraining] = {}
        for at, training in enumerate(trainings):
            if len(training.rows) == 0:
                raise EmptyTrainingError(f"Organisation {training.org} has no training rows.")
            plan = common.get(id(training.plan))
            if plan is None:
                plan = common[id(training.plan)] = replace(training.plan, seed=0, lr=0.0, epochs=1, steps=None)
            alike.setdefault(plan, []).append(at)
        found: dict[int, Finished] = {}
        for plan, members in alike.items():
            found |= self._train_alike(plan, [(at, trainings[at]) for at in members])
        return [found[at] for at in range(len(trainings))]

    def prepare(self, members: Sequence[Member]) -> None:
        """Pack the rows of everybody who may train, at once and in their exact size, so that no round has to."""
        self.packed.places([member.rows for member in members])

    def run_round(self, start: Vector, cohort: Sequence[Member], round_number: int) -> Iterator[Update]:
        """Train every member from `start`; yield the updates in the order of their names.

        Raises:
            DivergedError: a member's numbers ran away.
        """
        if self.plan.patience:
            trainings = round_of(start, cohort, round_number, self.plan)
            for training, finished in zip(trainings, self.train_many(trainings), strict=True):
                yield update_of(training, finished)
        else:
            yield from self._round(start, sorted(cohort, key=lambda m: m.org), round_number)

    def _round(self, start: Vector, members: Sequence[Member], round_number: int) -> list[Update]:
        """A round without early stopping: what `train_many` gives, with less to do for each member."""
        plan, jobs = self.plan, []
        keys = counter.keys((plan.seed, "train", round_number), [str(member.org) for member in members])
        places = self.packed.places([member.rows for member in members])
        for member, place, key in zip(members, places, keys, strict=True):
            if place.size == 0:
                raise EmptyTrainingError(f"Organisation {member.org} has no training rows.")
            jobs.append(Job(0, place, key, plan.lr, plan.epochs, plan.steps))
        begin = start[self._layout.from_torch]
        found: dict[int, Update] = {}
        for stack in stacks(jobs, plan.batch_size, self._most(plan, jobs)):
            wall, cpu = time.perf_counter(), time.process_time()
            layers = self._workspace(stack)
            layers.weights[:] = begin
            going = StackedCourse(layers, self.packed, stack, plan, [()] * len(stack.jobs))
            going.run()
            deltas = self._layout.change(layers.weights, start)
            finite = np.isfinite(layers.weights @ self._ones) & np.isfinite(going.loss)
            if not finite.all():
                finite = np.isfinite(deltas).all(axis=1) & np.isfinite(going.loss)
            if not finite.all():
                raise diverged(members[stack.order[int(finite.argmin())]].org, round_number)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            total = max(1, int(stack.steps.sum()))
            for at, delta, steps, loss in zip(
                stack.order, deltas, stack.steps.tolist(), going.loss.tolist(), strict=True
            ):
                share = steps / total
                found[at] = Update(
                    org=members[at].org,
                    delta=delta,
                    steps=steps,
                    loss=loss,
                    cpu_seconds=cpu * share,
                    wall_seconds=wall * share,
                )
        return [found[at] for at in range(len(members))]

    def outputs(self, vector: Vector, rows: Rows) -> Vector:
        """What the model with these parameters answers, float32, shape (n, outputs)."""
        weights = vector[None, self._layout.from_torch].astype(self.dtype, copy=False)
        return np.asarray(self._answers(weights, rows)[0])

    def _train_alike(self, plan: LocalTraining, members: Sequence[tuple[int, Training]]) -> dict[int, Finished]:
        jobs, helds = [], []
        for number, (_, training) in enumerate(members):
            place = self.packed.place(training.rows)
            own = training.plan
            key = counter.key(own.seed, "train", training.round_number, str(training.org))
            held = hold_out(plan, key, place.size)
            only = None if held is None else held.kept
            jobs.append(
                Job(start=number, place=place, key=key, lr=own.lr, epochs=own.epochs, steps=own.steps, only=only)
            )
            helds.append(held)
        found = {}
        for stack in stacks(jobs, plan.batch_size, self._most(plan, jobs)):
            course = [(members[at][1], helds[at]) for at in stack.order]
            for at, finished in zip(stack.order, self._run(stack, course, plan), strict=True):
                found[members[at][0]] = finished
        return found

    def _workspace(self, stack: Stack) -> StackedLayers:
        """Arrays for this stack: the last one's, if they have the shape."""
        if self._last is None or self._last.shape != (len(stack.jobs), stack.width):
            self._last = StackedLayers(self.stack, self._layout, len(stack.jobs), stack.width, self.dtype)
        return self._last

    def _most(self, plan: LocalTraining, jobs: Sequence[Job]) -> int:
        """How many trainings of this plan fit the cache together."""
        state = {"sgd": 0, "momentum": 1, "nesterov": 1}.get(plan.optimizer, 2)
        numbers = (3 + state + (plan.prox_mu > 0)) * self.stack.size
        numbers += min(plan.batch_size, 2 * max(job.rows for job in jobs)) * 3 * sum(self.stack.widths)
        return max(1, CACHE_BYTES // (numbers * self.dtype.itemsize))

    def _run(self, stack: Stack, course: Sequence[tuple[Training, Held | None]], plan: LocalTraining) -> list[Finished]:
        """Train one stack and let the trainings answer the rows that are watched."""
        wall, cpu = time.perf_counter(), time.process_time()
        layers = self._workspace(stack)
        starts = {id(training.start): training.start for training, _ in course}
        begins = {key: start[self._layout.from_torch] for key, start in starts.items()}
        np.stack([begins[id(training.start)] for training, _ in course], out=layers.weights)
        keep = [
            training.judged if held is None else range(1, (training.plan.epochs or 0) + 1) for training, held in course
        ]
        going = StackedCourse(layers, self.packed, stack, plan, keep)
        going.run()
        vectors = layers.weights[:, self._layout.to_torch]
        made = [
            self._result(going, job, vector, *one)
            for job, (vector, one) in enumerate(zip(vectors, course, strict=True))
        ]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        shares = (stack.steps / max(1, int(stack.steps.sum()))).tolist()
        return [
            Finished(
                trained=trained,
                answers=answers,
                diverged=_divergence(training, trained),
                cpu_seconds=cpu * share,
                wall_seconds=wall * share,
            )
            for (training, _), (trained, answers), share in zip(course, made, shares, strict=True)
        ]

    def _result(
        self, going: StackedCourse, job: int, vector: Array, training: Training, held: Held | None
    ) -> tuple[Trained, NDArray[np.float32]]:
        loss, steps = float(going.loss[job]), int(going.stack.steps[job])
        notes: tuple[str, ...] = (TOO_FEW,) if training.plan.patience else ()
        if held is None and training.watched is None:
            return Trained(vector=vector, steps=steps, loss=loss, notes=notes), NOTHING
        kept = np.stack(going.kept[job]) if going.kept[job] else going.layers.weights[:0]
        if held is not None:
            weights, last, notes = self._stop(training, held, kept)
            vector = weights[self._layout.to_torch]
            steps, loss = last * int(going.stack.per_epoch[job]), going.losses[job][last - 1]
            kept = kept[[epoch - 1 for epoch in training.judged if epoch <= last]]
        answers = NOTHING if training.watched is None else self._answers(kept, training.watched)
        return Trained(vector=vector, steps=steps, loss=loss, notes=notes), answers

    def _stop(self, training: Training, held: Held, kept: Array) -> tuple[Array, int, tuple[str, ...]]:
        """Choose the parameters that did best on the rows held out; tell the last epoch that counts."""
        begin = training.start[None, self._layout.from_torch].astype(self.dtype, copy=False)
        every = np.concatenate([begin, kept])
        watched = training.rows.take(held.watched)
        y = np.broadcast_to(watched.y, (len(every), len(watched)))
        with np.errstate(over="ignore", invalid="ignore"):
            z = outputs(self.stack, self._layout, every, self._with_ones(watched)).swapaxes(1, 2)
            losses = row_losses(self.stack.loss, z, y).mean(axis=1).tolist()
        best, last = best_epoch(losses, training.plan.patience)
        return every[best], last, (f"early stopping kept epoch {best}",)

    def _answers(self, weights: Array, rows: Rows) -> NDArray[np.float32]:
        """What C models with biases inside answer, float32, shape (C, n, outputs)."""
        if len(rows) == 0:
            return np.zeros((len(weights), 0, self.stack.widths[-1]), np.float32)
        x = self._with_ones(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                outputs(self.stack, self._layout, weights, x[first : first + OUTPUT_ROWS])
                for first in range(0, len(rows), OUTPUT_ROWS)
            ]
            return np.concatenate(parts, axis=1).astype(np.float32)

    def _with_ones(self, rows: Rows) -> Array:
        x = np.ones((len(rows), self.stack.widths[0] + 1), self.dtype)
        x[:, :-1] = rows.x.reshape(len(rows), -1)
        return x


def _divergence(training: Training, trained: Trained) -> DivergedError | None:
    try:
        trained.check_finite(training.org, training.round_number)
    except DivergedError as error:
        return error
    return None
