"""Masks: what two organisations share, expanded to the length of the model, added by one and subtracted by the other.

The work is per parameter and per mask, so it runs stripe by stripe: 256 KiB of the vector stay in cache while every
mask is expanded into one small buffer and added. Several threads take stripes of their own; the bits do not depend on
their number.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedgap.crypto import Keystream
from fedgap.crypto.keystream import BUFFER_BYTES, STRIPE_WORDS

Ring: TypeAlias = NDArray[np.uint32]
"""Numbers modulo 2**32; arithmetic wraps silently, which is what masks need."""


def masked(
    vector: Ring, *, plus: Sequence[bytes], minus: Sequence[bytes] = (), threads: int = 1, out: Ring | None = None
) -> Ring:
    """Add the masks of some keys to a vector and subtract those of others.

    Args:
        vector: uint32, shape (D,); left as it is unless it is `out`.
        plus: 32-byte mask keys whose streams are added.
        minus: those whose streams are subtracted.
        threads: how many stripes are worked on at once.
        out: where the result goes; `vector` itself is allowed and saves its memory.

    Returns:
        uint32, shape (D,).
    """
    adding = [Keystream(key) for key in plus]
    subtracting = [Keystream(key) for key in minus]
    result = np.empty_like(vector) if out is None else out
    stripes = range(-(-len(vector) // STRIPE_WORDS))
    if threads <= 1 or len(stripes) <= 1:
        _work(vector, result, stripes, adding, subtracting)
        return result
    with ThreadPoolExecutor(threads) as pool:
        shares = [stripes[len(stripes) * k // threads : len(stripes) * (k + 1) // threads] for k in range(threads)]
        for done in [pool.submit(_work, vector, result, share, adding, subtracting) for share in shares]:
            done.result()
    return result


def _work(vector: Ring, result: Ring, stripes: range, adding: list[Keystream], subtracting: list[Keystream]) -> None:
    """Write some stripes of the result."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    stream = np.frombuffer(buffer, dtype="<u4", count=STRIPE_WORDS)
    for stripe in stripes:
        source = vector[stripe * STRIPE_WORDS : (stripe + 1) * STRIPE_WORDS]
        target = result[stripe * STRIPE_WORDS : (stripe + 1) * STRIPE_WORDS]
        size = len(target)
        if not adding and not subtracting:
            np.copyto(target, source)
        for operation, keys in ((np.add, adding), (np.subtract, subtracting)):
            for key in keys:
                key.fill(stripe, 4 * size, buffer)
                operation(source, stream[:size], out=target)
                source = target
