"""Shamir's secret sharing over the field of 2**255 - 19: any t of n shares give the secret, t - 1 give nothing.

The secret is the constant term of a polynomial of degree t - 1; the member at seat k holds its value at x = k + 1.
Elements are 32 bytes, little-endian, below the prime. One set of Lagrange coefficients serves every secret that the
same holders share.

Source: Shamir, How to share a secret, CACM 1979.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from fedgap.secagg.errors import BadMessageError

PRIME = 2**255 - 19
ELEMENT_BYTES = 32
WIDE_BYTES = 48
"""Uniform bytes that make one element; the excess over 255 bits keeps the bias below 2**-128."""


def element(wide: bytes) -> bytes:
    """Reduce 48 uniform bytes to a uniform field element."""
    return _write(int.from_bytes(wide, "little") % PRIME)


def split(secret: bytes, *, seats: Sequence[int], t: int, wide: bytes) -> list[bytes]:
    """Share a secret among the members at these seats.

    Args:
        secret: an element, 32 bytes.
        seats: the holders.
        t: how many shares open it.
        wide: 48 (t - 1) secret uniform bytes, used for nothing else.

    Returns:
        one share for each seat, in their order.
    """
    if len(wide) != WIDE_BYTES * (t - 1):
        raise ValueError(f"{t - 1} coefficients need {WIDE_BYTES * (t - 1)} bytes")
    polynomial = [
        int.from_bytes(wide[at : at + WIDE_BYTES], "little") % PRIME for at in range(0, len(wide), WIDE_BYTES)
    ]
    shares, constant = [], _read(secret)
    for seat in seats:
        x, value = seat + 1, 0
        for coefficient in polynomial:
            value = (value + coefficient) * x  # x is small: reducing once at the end costs less than at each step
        shares.append(_write((value + constant) % PRIME))
    return shares


def recover(shares: Mapping[int, bytes]) -> bytes:
    """Open a secret from exactly t shares, keyed by seat. Wrong shares give a wrong secret: check it.

    Raises:
        BadMessageError: a share is not an element.
    """
    seats = tuple(sorted(shares))
    total = sum(factor * _read(shares[seat]) for seat, factor in zip(seats, _at_zero(seats), strict=True))
    return _write(total % PRIME)


def is_element(data: bytes) -> bool:
    """Tell whether these 32 bytes spell a field element."""
    return len(data) == ELEMENT_BYTES and int.from_bytes(data, "little") < PRIME


@lru_cache(maxsize=64)
def _at_zero(seats: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange coefficients at x = 0: the product over the others of x_j / (x_j - x_i)."""
    factors = []
    for mine in seats:
        above, below = 1, 1
        for other in seats:
            if other != mine:
                above = above * (other + 1) % PRIME
                below = below * (other - mine) % PRIME
        factors.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(factors)


def _read(data: bytes) -> int:
    if not is_element(data):
        raise BadMessageError("A share is not a field element.")
    return int.from_bytes(data, "little")


def _write(number: int) -> bytes:
    return number.to_bytes(ELEMENT_BYTES, "little")
