"""Which form a folder on disk has, so that another version of fedgap neither misreads nor spoils what it holds.

    format.json    {"kind": "server", "format": 1, "program": "0.1.0"}

One such mark stands in the server's folder and one in each site's. It counts for everything below it: state, journal,
sums, vault, membership, models, since these move together. The ledger has a number of its own, because it travels alone
(`fedgap.ledger.schema`). Whoever changes what lies there counts FORMAT up; a test notices who forgets.
"""

import json
from pathlib import Path
from typing import Literal, TypeAlias

from fedgap import __version__, storage
from fedgap.errors import FedgapError

Kind: TypeAlias = Literal["server", "site"]

FORMAT = 1
"""Of both kinds of folders, and what they hold."""

FILE = "format.json"
_FINISH = "Finish the federation with the version that began it; then take the new version for the next one."


class OtherFormatError(FedgapError):
    """A folder was written by a version of fedgap that keeps things in another form; nothing in it was touched."""

    code = "storage.other-format"
    remedy = _FINISH
    exit_status = 2


def check(folder: Path, kind: Kind) -> bool:
    """Look at a folder's mark, and change nothing.

    Returns:
        whether it has one; if so, it is of this kind and form.

    Raises:
        OtherFormatError: it is of another form, or of another kind.
        DamagedFileError: the mark is none.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes())
        what, number, program = str(found["kind"]), int(found["format"]), str(found["program"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise storage.DamagedFileError(f"{path} is damaged.") from error
    if what != kind:
        raise OtherFormatError(f"{folder} is the folder of a {what}, not of a {kind}.", remedy="Name another folder.")
    if number != FORMAT:
        cause = f"{folder} has format {number}, written by fedgap {program}; fedgap {__version__} has format {FORMAT}."
        finish = _FINISH.replace("the version that began it", f"fedgap {program}, which began it", 1)
        raise OtherFormatError(cause, remedy=f"Install fedgap {program} or later." if number > FORMAT else finish)
    return True


def refuse_unmarked(folder: Path) -> None:
    """Refuse a folder that is in use and has no mark.

    Raises:
        OtherFormatError: always.
    """
    raise OtherFormatError(f"{folder} was made by a version of fedgap that did not yet number its formats.")


def mark(folder: Path, kind: Kind) -> None:
    """Mark a new folder; durable when this returns.

    Raises:
        StorageError: it cannot be written.
    """
    content = {"kind": kind, "format": FORMAT, "program": __version__}
    storage.replace(folder / FILE, json.dumps(content).encode() + b"\n")
