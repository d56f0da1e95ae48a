"""The mask stream: the same bits on both paths, at any place, in any order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.crypto import Keystream
from fedgap.crypto.keystream import BUFFER_BYTES, STRIPE_BYTES, TAG_BYTES, fastest, place

KEY = bytes(range(32))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096, STRIPE_BYTES - 1, STRIPE_BYTES])
@pytest.mark.parametrize("stripe", [0, 1, 2**32, 2**96 - 1])
def test_both_paths_give_the_same_bits(stripe: int, size: int) -> None:
    streams = []
    for path in ("ctr", "gcm"):
        buffer = memoryview(bytearray(BUFFER_BYTES))
        Keystream(KEY, path).fill(*place(stripe, buffer[: size + TAG_BYTES]))
        streams.append(bytes(buffer[:size]))
    assert streams[0] == streams[1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2 * STRIPE_BYTES), st.integers(0, STRIPE_BYTES + 100))
def test_any_part_is_the_part_of_the_whole(start: int, size: int) -> None:
    stream = Keystream(KEY)
    whole = stream.read(0, 3 * STRIPE_BYTES + 200)
    assert whole[start : start + size] == stream.read(start, size)


def test_stripes_and_keys_have_streams_of_their_own() -> None:
    first = Keystream(KEY).read(0, 64)
    assert first != Keystream(KEY).read(STRIPE_BYTES, 64)
    assert first != Keystream(KEY[::-1]).read(0, 64)


def test_the_chosen_path_is_one_of_the_two() -> None:
    assert fastest() in {"ctr", "gcm"}
