"""The file of a model to begin with: `start.safetensors`, beside federation.toml or site.toml.

It is a model as `server run` and `client run` write it. The plan names it by its digest.
"""

import json
from pathlib import Path

import numpy as np

from fedgap.errors import FedgapError
from fedgap.learning.parameters import Vector, digest

FILE = "start.safetensors"
_LENGTH_BYTES = 8
_MOST_HEAD_BYTES = 1 << 24


class StartModelError(FedgapError):
    """The model that the plan begins with is not here, or the file is another one."""

    code = "federation.start-model"
    exit_status = 2

    def __init__(self, cause: str, *, path: Path) -> None:
        super().__init__(cause, remedy=f"Ask whoever runs the server for the model of the plan; put it at {path}.")


def named_model(path: Path, wanted: str) -> Vector:
    """Read a model and make sure that it is the one of this digest.

    Raises:
        StartModelError: it is not.
    """
    found = read_model(path)
    if digest(found) != wanted:
        raise StartModelError(f"{path} is not the model that the plan begins with ({wanted[:16]}).", path=path)
    return found


def read_model(path: Path) -> Vector:
    """Read a model.

    Raises:
        StartModelError: there is none, or it is not finite.
    """
    try:
        found = _read(path)
    except FileNotFoundError as error:
        raise StartModelError(f"There is no {path}.", path=path) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartModelError(f"{path} is no model of fedgap.", path=path) from error
    if not np.isfinite(found).all():
        raise StartModelError(f"The model in {path} is not finite.", path=path)
    return found


def _read(path: Path) -> Vector:
    """Read the one tensor of a file; see `fedgap.learning.parameters.file_parts`."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        head = json.loads(file.read(min(size, _MOST_HEAD_BYTES)))["parameters"]
        (count,) = head["shape"]
        found = np.fromfile(file, dtype="<f4", count=count).astype(np.float32, copy=False)
        is_whole = found.size == count and not file.read(1)
    if head["dtype"] != "F32" or head["data_offsets"] != [0, 4 * count] or not is_whole:
        raise ValueError("the tensor is another one, or the file ends early or late")
    return found
