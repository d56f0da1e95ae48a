"""Canonical bytes: one spelling for each value, and only values that were spelt are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import BadBytesError, Pieces, Value, decode, digest, digester, encode, statement
from fedgap.crypto.canonical import first_text, start_of_second

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
        "fb8000000000000000",  # negative zero
        "fb7ff0000000000000",  # infinity
        "fb7ff8000000000000",  # not a number
        "fb3ff00000000000",  # a number that ends early
        "61ff",  # not UTF-8
        "9bffffffffffffffff",  # more values than bytes
        "5bffffffffffffffff",  # longer than what is there
        "81" * 20 + "80",  # nested too deep
        "1817",  # 23 with a byte of its own
        "1900ff",  # 255 in two bytes
        "1a0000ffff",  # 65535 in four
        "1b00000000ffffffff",  # 2**32 - 1 in eight
        "581f" + "00" * 30,  # ends early
        "580100",  # one byte, its length in a byte of its own
        "1b8000000000000000",  # 2**63
        "3b8000000000000000",  # -2**63 - 1
        "19ff",  # a count that ends early
        "1c",  # a width that does not exist
        "5f4100ff",  # bytes of unknown length
        "a0",  # a map
        "c000",  # a tag
        "f4",  # false
        "f90000",  # a short number
        "",
    ],
)
def test_what_encode_would_not_write_is_refused(data: str) -> None:
    with pytest.raises(BadBytesError):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (2**63 - 1, "1b7fffffffffffffff"),
        (-1, "20"),
        (-1000, "3903e7"),
        (-(2**63), "3b7fffffffffffffff"),
        (1.1, "fb3ff199999999999a"),
        (b"", "40"),
        (b"\1\2\3\4", "4401020304"),
        (bytes(256), "590100" + "00" * 256),
        ("", "60"),
        ("IETF", "6449455446"),
        ("\u6c34", "63e6b0b4"),
        ((), "80"),
        ((1, (2, 3), (4, 5)), "8301820203820405"),
        (tuple(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ],
)
def test_values_are_spelt_as_in_the_examples_of_rfc_8949(value: Value, spelt: str) -> None:
    """Appendix A, with some lengths and borders more; numbers are always binary64 here."""
    assert encode(value).hex() == spelt
    assert decode(bytes.fromhex(spelt)) == value


def test_a_vector_of_any_length_can_be_spelt() -> None:
    long = bytes(2**16)
    assert encode(long)[:5].hex() == "5a00010000"
    assert decode(encode((long, "end"))) == (long, "end")


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


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_bytes_in_pieces_are_written_and_hashed_as_the_bytes_together(parts: list[bytes]) -> None:
    pieces = Pieces(tuple(memoryview(part) for part in parts))

    assert encode(("x", b"".join(parts))) == encode(("x", pieces))
    assert digest("x", b"".join(parts), 1) == digest("x", pieces, 1)


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_the_text_of_a_message_within_a_message_is_found(rest: bytes, outer: str, inner: str) -> None:
    """Whatever the lengths are, and so however long their heads."""
    data = encode((outer, encode((inner, rest)), rest))

    assert first_text(data, at=start_of_second(data)) == inner


@pytest.mark.parametrize("value", ["a text", ("a text",), ("a text", "another"), (b"bytes", b"bytes"), ()])
def test_a_message_without_another_in_it_is_refused(value: Value) -> None:
    with pytest.raises(BadBytesError):
        start_of_second(encode(value))


def test_a_message_that_ends_early_has_none_in_it() -> None:
    data = encode(("a text", bytes(300)))
    for end in range(data.index(bytes(300))):
        with pytest.raises(BadBytesError):
            start_of_second(data[:end])


@given(st.binary(max_size=300), st.text(max_size=20))
def test_contents_are_hashed_alike_by_what_is_built_for_their_length(content: bytes, label: str) -> None:
    assert digest(label, content) == digester(label, len(content))(content)


def test_a_content_of_another_length_has_a_hash_that_nothing_else_has() -> None:
    of_four = digester("purpose", 4)
    assert of_four(b"five5") not in {digest("purpose", b"five5"), digest("purpose", b"five"), of_four(b"five")}
