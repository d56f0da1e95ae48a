"""Splits side by side: one process a core, each with one thread; the results do not depend on how many there are."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue

from fedgap.config import FederationConfig
from fedgap.errors import FedgapError
from fedgap.learning.task import Task
from fedgap.simulation.sites import Site, load_sites, open_task
from fedgap.simulation.split_run import SplitResult, run_split

Progress = Callable[[int], None]
"""Told how many steps of work were done since the last call."""


class _Worker:
    """What a worker process keeps between two splits."""

    config: FederationConfig
    protocol: str
    task: Task
    sites: tuple[Site, ...]
    ticks: "SimpleQueue[int]"


class WorkerDiedError(FedgapError):
    """A worker process ended before its work was done; nothing was written."""

    code = "run.worker-died"
    remedy = "If memory ran out, use fewer processes (--workers 1); then run the command again."


def run_splits(
    config: FederationConfig, task: Task, sites: tuple[Site, ...], protocol: str, workers: int, progress: Progress
) -> list[SplitResult]:
    """Run every split of the configuration; the results are in order of their numbers.

    Args:
        config: what to simulate.
        task: what is learned; worker processes make their own.
        sites: the organisations; worker processes load their own.
        protocol: full, sum or plain.
        workers: processes; 1 runs everything in this one.
        progress: called with the number of steps done.

    Raises:
        WorkerDiedError: a process was killed.
    """
    numbers = range(config.baselines.splits)
    if workers <= 1 or len(numbers) == 1:
        return [run_split(config, task, sites, number, protocol, lambda: progress(1)) for number in numbers]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fedgap.simulation.split_run"])
    ticks: SimpleQueue[int] = context.SimpleQueue()
    executor = ProcessPoolExecutor(min(workers, len(numbers)), context, _set_up, (config, protocol, ticks))
    with _ended(executor):
        waiting: dict[Future[SplitResult], int] = {executor.submit(_work, number): number for number in numbers}
        found: dict[int, SplitResult] = {}
        while waiting:
            done, _ = wait(waiting, timeout=0.2)
            for future in done:
                found[waiting.pop(future)] = future.result()
            progress(sum(_drain(ticks)))
    return [found[number] for number in numbers]


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
    except BrokenProcessPool as error:
        raise WorkerDiedError("A worker process ended before its work was done.") from error
    except BaseException:
        for process in list((executor._processes or {}).values()):  # noqa: SLF001 - public only from Python 3.14 on
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _set_up(config: FederationConfig, protocol: str, ticks: "SimpleQueue[int]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.config, _Worker.protocol, _Worker.ticks = config, protocol, ticks
    _Worker.task = open_task(config)
    _Worker.sites = load_sites(config, _Worker.task)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int) -> SplitResult:
    worker = _Worker
    return run_split(worker.config, worker.task, worker.sites, number, worker.protocol, lambda: worker.ticks.put(1))


def _drain(ticks: "SimpleQueue[int]") -> Iterator[int]:
    while not ticks.empty():
        yield ticks.get()
