"""Secret sharing: any t shares open the secret; t - 1 shares fit every secret."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.crypto import seeded
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.shamir import PRIME, WIDE_BYTES, element, is_element, recover, split


def _read(data: bytes) -> int:
    return int.from_bytes(data, "little")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.integers(0), st.data())
def test_any_t_shares_open_the_secret(sizes: tuple[int, int], seed: int, data: st.DataObject) -> None:
    n, t = sizes
    rand = seeded("shamir", seed % 2**60)
    secret = element(rand(WIDE_BYTES))
    seats = data.draw(st.lists(st.integers(0, 4095), min_size=n, max_size=n, unique=True))
    shares = dict(zip(seats, split(secret, seats=seats, t=t, wide=rand(WIDE_BYTES * (t - 1))), strict=True))
    holders = data.draw(st.permutations(seats))[:t]
    assert recover({seat: shares[seat] for seat in holders}) == secret


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, PRIME - 1), st.integers(0, 2**60))
def test_fewer_shares_fit_every_secret(t: int, other: int, seed: int) -> None:
    """For t - 1 shares and any secret at all there is exactly one polynomial: they say nothing about the secret."""
    rand = seeded("hiding", seed)
    seats = list(range(t - 1))
    shares = split(element(rand(WIDE_BYTES)), seats=seats, t=t, wide=rand(WIDE_BYTES * (t - 1)))
    known = {-1: other.to_bytes(32, "little"), **dict(zip(seats, shares, strict=True))}  # seat -1 is x = 0
    values = {seat + 1: _read(share) for seat, share in known.items()}
    polynomial = [0] * t
    for x, y in values.items():  # interpolate all t coefficients
        basis, scale = [1], 1
        for root in values:
            if root != x:
                basis = [(a - root * b) % PRIME for a, b in zip([0, *basis], [*basis, 0], strict=True)]
                scale = scale * (x - root) % PRIME
        factor = y * pow(scale, -1, PRIME)
        polynomial = [(a + factor * b) % PRIME for a, b in zip(polynomial, basis, strict=True)]
    wide = b"".join(c.to_bytes(WIDE_BYTES, "little") for c in reversed(polynomial[1:]))
    assert split(other.to_bytes(32, "little"), seats=seats, t=t, wide=wide) == shares


def test_a_wrong_share_gives_another_secret() -> None:
    rand = seeded("wrong")
    secret = element(rand(WIDE_BYTES))
    shares = dict(enumerate(split(secret, seats=range(5), t=3, wide=rand(2 * WIDE_BYTES))))
    assert recover({0: shares[0], 1: shares[2], 2: shares[1]}) != secret


@pytest.mark.parametrize("wrong", [PRIME.to_bytes(32, "little"), b"\xff" * 32, bytes(31), bytes(33)])
def test_what_is_no_field_element_is_refused(wrong: bytes) -> None:
    assert not is_element(wrong)
    with pytest.raises(BadMessageError):
        recover({0: wrong})


def test_too_few_random_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="coefficients"):
        split(bytes(32), seats=range(3), t=3, wide=bytes(WIDE_BYTES))


def test_elements_are_below_the_prime() -> None:
    assert is_element(element(b"\xff" * WIDE_BYTES))
    assert _read(element((PRIME + 7).to_bytes(WIDE_BYTES, "little"))) == 7
