"""Records: one spelling each, read strictly, signed by whom they name."""

import dataclasses
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import Identity, decode, encode
from fedgap.ids import OrgId
from fedgap.records import (
    KINDS,
    BadRecordError,
    ContributionEstimated,
    CreditConfirmed,
    Record,
    UtilityObserved,
    is_record_signed,
    organisation_of,
    read_record,
    sign_record,
    write_record,
)
from tests.records import samples

ESTIMATED = ContributionEstimated(
    period=1,
    organisation=OrgId("a"),
    value=Fraction(-1, 3),
    weight=Fraction(1, 2),
    standing="verified",
    statement=bytes(32),
)
CONFIRMED = CreditConfirmed(period=1, organisation=OrgId("a"), statement=bytes(32))


@given(samples.records)
def test_a_record_of_any_kind_is_read_back_as_it_was_written(record: Record) -> None:
    assert record == read_record(write_record(record))


@given(samples.records, st.data())
def test_other_bytes_are_another_record_or_none(record: Record, data: st.DataObject) -> None:
    written = bytearray(write_record(record))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    try:
        other = read_record(bytes(written))
    except BadRecordError:
        return
    assert other != record
    assert write_record(other) == bytes(written)


@given(samples.records, st.integers(0, 10**6))
def test_a_record_that_is_cut_short_or_has_more_behind_it_is_none(record: Record, cut: int) -> None:
    written = write_record(record)
    for changed in (written[: cut % len(written)], written + b"\0"):
        with pytest.raises(BadRecordError):
            read_record(changed)


@given(st.fractions() | st.integers(-(2**400), 2**400).map(lambda n: Fraction(n, 3**100)))
def test_a_fraction_is_exact_however_long(value: Fraction) -> None:
    found = read_record(write_record(replace(ESTIMATED, value=value)))

    assert isinstance(found, ContributionEstimated)
    assert value == found.value


def test_a_fraction_longer_than_anything_we_write_is_neither_written_nor_read() -> None:
    """Reading one of a megabyte would take hours, and showing one of 4,300 digits fails."""
    longest = 2 ** (8 * 1024 - 1)
    read_record(write_record(replace(ESTIMATED, value=Fraction(longest - 1, 3))))
    for value in (Fraction(longest, 3), Fraction(-longest - 1), Fraction(1, longest)):
        with pytest.raises(BadRecordError):
            write_record(replace(ESTIMATED, value=value))
    written = decode(write_record(ESTIMATED))
    assert isinstance(written, tuple)
    with pytest.raises(BadRecordError):
        read_record(encode((*written[:3], (b"\1" + bytes(10**6), b"\1"), *written[4:])))


@pytest.mark.parametrize(
    "parts",
    [
        (b"\1", b"\0"),
        (b"\1", b"\xff"),
        (b"\2", b"\4"),
        (b"\0\1", b"\2"),
        (b"", b"\1"),
        (b"\1", b""),
        (b"\1",),
        (1, 2),
        (b"\1", b"\2", b"\3"),
    ],
    ids=["zero", "negative", "not-lowest", "long", "empty", "no-denominator", "one-part", "numbers", "three-parts"],
)
def test_a_fraction_has_one_spelling(parts: tuple[bytes, ...]) -> None:
    value = decode(write_record(ESTIMATED))
    assert isinstance(value, tuple)

    with pytest.raises(BadRecordError):
        read_record(encode((*value[:3], parts, *value[4:])))


@pytest.mark.parametrize(
    "changed",
    [
        {"period": 0},
        {"period": 2**41},
        {"organisation": "A"},
        {"organisation": ""},
        {"standing": "guessed"},
        {"flags": ("Not a code",)},
        {"statement": bytes(31)},
        {"value": 0.5},
        {"value": None},
        {"period": "1"},
    ],
    ids=str,
)
def test_what_is_out_of_bounds_is_not_written(changed: dict[str, object]) -> None:
    with pytest.raises(BadRecordError):
        write_record(replace(ESTIMATED, **changed))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("data", [b"", b"l", encode(()), encode("x"), encode(("fedgap/1/record/new/9",)), bytes(100)])
def test_bytes_of_no_known_kind_are_refused(data: bytes) -> None:
    with pytest.raises(BadRecordError):
        read_record(data)


def test_only_a_record_can_be_written() -> None:
    with pytest.raises(BadRecordError):
        write_record(object())  # type: ignore[arg-type]  # wrong on purpose


def test_a_record_is_signed_for_one_federation_by_the_organisation_it_names() -> None:
    key, other = Identity(b"k" * 32), Identity(b"o" * 32)
    origin = b"f" * 32
    signature = sign_record(CONFIRMED, key, origin=origin)
    data = write_record(CONFIRMED)

    assert is_record_signed(key.public, signature, data, origin=origin)
    assert not is_record_signed(other.public, signature, data, origin=origin)
    assert not is_record_signed(key.public, signature, data, origin=bytes(32))
    assert not is_record_signed(key.public, signature, write_record(replace(CONFIRMED, period=2)), origin=origin)


def test_an_organisation_does_not_sign_what_the_server_says() -> None:
    observed = UtilityObserved(round=0, utility=-5, evaluation=bytes(32))

    assert organisation_of(observed) is None
    assert organisation_of(CONFIRMED) == "a"
    with pytest.raises(BadRecordError):
        sign_record(ESTIMATED, Identity(b"k" * 32), origin=bytes(32))


def test_the_vocabulary_has_the_kinds_of_the_design_and_each_names_its_author() -> None:
    names = {cls.__name__ for cls in KINDS.values()}

    assert names >= {
        *("ManifestSigned", "PolicySigned", "MemberChanged", "RoundOpened", "RosterAgreed", "AggregateReleased"),
        *("DirectionCommitted", "UtilityObserved", "OpeningAnswered", "ContributionEstimated", "CreditConfirmed"),
        *("CreditObjected", "Verdict", "CostClaimed", "FundingSettled", "CheckpointCosigned"),
    }
    for cls in KINDS.values():
        fields = {field.name for field in dataclasses.fields(cls)}
        assert cls.AUTHOR in {"server", "server-or-funder"} or "organisation" in fields
