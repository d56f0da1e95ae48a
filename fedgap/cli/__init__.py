"""The `fedgap` command: the only package that prints, and the only place where an error becomes an exit status."""

import os
import sys
import traceback
from typing import Annotated, NoReturn

import click
import typer

from fedgap import __version__
from fedgap.cli import bench as _bench
from fedgap.cli import client as _client
from fedgap.cli import config as _config
from fedgap.cli import doctor as _doctor
from fedgap.cli import funding as _funding
from fedgap.cli import ledger as _ledger
from fedgap.cli import server as _server
from fedgap.cli import show
from fedgap.cli import simulate as _simulate
from fedgap.cli import witness as _witness
from fedgap.cli.app import app
from fedgap.errors import FedgapError, InterruptedRunError, UsageError

__all__ = ["app", "main"]

DONE, FAILED, WRONG_USE, INTERRUPTED, INTERNAL = 0, 1, 2, 3, 4
INTERRUPTED_BY_TYPER = 130
"""What typer returns where click would let Ctrl-C through."""


class RefusedBySystemError(FedgapError):
    """The operating system refused something that no command expects, such as an output on a disk that is full."""

    code = "system.refused"
    remedy = "Check free space, rights and where the output goes, and run it again; --debug shows where it happened."


COMMANDS = (_bench, _client, _config, _doctor, _funding, _ledger, _server, _simulate, _witness)
"""Importing a command's module puts it into the tree."""


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        show.console.print(f"fedgap {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    del version, debug


def _run(arguments: list[str]) -> int:
    """Run the command; what it returns is no status, but an early exit's number is.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C.
        OSError: the output cannot be written, or the system refused something else.
    """
    ended = app(args=arguments, standalone_mode=False)
    sys.stdout.flush()  # here an error can still be told
    if ended == INTERRUPTED_BY_TYPER:
        raise KeyboardInterrupt
    return ended if isinstance(ended, int) else DONE


def _show_misuse(error: click.ClickException, *, as_json: bool) -> None:
    """Say what is wrong with the words of a command in the form of every other error; no words at all get the help."""
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and newer have it
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = "fedgap" if context is None else context.command_path
    cause = error.format_message().rstrip(".?") + "."
    show.failure(UsageError(cause, remedy=f"See `{path} --help`."), as_json=as_json)


def _refused(error: OSError) -> FedgapError:
    """Say what the system said; an output that failed is not tried again at the interpreter's end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
        os.dup2(nowhere.fileno(), 1)
    where = f" ({error.filename})" if isinstance(error.filename, str) else ""
    return RefusedBySystemError(f"The system refused to go on: {error.strerror or type(error).__name__}{where}.")


def main() -> NoReturn:
    """Run a command; end with 0 done, 1 failed, 2 wrong use, 3 interrupted (run it again), 4 internal error."""
    arguments = sys.argv[1:]
    debug, as_json = "--debug" in arguments, "--json" in arguments
    arguments = [word for word in arguments if word != "--debug"]  # accepted anywhere on the line
    try:
        status = _run(arguments)
    except FedgapError as error:
        if debug:
            traceback.print_exc()
        show.failure(error, as_json=as_json)
        status = error.exit_status
    except click.ClickException as error:
        _show_misuse(error, as_json=as_json)
        status = WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        show.failure(InterruptedRunError("Interrupted."), as_json=as_json)
        status = INTERRUPTED
    except BrokenPipeError as error:
        _refused(error)  # whoever read the output has gone: nobody is there to be told
        status = FAILED
    except OSError as error:
        if debug:
            traceback.print_exc()
        show.failure(_refused(error), as_json=as_json)
        status = FAILED
    except Exception as error:  # noqa: BLE001 - the last border: nothing may leave as a bare traceback
        if debug:
            traceback.print_exc()
        show.failure(FedgapError(f"Internal error ({type(error).__name__})."), as_json=as_json)
        status = INTERNAL
    sys.exit(status)
