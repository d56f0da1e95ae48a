"""One way, and only one, to write a value as bytes; and the labelled hash over them.

A value is bytes, text, an integer, a finite number or a list of values. Each is written as a tag, a length or count,
and its content, so no two values share their bytes and no value has two spellings:

    b  length (4)  bytes            s  length (4)  UTF-8
    i  two's complement (8)         f  IEEE 754 binary64 (8), finite, no negative zero
    l  count (4)   values

All numbers are big-endian. `decode` refuses what `encode` would not have written, left-over bytes included.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from fedgap.crypto.errors import BadBytesError

Value: TypeAlias = "bytes | str | int | float | Sequence[Value]"

Buffer: TypeAlias = bytes | bytearray | memoryview

PROTOCOL = "fedgap/1"
"""Every label begins with it."""

MAX_DEPTH = 12
_BYTES, _TEXT, _INTEGER, _NUMBER, _LIST = b"bsifl"
_U32 = struct.Struct(">I")
_I64 = struct.Struct(">q")
_F64 = struct.Struct(">d")


def encode(value: Value) -> bytes:
    """Write a value as its canonical bytes.

    Raises:
        BadBytesError: a number does not fit 8 bytes or is not finite, or something is 4 GiB or longer.
        TypeError: not a value; booleans and None are none either.
    """
    parts: list[bytes] = []
    try:
        _write(value, parts)
    except struct.error as error:
        raise BadBytesError("A number or a length is too large for the canonical format.") from error
    return b"".join(parts)


def decode(data: Buffer) -> Value:
    """Read the one value these bytes spell; lists come back as tuples.

    Raises:
        BadBytesError: they are not exactly one value in its canonical spelling.
    """
    content = data if isinstance(data, bytes) else bytes(data)
    try:
        value, end = _read(content, 0, 0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadBytesError("The bytes end early or are not UTF-8.") from error
    if end != len(content):
        raise BadBytesError(f"{len(content) - end} bytes are left over after the value.")
    return value


def digest(label: str, *values: Value) -> bytes:
    """Hash values for one purpose: SHA-256 over the canonical list of the label and the values.

    Args:
        label: what the hash is for, without the protocol's name; two purposes never share one.
        *values: what is hashed.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(statement(label, *values)).digest()


def statement(label: str, *values: Value) -> bytes:
    """Canonical bytes of values under a label: what is hashed, signed, or given to a key derivation as context."""
    parts = [_opening(label, 1 + len(values))]
    try:
        for value in values:
            _write(value, parts)
    except struct.error as error:
        raise BadBytesError("A number or a length is too large for the canonical format.") from error
    return b"".join(parts)


@lru_cache(maxsize=256)
def _opening(label: str, count: int) -> bytes:
    """How every statement under a label begins: a list of so many values, the first of them the label."""
    return b"l" + _U32.pack(count) + encode(f"{PROTOCOL}/{label}")


def _write(value: Value, parts: list[bytes]) -> None:
    cls = type(value)
    if cls is bytes:
        parts += (b"b", _U32.pack(len(value)), value)  # type: ignore[arg-type]  # its class was looked at
    elif cls is int:
        parts += (b"i", _I64.pack(value))
    elif isinstance(value, str):
        text = value.encode()
        parts += (b"s", _U32.pack(len(text)), text)
    elif isinstance(value, tuple | list):
        parts += (b"l", _U32.pack(len(value)))
        for item in value:
            _write(item, parts)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadBytesError("A number that is not finite has no canonical bytes.")
        parts += (b"f", _F64.pack(value + 0.0))  # adding zero turns -0.0 into 0.0
    else:
        raise TypeError(f"{cls.__name__} has no canonical bytes")


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """Read the value at a position; return it with the position behind it."""
    tag = data[at]
    if tag == _INTEGER:
        return _I64.unpack_from(data, at + 1)[0], at + 9
    if tag == _NUMBER:
        return _finite(_F64.unpack_from(data, at + 1)[0]), at + 9
    count = _U32.unpack_from(data, at + 1)[0]
    start = at + 5
    if tag in {_BYTES, _TEXT}:
        end = start + count
        if end > len(data):
            raise BadBytesError("The bytes end early.")
        content = data[start:end]
        return (content if tag == _BYTES else content.decode()), end
    if tag != _LIST:
        raise BadBytesError("A tag is unknown.")
    if depth == MAX_DEPTH:
        raise BadBytesError(f"Lists are nested deeper than {MAX_DEPTH}.")
    if count > len(data) - start:
        raise BadBytesError("A list claims more values than there are bytes.")
    items = []
    for _ in range(count):
        item, start = _read(data, start, depth + 1)
        items.append(item)
    return tuple(items), start


def _finite(number: float) -> float:
    if not math.isfinite(number) or (number == 0 and math.copysign(1.0, number) < 0):
        raise BadBytesError("A number is not finite or is negative zero.")
    return number
