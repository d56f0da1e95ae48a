"""Public randomness without state: every draw is a function of what it is for.

Row orders, splits, dropout masks and starting weights are drawn from a 64-bit counter hash keyed by (study seed,
purpose, round, organisation name, ...). Whoever knows the names computes the same numbers, on any machine and in any
order, knowing nobody else. It hides nothing: secrets never come from here.

`word(key, i) = mix(key + (i + 1) * golden)`, the SplitMix64 generator of Steele, Lea, Flood (OOPSLA 2014) read at an
arbitrary position; `key` is the first 8 bytes of SHA-256 over the length-prefixed parts.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LAST = np.uint64(2**64 - 1)


def key(*parts: str | int) -> int:
    """Hash the parts that say what a draw is for into a 64-bit key.

    Args:
        parts: for instance `(seed, "order", round, organisation, epoch)`; text and integers stay apart ("1" is not 1).

    Returns:
        0 <= key < 2**64.
    """
    return int.from_bytes(hashlib.sha256(b"".join(map(_framed, parts))).digest()[:8], "big")


def keys(prefix: Sequence[str | int], lasts: Iterable[str | int]) -> list[int]:
    """Hash many lists of parts that differ in their last one: `key(*prefix, last)` for each."""
    common = b"".join(map(_framed, prefix))
    return [int.from_bytes(hashlib.sha256(common + _framed(last)).digest()[:8], "big") for last in lasts]


def keys_of(firsts: Iterable[str | int], *rest: str | int) -> list[int]:
    """Hash many lists of parts that differ in their first one: `key(first, *rest)` for each."""
    common = b"".join(map(_framed, rest))
    return [int.from_bytes(hashlib.sha256(_framed(first) + common).digest()[:8], "big") for first in firsts]


def words(key: int, count: int, start: int = 0) -> NDArray[np.uint64]:
    """Draw `count` words, beginning at position `start` of the key's stream.

    Returns:
        uint64, shape (count,); uniform on 0 .. 2**64 - 1.
    """
    return _mixed(np.uint64(key), count, start)


def words_of(keys: Sequence[int], count: int) -> NDArray[np.uint64]:
    """Draw the first `count` words of each key, all at once.

    Returns:
        uint64, shape (k, count); line i is `words(keys[i], count)`.
    """
    return _mixed(np.array(keys, dtype=np.uint64)[:, None], count, 0)


def uniform(key: int, count: int, start: int = 0) -> NDArray[np.float64]:
    """Draw `count` numbers uniform on [0, 1): the top 53 bits of each word.

    Returns:
        float64, shape (count,).
    """
    return _unit(words(key, count, start))


def uniform_of(keys: Sequence[int], count: int) -> NDArray[np.float64]:
    """Draw the first `count` numbers of each key, float64, shape (k, count); line i is `uniform(keys[i], count)`."""
    return _unit(words_of(keys, count))


def permutation(key: int, count: int) -> NDArray[np.int64]:
    """Draw an order of `count` things: their positions sorted by their word.

    Returns:
        int64, shape (count,); each of 0 .. count - 1 once.
    """
    return np.argsort(words(key, count), kind="stable").astype(np.int64)


def permutations(keys: Sequence[int], count: int) -> NDArray[np.int64]:
    """Draw an order of `count` things for each key, all at once.

    Returns:
        int64, shape (k, count); line i is `permutation(keys[i], count)`. The words of one key all differ (the mixing
        is a bijection of the position), so any way of sorting gives the same order.
    """
    return np.argsort(words_of(keys, count), axis=1).astype(np.int64, copy=False)


def permutations_of(keys: Sequence[int], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw an order for each key, of as many things as it has.

    Args:
        keys: k of them.
        counts: how many things each key orders, shape (k,).

    Returns:
        int64, shape (k, max(counts)); line i begins with `permutation(keys[i], counts[i])`, and what follows means
        nothing.
    """
    longest = int(counts.max(initial=0))
    drawn = words_of(keys, longest)
    if (counts < longest).any():
        drawn[np.arange(longest) >= counts[:, None]] = _LAST
    return np.argsort(drawn, axis=1).astype(np.int64, copy=False)


def _framed(part: str | int) -> bytes:
    """Kind, length and text of a part."""
    body = str(part).encode()
    return (b"s" if isinstance(part, str) else b"i") + len(body).to_bytes(8, "big") + body


def _mixed(key: NDArray[np.uint64] | np.uint64, count: int, start: int) -> NDArray[np.uint64]:
    """SplitMix64 at positions start + 1 .. start + count of each key's stream."""
    position = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        position *= _GOLDEN
        z = np.asarray(key + position)
        shifted = z >> np.uint64(30)
        z ^= shifted
        z *= _MIX_1
        z ^= np.right_shift(z, np.uint64(27), out=shifted)
        z *= _MIX_2
        z ^= np.right_shift(z, np.uint64(31), out=shifted)
        return z


def _unit(drawn: NDArray[np.uint64]) -> NDArray[np.float64]:
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53
