"""Inner products in the ring: of a direction with a vector somebody holds, or with masks that are never written out.

    q  direction, int16        r_ij  <q, mask of the edge> mod 2**32        c_i  <q, own encoded update> mod 2**32

A mask is expanded stripe by stripe in cache, for many masks and one stripe of the direction at a time, so memory does
not grow with their number.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fedgap.crypto import Keystream
from fedgap.crypto.keystream import BUFFER_BYTES, STRIPE_WORDS, TAG_BYTES, place
from fedgap.secagg.directions import Whole
from fedgap.secagg.masking import Ring

RING = 2**32


def product(direction: Whole, vector: Ring) -> int:
    """<q, x> mod 2**32 over the first d words of a vector: what lies behind the parameters is not looked at."""
    total = 0
    for at in range(0, len(direction), STRIPE_WORDS):
        words = _words(direction, at)
        total += int(np.einsum("i,i->", words, vector[at : at + len(words)]))
    return total % RING


def mask_products(directions: Sequence[Whole], keys: Sequence[bytes]) -> list[list[int]]:
    """<q, mask> mod 2**32 for every mask key, and for every direction of the round.

    Returns:
        for each key, one number for each direction.
    """
    streams = [Keystream(key) for key in keys]
    totals = [[0] * len(directions) for _ in keys]
    buffer = memoryview(bytearray(BUFFER_BYTES))
    mask = np.frombuffer(buffer, dtype="<u4", count=STRIPE_WORDS)
    for stripe, at in enumerate(range(0, len(directions[0]), STRIPE_WORDS)):
        words = [_words(direction, at) for direction in directions]
        size = len(words[0])
        beginning = place(stripe, buffer[: 4 * size + TAG_BYTES])
        for total, stream in zip(totals, streams, strict=True):
            stream.fill(*beginning)
            for slot, wanted in enumerate(words):
                total[slot] += int(np.einsum("i,i->", wanted, mask[:size]))
    return [[number % RING for number in total] for total in totals]


def centred(number: int) -> int:
    """The number between -2**31 and 2**31 - 1 that a ring element stands for."""
    number %= RING
    return number - RING if number >= RING // 2 else number


def plain_credits(rounds: Iterable[tuple[Sequence[Whole], Mapping[int, Ring]]]) -> dict[int, list[int]]:
    """Compute without messages what settlement opens, bit for bit: for `--protocol sum` and as its oracle.

    Args:
        rounds: for each opened round its directions, and the encoded vector of every member at its seat.

    Returns:
        c of every member, for each opening, centred.
    """
    credits_: dict[int, list[int]] = {}
    for directions, vectors in rounds:
        for seat, vector in vectors.items():
            totals = credits_.setdefault(seat, [0] * len(directions))
            for slot, direction in enumerate(directions):
                totals[slot] += product(direction, vector)
    return {seat: [centred(total) for total in totals] for seat, totals in sorted(credits_.items())}


def _words(direction: Whole, at: int) -> Ring:
    """One stripe of a direction as ring elements."""
    return direction[at : at + STRIPE_WORDS].astype(np.int32).view(np.uint32)
