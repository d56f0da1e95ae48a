"""Messages as bytes: a frozen dataclass is its kind and its fields in order, in the canonical format.

The annotations of a dataclass are its format, and reading is strict: every field of the right type, size and range,
nothing left over, one spelling. `Annotated[bytes, Exactly(32)]` is a hash; `tuple[X, ...]` a list; `X | None` a list of
at most one.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar

from fedgap.crypto import BadBytesError, Value, decode, encode
from fedgap.secagg.errors import BadMessageError

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Exactly:
    """Bytes of this length."""

    size: int

    def __call__(self, value: bytes) -> bool:
        """Check one value."""
        return len(value) == self.size


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from `low` to `high`, both allowed."""

    low: float
    high: float

    def __call__(self, value: float) -> bool:
        """Check one value."""
        return self.low <= value <= self.high


Hash: TypeAlias = Annotated[bytes, Exactly(32)]
Key: TypeAlias = Annotated[bytes, Exactly(32)]
Signature: TypeAlias = Annotated[bytes, Exactly(64)]
Seat: TypeAlias = Annotated[int, Between(0, 4095)]
"""An organisation's position in the roster, which is ordered by id."""
Count: TypeAlias = Annotated[int, Between(0, 2**40)]
Positive: TypeAlias = Annotated[float, Between(5e-324, 1.7976931348623157e308)]

_Write: TypeAlias = Callable[[Any], Value]
_Read: TypeAlias = Callable[[Any], Any]


def pack(message: object) -> bytes:
    """Write a dataclass with a `KIND` as bytes."""
    cls: Any = type(message)
    write, _ = _codec(cls)
    fields = write(message)
    assert isinstance(fields, tuple)  # noqa: S101 - dataclasses are written as tuples; tells mypy
    return encode((_kind(cls), *fields))


def unpack(cls: type[M], data: bytes) -> M:
    """Read bytes that `pack` wrote for this class.

    Raises:
        BadMessageError: they are anything else.
    """
    try:
        value = decode(data)
    except BadBytesError as error:
        raise BadMessageError(f"A message is not canonical: {error.cause}") from error
    if not isinstance(value, tuple) or not value or value[0] != _kind(cls):
        raise BadMessageError(f"A message is not of the kind '{_kind(cls)}'.")
    hint: Any = cls
    _, read = _codec(hint)
    message: M = read(value[1:])
    return message


def kind_of(data: bytes) -> str:
    """Name the kind of a packed message without reading the rest of it.

    Raises:
        BadMessageError: the bytes do not begin like a message.
    """
    size = int.from_bytes(data[6:10], "big")
    if data[:1] != b"l" or data[5:6] != b"s" or not 0 < size <= 64 or len(data) < 10 + size:  # noqa: PLR2004
        raise BadMessageError("The bytes do not begin like a message.")
    return data[10 : 10 + size].decode("ascii", errors="replace")


def _kind(cls: type) -> str:
    return f"fedgap/1/{cls.KIND}"  # type: ignore[attr-defined]  # every message class has one


@cache
def _codec(hint: Any) -> tuple[_Write, _Read]:  # noqa: ANN401 - an annotation can be anything
    """Build the writer and the reader of one annotation."""
    if hasattr(hint, "__supertype__"):
        return _codec(hint.__supertype__)
    if hint is bool:
        return int, _reader_of_flag
    if hint in {bytes, str, int, float}:
        return _same, _reader_of(hint)
    if dataclasses.is_dataclass(hint):
        return _codec_of_dataclass(typing.cast("type", hint))
    return _codec_of_generic(hint, typing.get_origin(hint), typing.get_args(hint))


def _codec_of_generic(hint: object, origin: object, arguments: tuple[Any, ...]) -> tuple[_Write, _Read]:
    if origin is Annotated:
        return _codec_with_check(*arguments)
    if origin is tuple:
        return _codec_of_list(arguments[0])
    if origin in {types.UnionType, typing.Union} and arguments[1] is type(None):
        return _codec_of_optional(arguments[0])
    raise TypeError(f"{hint} has no canonical form")


def _same(value: Value) -> Value:
    return value


def _reader_of_flag(value: object) -> bool:
    if value not in (0, 1) or not isinstance(value, int):
        raise BadMessageError("A flag is neither 0 nor 1.")
    return value == 1


def _reader_of(cls: type) -> _Read:
    def read(value: object) -> object:
        if type(value) is not cls:
            raise BadMessageError(f"A field is not of the type '{cls.__name__}'.")
        return value

    return read


def _codec_with_check(base: object, check: Callable[[object], bool]) -> tuple[_Write, _Read]:
    write, read_base = _codec(base)

    def read(value: object) -> object:
        content = read_base(value)
        if not check(content):
            raise BadMessageError(f"A field is not {check}.")
        return content

    return write, read


def _codec_of_list(item: object) -> tuple[_Write, _Read]:
    write_item, read_item = _codec(item)

    def read(value: object) -> object:
        if not isinstance(value, tuple):
            raise BadMessageError("A field is not a list.")
        return tuple(read_item(entry) for entry in value)

    return lambda items: tuple(write_item(entry) for entry in items), read


def _codec_of_optional(inner: object) -> tuple[_Write, _Read]:
    write_inner, read_inner = _codec(inner)

    def read(value: object) -> object:
        if not isinstance(value, tuple) or len(value) > 1:
            raise BadMessageError("A field is not a list of at most one.")
        return read_inner(value[0]) if value else None

    return lambda content: () if content is None else (write_inner(content),), read


def _codec_of_dataclass(cls: type) -> tuple[_Write, _Read]:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    codecs = [_codec(hints[name]) for name in names]
    writers = [(name, write) for name, (write, _) in zip(names, codecs, strict=True)]
    readers = [(name, read) for name, (_, read) in zip(names, codecs, strict=True)]

    def write(message: object) -> Value:
        return tuple(writer(getattr(message, name)) for name, writer in writers)

    def read(value: object) -> object:
        if not isinstance(value, tuple) or len(value) != len(readers):
            raise BadMessageError(f"'{cls.__name__}' has not {len(readers)} fields.")
        return cls(**{name: reader(entry) for (name, reader), entry in zip(readers, value, strict=True)})

    return write, read
