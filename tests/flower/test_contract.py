"""The envelope of every Flower message: what is written is read back, and nothing else is read."""

from dataclasses import replace
from typing import Any

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower import contract
from fedgap.flower.contract import SMALL_BYTES, EnvelopeError, Reply, Request, VersionError
from fedgap.secagg.errors import OutOfOrderError

REQUEST = Request(purpose="relay", federation="clinics", round=2, attempt=1, stage_s=30.0, body=b"bytes")
LARGE = replace(REQUEST, body=b"x" * (SMALL_BYTES + 1))


@given(body=st.binary(max_size=300), round_=st.integers(0, 2**40 - 1), stage_s=st.floats(0.001, 1e6))
def test_a_request_is_read_as_it_was_written(body: bytes, round_: int, stage_s: float) -> None:
    request = Request(purpose="invite", federation="a", round=round_, attempt=3, stage_s=stage_s, body=body)

    assert contract.read_request(contract.write_request(request)) == request


def test_replies_are_read_as_they_were_written() -> None:
    refusal = contract.refused(OutOfOrderError("this text stays here"), b"more")

    for reply in (contract.answered(b"answer"), contract.answered(None), refusal):
        assert contract.read_reply(contract.write_reply(reply)) == reply
    assert refusal == Reply(status="refused", code="secagg.out-of-order", body=b"more")


def changed(head: dict[str, Any] | None = None, **records: ArrayRecord | ConfigRecord) -> RecordDict:
    """A request with other fields in its head, or other records."""
    content = contract.write_request(LARGE if "body" in records else REQUEST)
    fields: dict[str, Any] = dict(content["head"]) | (head or {})
    content["head"] = ConfigRecord({key: value for key, value in fields.items() if value is not None})
    for name, record in records.items():
        content[name] = record
    return content


def bodies(**of: Any) -> ArrayRecord:  # noqa: ANN401 - fields of an array
    """A body of another form."""
    return ArrayRecord(
        {"body": Array(**({"dtype": "uint8", "shape": (1,), "stype": "fedgap.bytes", "data": b"x"} | of))}
    )


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"head": ArrayRecord()}),
        changed({"purpose": "train"}),
        changed({"purpose": 3}),
        changed({"federation": "a\nb"}),
        changed({"federation": "a" * 200}),
        changed({"round": -1}),
        changed({"round": 2**60}),
        changed({"round": True}),
        changed({"round": None}),
        changed({"attempt": 1.0}),
        changed({"stage_s": float("nan")}),
        changed({"stage_s": float("inf")}),
        changed({"stage_s": 0.0}),
        changed({"stage_s": 5}),
        changed({"more": 1}),
        changed({"body": "text"}),
        changed({"body": b"z" * (SMALL_BYTES + 1)}),
        changed(body=ArrayRecord({"body": Array("uint8", (1,), "fedgap.bytes", b"x")})),
        changed(extra=ConfigRecord()),
        changed(body=ConfigRecord()),
        changed(body=ArrayRecord()),
        changed(body=bodies(stype="numpy.ndarray")),
        changed(body=bodies(dtype="float32")),
        changed(body=bodies(shape=(2,))),
    ],
)
def test_anything_else_is_refused_with_a_typed_error(content: RecordDict) -> None:
    with pytest.raises(EnvelopeError):
        contract.read_request(content)


@pytest.mark.parametrize("version", ["fedgap/2", "", 1, "\x1b[2J", "v" * 1000])
def test_another_version_is_refused_with_the_remedy_and_no_control_characters(version: object) -> None:
    content = changed({"version": version})

    for read in (contract.read_request, contract.read_reply):
        with pytest.raises(VersionError) as caught:
            read(content)
        assert "fedgap --version" in caught.value.line()
        assert caught.value.cause.isprintable()
        assert len(caught.value.cause) < 500


@pytest.mark.parametrize(
    "head",
    [{"status": "fine"}, {"status": "ok", "code": "a.b"}, {"status": "refused", "code": ""}, {"purpose": "invite"}],
)
def test_a_reply_that_contradicts_itself_is_refused(head: dict[str, Any]) -> None:
    content = contract.write_reply(Reply(status="ok", body=b"x"))
    content["head"] = ConfigRecord(dict(content["head"]) | head)

    with pytest.raises(EnvelopeError):
        contract.read_reply(content)


def test_bodies_of_every_size_are_read_as_they_were_written() -> None:
    for size in (0, 1, SMALL_BYTES, SMALL_BYTES + 1, 6_000_000):
        request = replace(REQUEST, body=b"y" * size)
        content = contract.write_request(request)
        assert contract.read_request(content) == request
        assert ("body" in content) == (size > SMALL_BYTES)


def test_a_body_is_not_shown() -> None:
    assert "bytes" not in repr(REQUEST)
