"""A stack gives every job the rows, the order and the batches that it would have alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap import counter
from fedgap.learning.packing import Job, Place
from fedgap.learning.stacking import WINDOW, Stack, stacks


def expected(job: Job, batch_size: int) -> list[list[int]]:
    """Row positions of each step, written as `fedgap.learning.local` goes about it."""
    found: list[list[int]] = []
    epoch = 0
    while len(found) < (job.length(batch_size)):
        order = counter.permutation(counter.key(job.key, "epoch", epoch), job.rows)
        order = (order if job.only is None else job.only[order]) + job.place.first
        found += [order[at : at + batch_size].tolist() for at in range(0, len(order), batch_size)]
        epoch += 1
    return found[: job.length(batch_size)]


@st.composite
def cohorts(draw: st.DrawFn) -> list[Job]:
    """Jobs of ragged sizes and lengths, some on the same rows with the same key."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        by_steps = draw(st.booleans())
        count = draw(st.integers(1, 40))
        left_out = draw(st.integers(0, count - 1)) if draw(st.booleans()) else None
        made.append(
            Job(
                start=0,
                place=Place(first=draw(st.integers(0, 50)), size=count),
                key=draw(st.sampled_from([7, 8, number])),
                lr=0.1,
                epochs=None if by_steps else draw(st.integers(1, 4)),
                steps=draw(st.integers(1, 9)) if by_steps else None,
                only=None if left_out is None else np.random.default_rng(number).permutation(count)[left_out:],
            )
        )
    return made


@settings(max_examples=60, deadline=None)
@given(jobs=cohorts(), batch_size=st.integers(1, 20), most=st.integers(1, 4))
def test_every_job_meets_its_rows_in_its_own_order(jobs: list[Job], batch_size: int, most: int) -> None:
    """Whatever stands beside it in the stack, and however the stacks are cut."""
    met: dict[int, list[list[int]]] = {at: [] for at in range(len(jobs))}
    for stack in stacks(jobs, batch_size, most):
        assert len(stack.jobs) <= most
        for batch in stack.batches():
            for job, line, count in zip(stack.order, batch.rows.tolist(), batch.counts.tolist(), strict=False):
                met[job].append(line[:count])
                place = jobs[job].place
                assert all(place.first <= row < place.first + place.size for row in line)
            assert batch.full == (batch.counts == stack.width).all()

    assert {at: expected(job, batch_size) for at, job in enumerate(jobs)} == met


@settings(max_examples=30, deadline=None)
@given(jobs=cohorts(), batch_size=st.integers(1, 20))
def test_weights_are_one_over_the_rows_that_count_and_zero_elsewhere(jobs: list[Job], batch_size: int) -> None:
    for stack in stacks(jobs, batch_size, 10):
        for batch in stack.batches():
            weights = batch.weights(np.float64)

            np.testing.assert_allclose(weights.sum(axis=1), 1)
            assert ((weights > 0).sum(axis=1) == batch.counts).all()


@settings(max_examples=30, deadline=None)
@given(jobs=cohorts(), batch_size=st.integers(1, 20))
def test_epochs_end_and_steps_have_the_keys_of_local_training(jobs: list[Job], batch_size: int) -> None:
    for stack in stacks(jobs, batch_size, 10):
        for batch in stack.batches():
            keys, ends = stack.step_keys(batch), stack.ends_epoch(batch)
            for number in range(batch.active):
                job = stack.jobs[number]
                epoch, step = divmod(batch.number, -(-job.rows // batch_size))
                assert counter.key(counter.key(job.key, "epoch", epoch), step) == keys[number]
                assert (step + 1 == -(-job.rows // batch_size)) == ends[number]


def test_the_active_jobs_are_a_prefix_that_shrinks() -> None:
    jobs = [Job(start=0, place=Place(first=0, size=n), key=n, lr=0.1, epochs=2) for n in (3, 40, 17, 16)]

    (short, long) = stacks(jobs, 16, 10)

    assert short.order == (0,)
    assert [jobs[at].place.size for at in long.order] == [40, 17, 16]
    assert [batch.active for batch in long.batches()] == [3, 3, 2, 2, 1, 1]
    assert [batch.full for batch in long.batches()] == [True, False, False, False, True, False]
    assert long.last_epoch().tolist() == [3, 2, 1]


def test_many_steps_are_drawn_window_by_window() -> None:
    """A training longer than one window continues where the window ended, in the middle of an epoch."""
    job = Job(start=0, place=Place(first=3, size=700), key=1, lr=0.1, epochs=250)
    stack = Stack([0], [job], 2)
    assert job.length(2) * stack.width > WINDOW

    met = [batch.rows[0].tolist() for batch in stack.batches()]

    assert expected(job, 2) == met


def test_stacks_are_of_about_the_same_size() -> None:
    """A last stack of a few jobs would cost as many calls as a full one."""
    jobs = [Job(start=0, place=Place(first=0, size=20), key=n, lr=0.1) for n in range(101)]

    assert [len(stack.jobs) for stack in stacks(jobs, 16, 30)] == [26, 25, 25, 25]


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(1, 900), min_size=2, max_size=12))
def test_jobs_of_very_different_sizes_are_drawn_apart_and_alike(counts: list[int]) -> None:
    """More rows than are drawn in one piece: still everyone's own order."""
    jobs = [Job(start=0, place=Place(first=7, size=n), key=n, lr=0.1, epochs=2) for n in counts]
    for stack in stacks(jobs, 16, 20):
        met: dict[int, list[list[int]]] = {at: [] for at in stack.order}
        for batch in stack.batches():
            for job, line, count in zip(stack.order, batch.rows.tolist(), batch.counts.tolist(), strict=False):
                met[job].append(line[:count])
        assert {at: expected(jobs[at], 16) for at in stack.order} == met
