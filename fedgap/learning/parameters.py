"""A model's parameters as they are kept and sent: one flat vector, its digest, its file. No torch."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedgap.errors import FedgapError

Vector = NDArray[np.float32]


class ModelError(FedgapError):
    """The task's model cannot be trained in a federation."""

    code = "learning.model"
    remedy = "Correct the task's model."
    exit_status = 2


def digest(vector: Vector) -> str:
    """SHA-256 of the parameters as little-endian float32, in hexadecimal: equal digests are equal bits."""
    return hashlib.sha256(_content(vector)).hexdigest()


def packed(vector: Vector, description: Mapping[str, str]) -> bytes:
    """Write the parameters as a safetensors file with one tensor, `parameters`, and a description."""
    return b"".join(file_parts(vector, description))


def file_parts(vector: Vector, description: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Give what `packed` writes in two parts, the second of which is the vector itself: a large model is not copied.

    Source: the format of safetensors: size of the header, 8 bytes little-endian; header, JSON, filled up with spaces
    to a multiple of 8 bytes; tensors.
    """
    content = _content(vector)
    tensor = {"dtype": "F32", "shape": [vector.size], "data_offsets": [0, content.nbytes]}
    header = json.dumps({"__metadata__": dict(description), "parameters": tensor}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, content


def _content(vector: Vector) -> memoryview:
    return np.ascontiguousarray(vector, dtype="<f4").reshape(-1).view(np.uint8).data
