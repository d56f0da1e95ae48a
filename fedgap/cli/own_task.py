"""Errors of a task of one's own: its author can correct them, and they are no defect of fedgap."""

from collections.abc import Iterator
from contextlib import contextmanager

from fedgap.errors import FedgapError


class OwnTaskError(FedgapError):
    """A task that is not fedgap's failed; what its error says may hold a row's values, so only its kind is shown."""

    code = "task.failed"
    remedy = (
        "Run the command again with --debug to see where; the docstrings of fedgap.learning.Task say which shapes and "
        "types each method takes and returns."
    )


@contextmanager
def blamed(task: str) -> Iterator[None]:
    """Name the task for whatever fails within, if it is "package.module:Class" and the error is none of fedgap's.

    Raises:
        OwnTaskError: from the error.
    """
    try:
        yield
    except (FedgapError, OSError, MemoryError):
        raise
    except Exception as error:
        if ":" not in task:
            raise
        raise OwnTaskError(f"The task {task} failed ({type(error).__name__}).") from error
