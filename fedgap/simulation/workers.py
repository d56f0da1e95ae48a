"""Splits side by side: one process a core, each with one thread; the results do not depend on how many there are."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue

from fedgap.config import FederationConfig
from fedgap.errors import FedgapError
from fedgap.learning.task import Task
from fedgap.simulation.sites import Site, load_sites, open_task
from fedgap.simulation.split_run import SplitResult, run_some

MOST_TOGETHER = 8
"""Splits that one worker does side by side: enough for full stacks, few enough for memory and progress."""

Progress = Callable[[int], None]
"""Told how many steps of work were done since the last call."""


class _Worker:
    """What a worker process keeps between two splits."""

    config: FederationConfig
    protocol: str
    engine: str
    task: Task
    sites: tuple[Site, ...]
    ticks: "SimpleQueue[int]"


class WorkerDiedError(FedgapError):
    """A worker process ended before its work was done; nothing was written."""

    code = "run.worker-died"
    remedy = "If memory ran out, use fewer processes (--workers 1); then run the command again."


def run_splits(
    config: FederationConfig,
    task: Task,
    sites: tuple[Site, ...],
    protocol: str,
    engine: str,
    workers: int,
    progress: Progress,
) -> list[SplitResult]:
    """Run every split of the configuration; the results are in order of their numbers.

    Args:
        config: what to simulate.
        task: what is learned; worker processes make their own.
        sites: the organisations; worker processes load their own.
        protocol: full, sum or plain.
        engine: auto, sequential, stacked or processes.
        workers: processes; 1 runs everything in this one.
        progress: called with the number of steps done.

    Raises:
        WorkerDiedError: a process was killed.
    """
    splits = range(config.baselines.splits)
    batches = batched(splits, workers)
    if workers <= 1 or len(batches) == 1:
        ran = [
            run_some(config, task, sites, batch, protocol, engine, lambda: progress(1), cores=workers)
            for batch in batches
        ]
        return [result for results in ran for result in results]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fedgap.simulation.split_run"])
    ticks: SimpleQueue[int] = context.SimpleQueue()
    executor = ProcessPoolExecutor(min(workers, len(batches)), context, _set_up, (config, protocol, engine, ticks))
    with _ended(executor):
        waiting: set[Future[list[SplitResult]]] = {executor.submit(_work, batch) for batch in batches}
        found: dict[int, SplitResult] = {}
        while waiting:
            done, waiting = wait(waiting, timeout=0.2)
            for future in done:
                found |= {result.number: result for result in future.result()}
            progress(sum(_drain(ticks)))
            _check_alive(executor)
    return [found[number] for number in splits]


def batched(splits: range, workers: int) -> list[range]:
    """Cut the splits into batches that one worker does side by side: as many for each, and not too many at a time."""
    turns = -(-len(splits) // (MOST_TOGETHER * workers))
    count = min(len(splits), turns * workers)
    ends = [len(splits) * number // count for number in range(count + 1)]
    return [splits[first:last] for first, last in pairwise(ends)]


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _ended(executor: ProcessPoolExecutor) -> Iterator[None]:
    """Leave no process behind, also when interrupted."""
    try:
        yield
    except BaseException as error:
        for process in _processes(executor):
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise WorkerDiedError("A worker process ended before its work was done.") from error
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _check_alive(executor: ProcessPoolExecutor) -> None:
    """Notice a dead worker ourselves: the executor does not watch one that it started after its last wake-up.

    Raises:
        BrokenProcessPool: one has ended.
    """
    if any(process.exitcode is not None for process in _processes(executor)):
        raise BrokenProcessPool


def _processes(executor: ProcessPoolExecutor) -> list[BaseProcess]:
    return list((executor._processes or {}).values())  # noqa: SLF001 - public only from Python 3.14 on


def _set_up(config: FederationConfig, protocol: str, engine: str, ticks: "SimpleQueue[int]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.config, _Worker.protocol, _Worker.engine, _Worker.ticks = config, protocol, engine, ticks
    _Worker.task = open_task(config)
    _Worker.sites = load_sites(config, _Worker.task)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: range) -> list[SplitResult]:
    worker, tick = _Worker, lambda: _Worker.ticks.put(1)
    return run_some(worker.config, worker.task, worker.sites, batch, worker.protocol, worker.engine, tick)


def _drain(ticks: "SimpleQueue[int]") -> Iterator[int]:
    while not ticks.empty():
        yield ticks.get()
