"""Directions as whole numbers, small enough that a period's inner products with uploads can never wrap.

    v  unrounded direction: utility for each unit of the round's mean update, float64, shape (d,)
    C  clip norm of the round        P  summed weight shares of its survivors        S  amplitude of uploads
    A, Q  bits of uploads and of directions        L  rounds in a period

    q = round(g C v / P),   |q| <= B = min(2**Q / L, 2**15 - 1),   g = (B / 2) / |C v / P| of the period's first

With |x| <= 2**A and A + Q <= 30 the sum over a period of <q, x> stays within 2**30, and no later direction need be
known. A larger direction is scaled down, and the part that is kept is reported. Rounding up or down is drawn from the
public counter hash: everybody can repeat it, and its error is right on average. One unit of utility is g S.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.errors import SecaggError
from fedgap.secagg.manifest import Manifest

Whole: TypeAlias = NDArray[np.int16]
Unrounded: TypeAlias = NDArray[np.float64]

LARGEST = 2**15 - 1
SHRINK = 0.95
"""Rounding can push a norm over its bound; the direction is then made this much smaller and rounded again."""
LEAST_COSINE = 0.98
NORM_TOLERANCE = 0.05
LEAST_SPREAD = 4
SPREAD_SHARE = 50
_LANES = 4
_STRIPE = 2**17


class UnusableDirectionError(SecaggError):
    """A direction cannot be opened; its round is left out and credited by weight."""

    code = "secagg.unusable-direction"
    remedy = "Nothing needs to be done; if it happens in many rounds, use more validation rows."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """A direction of one round and opening, ready to be committed to.

    Attributes:
        entries: q, int16, shape (d,).
        kept: the part of the direction that fits the bound; 1 unless it was scaled down.
    """

    entries: Whole = field(repr=False)
    kept: float


def step_of(manifest: Manifest, seats: Iterable[int], *, clip: float) -> float:
    """C / P: what a round's survivors add to the mean update with an upload of norm S."""
    return clip / math.fsum(manifest.shares(seats))


def norm_bound(encoding: Encoding, length: int) -> int:
    """The largest norm of a rounded direction in a period of so many rounds."""
    return min((1 << encoding.direction_bits) // length, LARGEST)


def scale_of(encoding: Encoding, first: Unrounded, *, step: float, length: int) -> float:
    """Compute g from the first direction of a period; it is announced with that direction and never changes in it.

    Raises:
        UnusableDirectionError: the direction is zero or not finite.
    """
    norm = _norm(first) * step
    scale = norm_bound(encoding, length) / (2 * norm) if norm > 0 else math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise UnusableDirectionError("The direction is zero, or its norm is not a number that can be used.")
    return scale


def rounded(
    encoding: Encoding, direction: Unrounded, *, step: float, scale: float, length: int, round_: int, slot: int
) -> Direction:
    """Scale and round a direction; whoever has the same numbers gets the same bits.

    Args:
        encoding: from the manifest.
        direction: v, float64, shape (parameters,).
        step: C / P of the round, see `step_of`.
        scale: g of the period.
        length: L.
        round_: number of the round; the public rounding is drawn for it
        slot: and for this opening.

    Raises:
        UnusableDirectionError: a number is not finite, or nothing of the direction is left after rounding.
    """
    norm = _norm(direction)
    bound = norm_bound(encoding, length)
    wanted = norm * step * scale
    if direction.shape != (encoding.parameters,) or not math.isfinite(wanted):
        raise UnusableDirectionError("The direction has another length than the model, or is not finite.")
    kept = min(1.0, bound / wanted) if wanted > 0 else 1.0
    key = counter.key(encoding.seed, "direction-rounding", round_, slot)
    while True:
        entries = _round(direction, kept * step * scale, key)
        size = squared(entries)
        if size <= bound * bound:
            break
        kept *= SHRINK
    if size == 0:
        raise UnusableDirectionError("Nothing of the direction is left after rounding.")
    return Direction(entries=entries, kept=kept)


def unit(encoding: Encoding, scale: float) -> Fraction:
    """What one count of an opened number is worth in utility units: 1 / (g S), exactly."""
    return 1 / (Fraction(scale) * encoding.amplitude)


def squared(entries: Whole) -> int:
    """Square of the norm, exactly."""
    total = 0
    for at in range(0, len(entries), _STRIPE):
        stripe = entries[at : at + _STRIPE].astype(np.float64)  # 2**17 squares below 2**30: float64 is exact
        total += int(np.einsum("i,i->", stripe, stripe))
    return total


def spread(direction: Unrounded | Whole) -> float:
    """How many coordinates a direction effectively has: (sum v**2)**2 / sum v**4; 0 if it is zero or not finite."""
    largest = float(np.max(np.abs(direction.astype(np.float64)), initial=0.0))
    if not math.isfinite(largest) or largest == 0:
        return 0.0
    second, fourth = 0.0, 0.0
    for at in range(0, len(direction), _STRIPE):
        squares = (direction[at : at + _STRIPE].astype(np.float64) / largest) ** 2
        second += float(np.einsum("i->", squares))
        fourth += float(np.einsum("i,i->", squares, squares))
    return second * second / fourth


def is_spread(direction: Unrounded | Whole) -> bool:
    """Tell whether a direction is spread over enough coordinates not to single out a few."""
    return spread(direction) >= max(LEAST_SPREAD, len(direction) / SPREAD_SHARE)


def agrees(entries: Whole, again: Whole) -> bool:
    """Tell whether a revealed direction is the recomputed one: cosine at least 0.98, norm within 5 %.

    Machines differ in the last bits of a gradient, so some coordinates are rounded the other way.
    """
    if entries.shape != again.shape:
        return False
    product = 0
    for at in range(0, len(entries), _STRIPE):
        stripe = slice(at, at + _STRIPE)
        product += int(np.einsum("i,i->", entries[stripe].astype(np.int64), again[stripe].astype(np.int64)))
    ours, theirs = math.sqrt(squared(again)), math.sqrt(squared(entries))
    return product >= LEAST_COSINE * ours * theirs and abs(theirs - ours) <= NORM_TOLERANCE * ours


def _round(direction: Unrounded, factor: float, key: int) -> Whole:
    """Floor of the scaled numbers plus a public draw in (0, 1): 16 bits for each coordinate."""
    entries = np.empty(len(direction), np.int16)
    for at in range(0, len(direction), _STRIPE):
        stripe = direction[at : at + _STRIPE]
        draws = counter.words(key, -(-len(stripe) // _LANES), at // _LANES).astype("<u8", copy=False).view("<u2")
        dither = (draws[: len(stripe)].astype(np.float64) + 0.5) * 2.0**-16
        entries[at : at + _STRIPE] = np.clip(np.floor(stripe * factor + dither), -LARGEST, LARGEST)
    return entries


def _norm(direction: Unrounded) -> float:
    """L2 norm without BLAS and its threads; infinite where it overflows, NaN where a number is."""
    largest = float(np.max(np.abs(direction), initial=0.0))
    if not math.isfinite(largest) or largest == 0:
        return largest
    squares = 0.0
    for at in range(0, len(direction), _STRIPE):
        stripe = direction[at : at + _STRIPE] / largest
        squares += float(np.einsum("i,i->", stripe, stripe))
    return largest * math.sqrt(squares)
