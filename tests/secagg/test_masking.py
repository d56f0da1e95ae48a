"""Masks: they cancel between two ends, the bits do not depend on threads or paths, any length works."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.crypto import Keystream
from fedgap.crypto.keystream import STRIPE_WORDS
from fedgap.secagg.masking import Ring, masked, ring

KEYS = [bytes([k]) * 32 for k in range(5)]


def _vector(size: int) -> Ring:
    return np.random.default_rng(size).integers(0, 2**32, size, dtype=np.uint32)


@pytest.mark.parametrize("size", [0, 1, STRIPE_WORDS - 1, STRIPE_WORDS, STRIPE_WORDS + 1, 3 * STRIPE_WORDS + 7])
def test_what_one_end_adds_the_other_takes_off(size: int) -> None:
    vector = _vector(size)
    hidden = masked(vector, plus=KEYS[:3], minus=KEYS[3:])
    assert np.array_equal(vector, masked(hidden, plus=KEYS[3:], minus=KEYS[:3]))
    if size > 1:
        assert not np.array_equal(vector, hidden)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 4 * STRIPE_WORDS), st.integers(1, 5))
def test_bits_do_not_depend_on_the_number_of_threads(size: int, threads: int) -> None:
    vector = _vector(size)
    alone = masked(vector, plus=KEYS[:2], minus=KEYS[2:])
    assert np.array_equal(alone, masked(vector, plus=KEYS[:2], minus=KEYS[2:], threads=threads))


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_several_threads_share_several_stripes(threads: int) -> None:
    vector = _vector(3 * STRIPE_WORDS + 1)
    assert np.array_equal(masked(vector, plus=KEYS), masked(vector, plus=KEYS, threads=threads))


def test_a_mask_is_the_stream_as_little_endian_words() -> None:
    size = STRIPE_WORDS + 3
    stream = np.frombuffer(Keystream(KEYS[1]).read(0, 4 * size), dtype="<u4")
    assert np.array_equal(stream, masked(np.zeros(size, np.uint32), plus=[KEYS[1]]))


def test_without_keys_a_copy_comes_back() -> None:
    vector = _vector(10)
    copy = masked(vector, plus=[])
    assert np.array_equal(vector, copy)
    assert copy is not vector


def test_a_vector_can_be_masked_in_its_own_place() -> None:
    vector = _vector(STRIPE_WORDS + 5)
    expected = masked(vector, plus=KEYS[:2], minus=KEYS[2:])
    assert masked(vector, plus=KEYS[:2], minus=KEYS[2:], out=vector) is vector
    assert np.array_equal(expected, vector)


def test_the_argument_is_left_as_it_is() -> None:
    vector = _vector(10)
    before = vector.copy()
    masked(vector, plus=KEYS)
    assert np.array_equal(before, vector)


@pytest.mark.parametrize("words", [1, 17, STRIPE_WORDS + 3])
def test_memory_for_a_vector_starts_at_a_cache_line(words: int) -> None:
    taken = ring(words)
    assert taken.shape == (words,)
    assert taken.dtype == np.uint32
    assert taken.ctypes.data % 64 == 0
    assert taken.flags.writeable


@pytest.mark.parametrize("offset", [0, 1, 5])
def test_where_a_vector_starts_changes_no_bit(offset: int) -> None:
    size = STRIPE_WORDS + 9
    moved = ring(size + offset)[offset:]
    moved[:] = _vector(size)
    assert np.array_equal(
        masked(_vector(size), plus=KEYS[:2], minus=KEYS[2:]), masked(moved, plus=KEYS[:2], minus=KEYS[2:], out=moved)
    )
