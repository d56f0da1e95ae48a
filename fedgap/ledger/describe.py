"""Records as JSON can hold them: names of fields, hexadecimal digests, fractions as `3/7`."""

import dataclasses
from fractions import Fraction
from typing import Any

from fedgap.crypto import BadBytesError
from fedgap.ledger.entry import Entry
from fedgap.records import BadRecordError, ManifestSigned, Record, Roster, read_record


def described(body: bytes, position: int) -> dict[str, Any]:
    """Give an entry's position, kind, author, fields and, for whoever checks it again, its stored bytes."""
    entry = Entry.of(body)
    record = read_record(entry.record)
    return {
        "entry": position,
        "kind": type(record).__name__,
        "author": entry.author.hex(),
        "brief": brief(record),
        "record": fields(record),
        "body": body.hex(),
    }


def fields(record: Record) -> dict[str, Any]:
    """Give a record's fields; of a manifest, what it says instead of its bytes."""
    found: dict[str, Any] = _plain(record)
    if isinstance(record, ManifestSigned):
        try:
            roster = Roster.of(record.manifest)
        except (BadRecordError, BadBytesError):
            return found
        found["manifest"] = _plain(roster)
    return found


def brief(record: Record) -> str:
    """Give a record's short fields in one line, for a table."""
    words = []
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, str | int):
            words.append(f"{field.name} {value}")
        elif isinstance(value, tuple) and value:
            words.append(f"{field.name} ({len(value)})")
    return ", ".join(words)


def _plain(value: Any) -> Any:  # noqa: ANN401 - the value of any field
    match value:
        case bytes():
            return value.hex()
        case Fraction():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value
