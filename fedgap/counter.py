"""Public randomness without state: every draw is a function of what it is for.

Row orders, splits, dropout masks and starting weights are drawn from a 64-bit counter hash keyed by (study seed,
purpose, round, organisation name, ...). Whoever knows the names computes the same numbers, on any machine and in any
order, knowing nobody else. It hides nothing: secrets never come from here.

`word(key, i) = mix(key + (i + 1) * golden)`, the SplitMix64 generator of Steele, Lea, Flood (OOPSLA 2014) read at an
arbitrary position; `key` is the first 8 bytes of SHA-256 over the length-prefixed parts.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key(*parts: str | int) -> int:
    """Hash the parts that say what a draw is for into a 64-bit key.

    Args:
        parts: for instance `(seed, "order", round, organisation, epoch)`; text and integers stay apart ("1" is not 1).

    Returns:
        0 <= key < 2**64.
    """
    digest = hashlib.sha256()
    for part in parts:
        body = str(part).encode()
        kind = b"s" if isinstance(part, str) else b"i"
        digest.update(kind + len(body).to_bytes(8, "big") + body)
    return int.from_bytes(digest.digest()[:8], "big")


def words(key: int, count: int, start: int = 0) -> NDArray[np.uint64]:
    """Draw `count` words, beginning at position `start` of the key's stream.

    Returns:
        uint64, shape (count,); uniform on 0 .. 2**64 - 1.
    """
    position = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(key) + position * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def uniform(key: int, count: int, start: int = 0) -> NDArray[np.float64]:
    """Draw `count` numbers uniform on [0, 1): the top 53 bits of each word.

    Returns:
        float64, shape (count,).
    """
    return (words(key, count, start) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: int, count: int) -> NDArray[np.int64]:
    """Draw an order of `count` things: their positions sorted by their word.

    Returns:
        int64, shape (count,); each of 0 .. count - 1 once.
    """
    return np.argsort(words(key, count), kind="stable").astype(np.int64)
