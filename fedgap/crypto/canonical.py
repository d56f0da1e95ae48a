"""One way, and only one, to write a value as bytes; and the labelled hash over them.

A value is bytes, text, an integer, a finite number or a list of values. The bytes are a subset of CBOR in its
deterministic form (RFC 8949, section 4.2), so any CBOR reader shows them. A value begins with one byte, three bits for
its sort and five for a count:

    0 integer >= 0    1 integer < 0, as -1 - count    2 bytes    3 UTF-8 text    4 list    0xfb binary64 number

A count below 24 stands in these five bits; else they are 24, 25, 26 or 27 and 1, 2, 4 or 8 big-endian bytes follow, as
few as it needs. Numbers are always binary64, finite, never negative zero. So no two values share their bytes and no
value has two spellings; `decode` refuses what `encode` would not have written, left-over bytes included.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from fedgap.crypto.errors import BadBytesError

Value: TypeAlias = "bytes | Pieces | Flow | str | int | float | Sequence[Value]"

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Pieces:
    """Bytes that lie in several places: written as one value of bytes, and hashed without a copy of them."""

    parts: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes that are not in memory: hashed as one value of bytes, each part when it is its turn, and not written.

    Attributes:
        size: of all parts together.
        parts: gives them in order.
    """

    size: int
    parts: Callable[[], Iterable[memoryview]]


PROTOCOL = "fedgap/1"
"""Every label begins with it."""

MAX_DEPTH = 12
_POSITIVE, _NEGATIVE, _BYTES, _TEXT, _LIST = range(5)
_ENOUGH = 128
"""No text that names a kind of message is longer, with the head of its list."""
_NUMBER = 0xFB
_INLINE = 24
"""Counts below it stand in the first byte."""

_WIDTHS = {24: (1, 24), 25: (2, 2**8), 26: (4, 2**16), 27: (8, 2**32)}
"""How many bytes of a count follow, and the least count that needs so many."""

_LIMIT = 2**63
_F64 = struct.Struct(">d")


def encode(value: Value) -> bytes:
    """Write a value as its canonical bytes.

    Raises:
        BadBytesError: a number is not finite, or an integer does not fit 8 bytes with its sign.
        TypeError: not a value; booleans and None are none either.
    """
    parts: list[Buffer] = []
    _write(value, parts)
    return b"".join(parts)


def pieces(value: Value) -> Pieces:
    """Write a value as `encode` does, but leave its bytes where they are."""
    parts: list[Buffer] = []
    _write(value, parts)
    return Pieces(tuple(memoryview(part).cast("B") for part in parts))


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


def first_text(data: bytes, *, at: int = 0) -> str:
    """Read the text that a list begins with, and nothing behind it.

    Args:
        data: the bytes.
        at: where in them the list begins.

    Raises:
        BadBytesError: the bytes do not begin like a list of values of which the first is a text.
    """
    try:
        major, count, at = _read_head(data, at)
        if major == _LIST and count and data[at] >> 5 == _TEXT:
            return str(_read(data, at, 1)[0])
    except (IndexError, UnicodeDecodeError) as error:
        raise BadBytesError("The bytes end early or are not UTF-8.") from error
    raise BadBytesError("The bytes are no list that begins with a text.")


def start_of_second(data: bytes) -> int:
    """Find where the content of a list's second value begins, which must be bytes; nothing of it is copied.

    Raises:
        BadBytesError: the bytes do not begin like a list of a text and bytes.
    """
    try:
        major, count, at = _read_head(data, 0)
        first, size, at = _read_head(data, at)
        second, _, start = _read_head(data, at + size)
    except IndexError as error:
        raise BadBytesError("The bytes end early.") from error
    if (major, first, second) != (_LIST, _TEXT, _BYTES) or count < 2:  # noqa: PLR2004 - a text, then bytes
        raise BadBytesError("The bytes are no list that begins with a text and bytes.")
    return start


def digest(label: str, *values: Value) -> bytes:
    """Hash values for one purpose: SHA-256 over the canonical list of the label and the values.

    Args:
        label: what the hash is for, without the protocol's name; two purposes never share one.
        *values: what is hashed.

    Returns:
        32 bytes.
    """
    parts: list[Any] = _statement(label, values)
    hashed = hashlib.sha256(parts[0])
    for part in parts[1:]:
        if isinstance(part, Flow):
            for piece in part.parts():
                hashed.update(piece)
        else:
            hashed.update(part)
    return hashed.digest()


def digester(label: str, size: int) -> Callable[[bytes], bytes]:
    """Build `digest(label, content)` for contents of one length: a round hashes thousands of shares.

    Args:
        label: the purpose.
        size: length of every content, in bytes; another one would give a hash that nobody else computes.
    """
    opening = statement(label, bytes(size)).removesuffix(bytes(size))

    def digest_of(content: bytes) -> bytes:
        return hashlib.sha256(opening + content).digest()

    return digest_of


def statement(label: str, *values: Value) -> bytes:
    """Canonical bytes of values under a label: what is hashed, signed, or given to a key derivation as context."""
    return b"".join(_statement(label, values))


