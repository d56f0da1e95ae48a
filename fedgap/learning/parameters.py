"""A model's parameters as they are kept and sent: one flat vector, its digest, its file. No torch."""

import hashlib
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
    return hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").tobytes()).hexdigest()


def packed(vector: Vector, description: Mapping[str, str]) -> bytes:
    """Write the parameters as a safetensors file with one tensor, `parameters`, and a description."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where a model is written

    return bytes(save({"parameters": np.ascontiguousarray(vector, dtype="<f4")}, dict(description)))
