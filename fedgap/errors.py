"""One tree of errors: what happened, a code that may cross the network, and what to do about it.

A message holds counts, names of files, columns and keys; never a value from a row and never a secret.
"""

from typing import Any, ClassVar


class FedgapError(Exception):
    """Something went wrong that a person can act on.

    Attributes:
        code: stable, dotted, lower case; the only part that crosses the network.
        remedy: one sentence: what to do now. An instance may sharpen its class's remedy.
        exit_status: what the command ends with: 1 the thing asked for failed, 2 wrong usage or configuration.
    """

    code: ClassVar[str] = "fedgap.failed"
    remedy: str = "Run the command again with --debug and report what it prints."
    exit_status: ClassVar[int] = 1

    def __init__(self, cause: str, *, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        if remedy is not None:
            self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whatever the constructor's arguments are: a worker's error is shown as it is."""
        return _restored, (type(self), self.args, self.__dict__)

    def line(self) -> str:
        """Code, cause and remedy on one line, as the command line shows them."""
        return f"{self.code}: {self.cause} {self.remedy}"


def _restored(kind: type[FedgapError], arguments: tuple[Any, ...], state: dict[str, Any]) -> FedgapError:
    """Make an error from its parts without running its constructor again."""
    made = kind.__new__(kind, *arguments)
    made.__dict__.update(state)
    return made


class UsageError(FedgapError):
    """The command was called in a way that cannot work."""

    code = "usage.wrong"
    remedy = "See --help."
    exit_status = 2


class MissingExtraError(FedgapError):
    """An optional part of fedgap is needed and not installed."""

    code = "install.missing-extra"
    exit_status = 2

    def __init__(self, *, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the optional part '{extra}', which is not installed.",
            remedy=f"Install it: pip install 'fedgap[{extra}]'.",
        )


class InterruptedRunError(FedgapError):
    """Somebody stopped the command before it was done; files are whole, and running it again repeats the same work."""

    code = "run.interrupted"
    remedy = "Nothing was left half-written. Run the same command again; it gives the same result."
    exit_status = 3
