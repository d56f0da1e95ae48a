"""Canonical bytes: one spelling for each value, and only values that were spelt are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import BadBytesError, Value, decode, digest, encode, statement

scalars = (
    st.binary(max_size=40)
    | st.text(max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


@given(values)
def test_what_is_written_is_read(value: Value) -> None:
    assert value == decode(encode(value))


@given(values, values)
def test_two_values_never_share_their_bytes(one: Value, other: Value) -> None:
    same = repr(one) == repr(other)  # 1 and 1.0 are equal in Python and different here
    assert same == (encode(one) == encode(other))


@given(st.binary(max_size=60))
def test_bytes_that_are_read_have_no_second_spelling(data: bytes) -> None:
    try:
        value = decode(data)
    except BadBytesError:
        return
    assert data == encode(value)


@given(values, st.data())
def test_shortened_or_lengthened_bytes_are_refused(value: Value, data: st.DataObject) -> None:
    written = encode(value)
    cut = data.draw(st.integers(0, len(written) - 1))
    for wrong in (written[:cut], written + b"\0"):
        with pytest.raises(BadBytesError):
            decode(wrong)


@pytest.mark.parametrize(
    "data",
    [
        b"f" + bytes.fromhex("8000000000000000"),  # negative zero
        b"f" + bytes.fromhex("7ff0000000000000"),  # infinity
        b"f" + bytes.fromhex("7ff8000000000000"),  # not a number
        b"s\0\0\0\1\xff",  # not UTF-8
        b"l\xff\xff\xff\xff",  # more values than bytes
        b"b\xff\xff\xff\xff",  # longer than what is there
        b"x\0\0\0\0",  # no such tag
        b"l\0\0\0\1" * 20 + b"l\0\0\0\0",  # nested too deep
        b"",
    ],
)
def test_what_encode_would_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(BadBytesError):
        decode(data)


@pytest.mark.parametrize("number", [math.nan, math.inf, 2**63, -(2**63) - 1])
def test_numbers_without_a_spelling_are_refused(number: float) -> None:
    for write in (encode, lambda value: statement("label", value)):
        with pytest.raises(BadBytesError):
            write(number)


@pytest.mark.parametrize("thing", [True, None, {"a": 1}, [False]])
def test_other_things_have_no_bytes(thing: object) -> None:
    with pytest.raises(TypeError):
        encode(thing)  # type: ignore[arg-type]  # that is the point


def test_negative_zero_is_written_as_zero() -> None:
    assert encode(0.0) == encode(-0.0)


def test_labels_and_field_borders_keep_hashes_apart() -> None:
    hashes = {digest("a", b"bc"), digest("ab", b"c"), digest("a", b"b", b"c"), digest("a", "bc"), digest("a", (b"bc",))}
    assert len(hashes) == 5


@given(st.text(max_size=20), st.lists(values, max_size=4))
def test_a_statement_is_the_list_of_its_label_and_values(label: str, said: list[Value]) -> None:
    assert statement(label, *said) == encode((f"fedgap/1/{label}", *said))


def test_every_statement_names_the_protocol() -> None:
    assert decode(statement("advert", 7)) == ("fedgap/1/advert", 7)
