"""How far long work is: a bar on a terminal, a line for every tenth elsewhere (a log, a pipe)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedgap.cli.show import progress_console

Advance = Callable[[int], None]
"""Told how many more steps are done."""


@contextmanager
def steps(what: str, total: int) -> Iterator[Advance]:
    """Show work of `total` steps on standard error while it lasts."""
    if not progress_console.is_terminal:
        yield _Lines(what, total).advance
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=progress_console, transient=True) as bar:
        work = bar.add_task(what, total=total)
        yield lambda done: bar.advance(work, done)


class _Lines:
    """Counts steps and prints a line whenever another tenth is done."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.done = self.tenths = 0

    def advance(self, done: int) -> None:
        self.done += done
        if (tenths := 10 * self.done // max(1, self.total)) > self.tenths:
            self.tenths = tenths
            progress_console.print(f"{self.what}: {10 * tenths} %", markup=False, emoji=False)