def _statement(label: str, values: tuple[Value, ...]) -> list[Buffer]:
    """The same in pieces, so that a large value is hashed without a copy of it."""
    said = _opening(label, 1 + len(values))
    for at, value in enumerate(values):
        cls = type(value)
        if cls is bytes and len(value) < len(_BYTES_HEADS):  # type: ignore[arg-type]  # its class was looked at
            said += _BYTES_HEADS[len(value)] + value  # type: ignore[arg-type,operator]  # the same
        elif cls is int:
            said += _integer(value)  # type: ignore[arg-type]  # the same
        else:
            parts: list[Buffer] = [said]  # short bytes and integers are most, and a list would take longer than they do
            for other in values[at:]:
                _write(other, parts)
            return parts
    return [said]


@lru_cache(maxsize=256)
def _opening(label: str, count: int) -> bytes:
    """How every statement under a label begins: a list of so many values, the first of them the label."""
    return _head(_LIST, count) + encode(f"{PROTOCOL}/{label}")


@lru_cache(maxsize=4096)
def _head(major: int, count: int) -> bytes:
    """The first byte of a value, and the bytes of its count."""
    if count < _INLINE:
        return bytes([major << 5 | count])
    info, width = next((info, width) for info, (width, _) in _WIDTHS.items() if count < 1 << 8 * width)
    return bytes([major << 5 | info]) + count.to_bytes(width, "big")


_BYTES_HEADS = tuple(_head(_BYTES, size) for size in range(256))
_SMALL = tuple(_head(_POSITIVE, number) for number in range(256))
"""What is written most: keys, hashes and signatures, and seats."""


def _write(value: Value, parts: list[Buffer]) -> None:
    cls = type(value)
    if cls is bytes:
        size = len(value)  # type: ignore[arg-type]  # its class was looked at
        parts += (_BYTES_HEADS[size] if size < len(_BYTES_HEADS) else _head(_BYTES, size), value)  # type: ignore[arg-type]  # the same
    elif cls is int:
        parts.append(_integer(value))  # type: ignore[arg-type]  # its class was looked at
    elif isinstance(value, str):
        text = value.encode()
        parts += (_head(_TEXT, len(text)), text)
    elif isinstance(value, Pieces):
        parts += (_head(_BYTES, sum(part.nbytes for part in value.parts)), *value.parts)
    elif isinstance(value, Flow):
        parts += (_head(_BYTES, value.size), value)  # type: ignore[arg-type]  # only `digest` is given one, and reads it
    elif isinstance(value, tuple | list):
        parts.append(_head(_LIST, len(value)))
        for item in value:
            _write(item, parts)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadBytesError("A number that is not finite has no canonical bytes.")
        parts.append(b"\xfb" + _F64.pack(value + 0.0))  # adding zero turns -0.0 into 0.0
    else:
        raise TypeError(f"{cls.__name__} has no canonical bytes")


def _integer(number: int) -> bytes:
    if 0 <= number < len(_SMALL):
        return _SMALL[number]
    if not -_LIMIT <= number < _LIMIT:
        raise BadBytesError("An integer does not fit 8 bytes.")
    return _head(_POSITIVE, number) if number >= 0 else _head(_NEGATIVE, -1 - number)


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """Read the value at a position; return it with the position behind it."""
    items: list[Value] = []
    end = _read_items(data, at, 1, depth, items)
    return items[0], end


def _read_items(data: bytes, at: int, count: int, depth: int, items: list[Value]) -> int:  # noqa: C901 - calls cost
    """Read that many values into a list; return the position behind them. One loop: a ledger has millions of them."""
    for _ in range(count):
        first = data[at]
        if first == _NUMBER:
            items.append(_finite(_F64.unpack_from(data, at + 1)[0]))
            at += 9
            continue
        major, size = first >> 5, first & 31
        if size < _INLINE and major <= _LIST:
            at += 1
        elif size == _INLINE and major <= _LIST and data[at + 1] >= _INLINE:
            size, at = data[at + 1], at + 2
        else:
            major, size, at = _read_head(data, at)
        if major in (_BYTES, _TEXT):
            content = data[at : at + size]
            if len(content) != size:
                raise BadBytesError("The bytes end early.")
            items.append(content if major == _BYTES else content.decode())
            at += size
        elif major == _LIST:
            if depth == MAX_DEPTH:
                raise BadBytesError(f"Lists are nested deeper than {MAX_DEPTH}.")
            if size > len(data) - at:
                raise BadBytesError("A list claims more values than there are bytes.")
            inner: list[Value] = []
            at = _read_items(data, at, size, depth + 1, inner)
            items.append(tuple(inner))
        elif size >= _LIMIT:
            raise BadBytesError("An integer does not fit 8 bytes with its sign.")
        else:
            items.append(size if major == _POSITIVE else -1 - size)
    return at


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Read the sort and the count of the value at a position; return them with the position behind them."""
    major, count = data[at] >> 5, data[at] & 31
    if major > _LIST:
        raise BadBytesError("A value is of an unknown sort.")
    if count < _INLINE:
        return major, count, at + 1
    if count not in _WIDTHS:
        raise BadBytesError("A count is of an unknown width.")
    width, least = _WIDTHS[count]
    end = at + 1 + width
    if end > len(data):
        raise BadBytesError("The bytes end early.")
    count = int.from_bytes(data[at + 1 : end], "big")
    if count < least:
        raise BadBytesError("A count is written longer than it needs to be.")
    return major, count, end


def _finite(number: float) -> float:
    if not math.isfinite(number) or (number == 0 and math.copysign(1.0, number) < 0):
        raise BadBytesError("A number is not finite or is negative zero.")
    return number
