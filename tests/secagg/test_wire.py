"""Messages as bytes: every message round-trips, and only its own spelling is read."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.crypto import encode
from fedgap.ids import OrgId
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.messages import ROW_BYTES, SLIP_BYTES, Agree, Outcome, Relay, RelayEntry, Shares, Unmask, Voice
from fedgap.secagg.transcript import Plan, Survivor
from fedgap.secagg.wire import Between, Count, Exactly, Hash, Positive, kind_of, pack, unpack

hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)
seats = st.integers(0, 4095)
rows = st.binary(min_size=ROW_BYTES, max_size=ROW_BYTES)
plans = st.builds(
    Plan,
    manifest=hashes,
    round=st.integers(0, 2**40),
    attempt=st.integers(0, 2**40),
    state=hashes,
    clip=st.floats(1e-9, 1e9),
    training=hashes,
)
survivors = st.builds(Survivor, seat=seats, root=hashes, signature=signatures)
voices = st.builds(Voice, seat=seats, signature=signatures)
messages = st.one_of(
    st.builds(Agree, seat=seats, signature=signatures),
    st.builds(Unmask, seat=seats, shares=st.binary(max_size=96), signature=signatures),
    st.builds(
        Shares,
        seat=seats,
        rows=st.lists(rows, max_size=3).map(tuple),
        signatures=st.binary(max_size=192),
    ),
    st.builds(
        Relay,
        sid=hashes,
        recipient=seats,
        position=seats,
        count=seats,
        t1=hashes,
        dealt=hashes,
        path=st.lists(hashes, max_size=3).map(tuple),
        entries=st.lists(
            st.builds(
                RelayEntry,
                seat=seats,
                signature=signatures,
                slip=st.binary(min_size=SLIP_BYTES, max_size=SLIP_BYTES),
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(
        Outcome,
        plan=plans,
        t2=hashes,
        survivors=st.lists(survivors, max_size=3).map(tuple),
        voices=st.lists(voices, max_size=3).map(tuple),
        total=st.binary(max_size=40),
        signature=signatures,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One field of every sort."""

    KIND: ClassVar[str] = "sample/1"

    org: OrgId
    flag: bool
    small: Annotated[int, Between(0, 9)]
    digest: Annotated[bytes, Exactly(2)]
    maybe: Count | None
    size: Positive


SAMPLE = Sample(org=OrgId("a"), flag=True, small=3, digest=b"ab", maybe=None, size=1.5)


@settings(deadline=None)
@given(messages)
def test_every_message_is_read_as_it_was_written(message: Agree | Unmask | Shares | Relay | Outcome) -> None:
    assert unpack(type(message), pack(message)) == message
    assert kind_of(pack(message)) == f"fedgap/1/{message.KIND}"


@settings(deadline=None)
@given(messages, st.data())
def test_shortened_lengthened_or_other_kinds_are_refused(message: Agree | Relay | Outcome, data: st.DataObject) -> None:
    packed = pack(message)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for wrong in (packed[:cut], packed + b"\0", pack(SAMPLE)):
        with pytest.raises(BadMessageError):
            unpack(type(message), wrong)


def test_every_sort_of_field_round_trips() -> None:
    assert unpack(Sample, pack(SAMPLE)) == SAMPLE
    full = Sample(org=OrgId("b"), flag=False, small=0, digest=b"xy", maybe=7, size=5e-324)
    assert unpack(Sample, pack(full)) == full


FIELDS = ("a", 1, 3, b"ab", (), 1.5)


@pytest.mark.parametrize(
    ("position", "wrong"),
    [
        (0, b"a"),
        (1, 2),
        (1, 1.0),
        (2, 10),
        (2, -1),
        (2, 3.0),
        (3, b"abc"),
        (3, "ab"),
        (4, (1, 2)),
        (4, 1),
        (4, ("x",)),
        (5, 0.0),
        (5, 1),
    ],
)
def test_a_field_of_a_wrong_type_size_or_range_is_refused(
    position: int, wrong: bytes | str | float | tuple[int]
) -> None:
    fields = [*FIELDS[:position], wrong, *FIELDS[position + 1 :]]
    assert pack(SAMPLE) == encode(("fedgap/1/sample/1", *FIELDS))
    with pytest.raises(BadMessageError):
        unpack(Sample, encode(("fedgap/1/sample/1", *fields)))


@pytest.mark.parametrize("value", [("fedgap/1/sample/1", *FIELDS, 0), ("fedgap/1/sample/1",), (), "text", 7])
def test_a_wrong_number_of_fields_is_refused(value: tuple[str, ...] | str | int) -> None:
    with pytest.raises(BadMessageError):
        unpack(Sample, encode(value))


def test_a_list_field_must_be_a_list() -> None:
    with pytest.raises(BadMessageError, match="not a list"):
        unpack(Shares, encode(("fedgap/1/shares/1", 0, b"", b"")))


@pytest.mark.parametrize("data", [b"", b"\x81", b"\x41x", b"\x80", b"\x81\x05", b"\x81\x62x", b"\x81\x61\xff", b"\xa0"])
def test_what_does_not_begin_like_a_message_has_no_kind(data: bytes) -> None:
    with pytest.raises(BadMessageError):
        kind_of(data)


def test_an_annotation_without_a_form_is_a_mistake_of_ours() -> None:
    @dataclass(frozen=True)
    class Odd:
        KIND: ClassVar[str] = "odd/1"
        field: dict[str, int]

    with pytest.raises(TypeError):
        pack(Odd({}))


def test_a_hash_is_exactly_32_bytes() -> None:
    @dataclass(frozen=True)
    class Named:
        KIND: ClassVar[str] = "named/1"
        name: Hash

    assert unpack(Named, pack(Named(bytes(32)))) == Named(bytes(32))
    with pytest.raises(BadMessageError):
        unpack(Named, pack(Named(bytes(31))))
