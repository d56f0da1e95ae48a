"""Directions as whole numbers: within their bound for any input, repeatable, and on average what they were."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.crypto import Keystream
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.directions import (
    LARGEST,
    UnusableDirectionError,
    agrees,
    is_spread,
    norm_bound,
    rounded,
    scale_of,
    spread,
    squared,
    step_of,
    unit,
)
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.local import local_federation
from fedgap.secagg.opening import RING, centred, mask_products, plain_credits, product

D = 300
ENCODING = Encoding(parameters=D, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=3)


def drawn(seed: int, d: int = D) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=d)


@settings(max_examples=50)
@given(
    st.integers(0, 1000),
    st.integers(1, 200),
    st.floats(1e-12, 1e12),
    st.floats(1e-6, 1e6),
)
def test_a_rounded_direction_is_within_its_bound_whatever_its_size(
    seed: int, length: int, size: float, scale: float
) -> None:
    try:
        found = rounded(ENCODING, drawn(seed) * size, step=0.5, scale=scale, length=length, round_=1, slot=1)
    except UnusableDirectionError:
        return
    bound = min(2**16 // length, LARGEST)
    assert norm_bound(ENCODING, length) == bound
    assert 0 < squared(found.entries) <= bound * bound
    assert 0 < found.kept <= 1
    assert found.entries.dtype == np.int16


@given(st.integers(1, 300))
def test_a_periods_products_stay_within_2_to_the_30(length: int) -> None:
    """|x| <= 2**A and L directions of at most the bound: P11 of the design notes."""
    assert length * norm_bound(ENCODING, length) * 2**ENCODING.upload_bits <= 2**30


@pytest.mark.parametrize("length", [1, 5, 50])
def test_the_first_direction_of_a_period_uses_half_of_its_bound(length: int) -> None:
    scale = scale_of(ENCODING, drawn(1), step=0.25, length=length)
    found = rounded(ENCODING, drawn(1), step=0.25, scale=scale, length=length, round_=1, slot=1)

    assert found.kept == pytest.approx(1, abs=1e-4)
    assert math.sqrt(squared(found.entries)) == pytest.approx(min(2**16 / length, LARGEST) / 2, rel=0.01)


def test_rounding_is_right_on_average_and_the_same_each_time() -> None:
    vector = np.full(D, 0.25)
    found = [rounded(ENCODING, vector, step=1, scale=1, length=50, round_=k, slot=1).entries for k in range(200)]
    again = rounded(ENCODING, vector, step=1, scale=1, length=50, round_=7, slot=1).entries
    other = rounded(ENCODING, vector, step=1, scale=1, length=50, round_=7, slot=2).entries

    assert np.mean(found) == pytest.approx(0.25, abs=0.01)
    assert (again == found[7]).all()
    assert not (other == again).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_direction_that_is_not_finite_is_unusable(value: float) -> None:
    vector = drawn(1)
    vector[5] = value
    with pytest.raises(UnusableDirectionError):
        rounded(ENCODING, vector, step=1, scale=1, length=1, round_=1, slot=1)
    with pytest.raises(UnusableDirectionError):
        scale_of(ENCODING, vector, step=1, length=1)


def test_a_direction_of_zeros_or_of_another_length_is_unusable() -> None:
    with pytest.raises(UnusableDirectionError):
        scale_of(ENCODING, np.zeros(D), step=1, length=1)
    with pytest.raises(UnusableDirectionError):
        rounded(ENCODING, np.zeros(D), step=1, scale=1, length=1, round_=1, slot=1)
    with pytest.raises(UnusableDirectionError):
        rounded(ENCODING, drawn(1, D + 1), step=1, scale=1, length=1, round_=1, slot=1)


def test_rounding_that_pushes_the_norm_over_the_bound_is_done_again_smaller() -> None:
    """A million numbers near zero: rounding alone makes their norm larger than the bound."""
    d = 200_000
    encoding = replace(ENCODING, parameters=d)
    vector = drawn(1, d)
    scale = 0.99 * norm_bound(encoding, 200) / np.linalg.norm(vector)
    found = rounded(encoding, vector, step=1, scale=float(scale), length=200, round_=1, slot=1)

    assert found.kept < 0.99
    assert squared(found.entries) <= norm_bound(encoding, 200) ** 2


def test_spread_counts_coordinates() -> None:
    ones = np.zeros(D)
    ones[:7] = -2.0

    assert spread(ones) == pytest.approx(7)
    assert spread(np.ones(D, np.int16)) == pytest.approx(D)
    assert spread(np.zeros(D)) == spread(np.full(D, np.nan)) == 0
    assert is_spread(ones)
    assert not is_spread(np.eye(1, D)[0])
    assert is_spread(np.concatenate([np.ones(4), np.zeros(96)]))
    assert not is_spread(np.concatenate([np.ones(9), np.zeros(491)]))


def test_a_recomputed_direction_may_differ_a_little_and_no_more() -> None:
    honest = rounded(ENCODING, drawn(1), step=1, scale=30, length=50, round_=1, slot=1).entries
    near = rounded(ENCODING, drawn(1) * (1 + 1e-7), step=1, scale=30, length=50, round_=1, slot=1).entries
    longer = rounded(ENCODING, drawn(1), step=1, scale=32, length=50, round_=1, slot=1).entries
    tilted = rounded(ENCODING, drawn(1) + 0.3 * drawn(2), step=1, scale=30, length=50, round_=1, slot=1).entries

    assert agrees(honest, near)
    assert not agrees(longer, honest)
    assert not agrees(tilted, honest)
    assert not agrees(-honest, honest)
    assert not agrees(honest[1:], honest)


def test_the_unit_is_exact_and_the_step_is_the_clip_over_the_survivors_weights() -> None:
    assert unit(ENCODING, 0.375) * 3 * ENCODING.amplitude == 8
    orgs = {OrgId(f"org-{k}"): 10 * (k + 1) for k in range(4)}
    manifest = local_federation(FederationId("test"), orgs, ENCODING, seed=1).manifest
    assert step_of(manifest, {1, 3}, clip=3.0) == pytest.approx(3 / 1.5)


@given(st.integers(0, 100), st.integers(1, 200_000))
@settings(max_examples=10)
def test_products_are_those_of_the_written_masks_in_the_ring(seed: int, d: int) -> None:
    """Stripe by stripe and whole are the same (P10)."""
    draw = np.random.default_rng(seed)
    directions = [draw.integers(-300, 300, d).astype(np.int16) for _ in range(2)]
    key = draw.bytes(32)
    mask = np.frombuffer(Keystream(key).read(0, 4 * d), "<u4")
    expected = [int(np.dot(q.astype(object), mask.astype(object))) % RING for q in directions[:1]] if d < 2000 else []
    found = mask_products(directions, [key, key])

    assert found[0] == found[1] == [product(q, mask) for q in directions]
    assert found[0][:1] == expected or d >= 2000
    assert product(directions[0], np.concatenate([mask, np.full(7, 2**31, np.uint32)])) == found[0][0]


@given(st.integers(-(2**40), 2**40))
def test_centred_numbers_stand_for_their_ring_element(number: int) -> None:
    assert -(2**31) <= centred(number) < 2**31
    assert (centred(number) - number) % RING == 0


def test_plain_credits_are_inner_products() -> None:
    q = np.asarray([1, -2, 3], np.int16)
    x = np.asarray([5, 2**32 - 7, 1], np.uint32)
    assert plain_credits([([q], {2: x}), ([q], {2: x, 0: x})]) == {0: [22], 2: [44]}
