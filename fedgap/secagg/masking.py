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
from fedgap.crypto.keystream import BUFFER_BYTES, STRIPE_BYTES, STRIPE_WORDS, TAG_BYTES, Fill, place

Ring: TypeAlias = NDArray[np.uint32]
"""Numbers modulo 2**32; arithmetic wraps silently, which is what masks need."""

_LINE_BYTES = 64


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
    masks = [(np.add, Keystream(key).fill) for key in plus] + [(np.subtract, Keystream(key).fill) for key in minus]
    result = ring(len(vector)) if out is None else out
    stripes = range(-(-len(vector) // STRIPE_WORDS))
    if threads <= 1 or len(stripes) <= 1:
        _work(vector, result, stripes, masks)
        return result
    with ThreadPoolExecutor(threads) as pool:
        shares = [stripes[len(stripes) * k // threads : len(stripes) * (k + 1) // threads] for k in range(threads)]
        for done in [pool.submit(_work, vector, result, share, masks) for share in shares]:
            done.result()
    return result


def _work(vector: Ring, result: Ring, stripes: range, masks: Sequence[tuple[np.ufunc, Fill]]) -> None:
    """Write some stripes of the result, each mask expanded into the same small buffer."""
    buffer = _aligned(BUFFER_BYTES)
    stream = buffer[:STRIPE_BYTES].view("<u4")
    for stripe in stripes:
        source = vector[stripe * STRIPE_WORDS : (stripe + 1) * STRIPE_WORDS]
        sums = result[stripe * STRIPE_WORDS : (stripe + 1) * STRIPE_WORDS]
        size = len(source)
        words, beginning = stream[:size], place(stripe, buffer[: 4 * size + TAG_BYTES].data)
        for combine, fill in masks:
            fill(*beginning)
            combine(source, words, sums)
            source = sums
        if source is not sums:
            np.copyto(sums, source)


def ring(words: int) -> Ring:
    """Take memory for a vector, uint32, shape (words,), where masks are added fastest: it starts at a cache line."""
    return _aligned(4 * words).view(np.uint32)


def _aligned(size_bytes: int) -> NDArray[np.uint8]:
    """Take memory that starts at a cache line: additions across two lines take half as long again."""
    room = np.empty(size_bytes + _LINE_BYTES, np.uint8)
    start = -room.ctypes.data % _LINE_BYTES
    return room[start : start + size_bytes]
