"""Messages and records as bytes: a frozen dataclass is its kind and its fields in order, in the canonical format.

The annotations of a dataclass are its format, and reading is strict: every field of the right type, size and range,
nothing left over, one spelling. `Annotated[bytes, Exactly(32)]` is a hash; `tuple[X, ...]` a list; `X | None` a list of
at most one; `Fraction` a list of numerator and denominator in lowest terms, each as the fewest bytes of two's
complement, 1024 at most.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

from fedgap.crypto.canonical import Pieces, Value, decode, encode, first_text, start_of_second
from fedgap.crypto.canonical import pieces as pieces_of
from fedgap.crypto.errors import BadBytesError

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
Count: TypeAlias = Annotated[int, Between(0, 2**40)]

_MOST_PART_BYTES = 1024
"""No numerator or denominator is longer: reading a fraction takes the square of it, and nothing of ours comes near."""

_Write: TypeAlias = Callable[[Any], Value]
_Read: TypeAlias = Callable[[Any], Any]


def pack(message: object) -> bytes:
    """Write a dataclass with a `KIND` as bytes."""
    return encode(_value(message))


def pieces(message: object) -> Pieces:
    """Write a dataclass as `pack` does, but leave its bytes where they are: for hashing, and as a part of another."""
    return pieces_of(_value(message))


def _value(message: object) -> Value:
    cls: Any = type(message)
    write, _ = _codec(cls)
    fields = write(message)
    assert isinstance(fields, tuple)  # noqa: S101 - dataclasses are written as tuples; tells mypy
    return (_kind(cls), *fields)


def unpack(cls: type[M], data: bytes) -> M:
    """Read bytes that `pack` wrote for this class.

    Raises:
        BadBytesError: they are anything else.
    """
    value = decode(data)
    if not isinstance(value, tuple) or not value or value[0] != _kind(cls):
        raise BadBytesError(f"A message is not of the kind '{_kind(cls)}'.")
    hint: Any = cls
    _, read = _codec(hint)
    message: M = read(value[1:])
    return message


def unpack_one_of(classes: Mapping[str, type[M]], data: bytes) -> M | None:
    """Read bytes that `pack` wrote for one of these classes, by kind; None if the kind is not among them.

    Raises:
        BadBytesError: they are no message at all, or not a right one of their kind.
    """
    value = decode(data)
    if not isinstance(value, tuple) or not value or not isinstance(value[0], str):
        raise BadBytesError("The bytes are no list that begins with a text.")
    cls: Any = classes.get(value[0])
    if cls is None:
        return None
    message: M = _codec(cls)[1](value[1:])
    return message


def kind_of(data: bytes) -> str:
    """Name the kind of a packed message without reading the rest of it.

    Raises:
        BadBytesError: the bytes do not begin like a message.
    """
    return first_text(data)


def kind_within(data: bytes) -> str:
    """Name the kind of the packed message that is the first field, bytes, of a packed message; copies nothing.

    Raises:
        BadBytesError: the bytes do not begin like this.
    """
    return first_text(data, at=start_of_second(data))


def _kind(cls: type) -> str:
    return f"fedgap/1/{cls.KIND}"  # type: ignore[attr-defined]  # every message class has one


@cache
def _codec(hint: Any) -> tuple[_Write, _Read]:  # noqa: ANN401 - an annotation can be anything
    """Build the writer and the reader of one annotation."""
    if hasattr(hint, "__supertype__"):
        return _codec(hint.__supertype__)
    if hint is bool:
        return int, _reader_of_flag
    if hint is Fraction:
        return _fraction, _reader_of_fraction
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
        raise BadBytesError("A flag is neither 0 nor 1.")
    return value == 1


def _whole(number: int) -> bytes:
    """Two's complement, big-endian, in as few bytes as hold it; a fraction's parts can be longer than 8 bytes."""
    return number.to_bytes(((number if number >= 0 else ~number).bit_length() + 8) // 8, "big", signed=True)


def _fraction(value: Fraction) -> Value:
    return _whole(value.numerator), _whole(value.denominator)


def _reader_of_fraction(value: object) -> Fraction:
    match value:
        case (bytes(numerator), bytes(denominator)) if max(len(numerator), len(denominator)) <= _MOST_PART_BYTES:
            above, below = (int.from_bytes(part, "big", signed=True) for part in (numerator, denominator))
            if below > 0 and _fraction(found := Fraction(above, below)) == value:
                return found
    raise BadBytesError("A field is not a fraction in lowest terms.")


def _reader_of(cls: type) -> _Read:
    def read(value: object) -> object:
        if type(value) is not cls:
            raise BadBytesError(f"A field is not of the type '{cls.__name__}'.")
        return value

    return read


def _codec_with_check(base: object, check: Callable[[object], bool]) -> tuple[_Write, _Read]:
    write, read_base = _codec(base)
    plain = getattr(base, "__supertype__", base)
    if plain in {bytes, str, int}:
        return write, _reader_of_plain(plain, check)

    def read(value: object) -> object:
        content = read_base(value)
        if not check(content):
            raise BadBytesError(f"A field is not {check}.")
        return content

    return write, read


def _reader_of_plain(plain: type, check: Callable[[Any], bool]) -> _Read:
    """Check type and bounds in one call; most fields of most records are read here."""

    def read(value: Any) -> object:  # noqa: ANN401 - of the class that is asked for here
        return value if type(value) is plain and check(value) else _refuse(check)

    def read_between(value: Any) -> object:  # noqa: ANN401 - the same
        return value if type(value) is plain and low <= value <= high else _refuse(check)  # type: ignore[operator]  # a number

    def read_exactly(value: Any) -> object:  # noqa: ANN401 - the same
        return value if type(value) is plain and len(value) == size else _refuse(check)  # type: ignore[arg-type]  # bytes or text

    size = check.size if isinstance(check, Exactly) else 0
    low, high = (check.low, check.high) if isinstance(check, Between) else (0, 0)
    if isinstance(check, Between):
        return read_between
    return read_exactly if isinstance(check, Exactly) else read


def _refuse(check: object) -> NoReturn:
    raise BadBytesError(f"A field is not {check}.")


def _codec_of_list(item: object) -> tuple[_Write, _Read]:
    write_item, read_item = _codec(item)

    def read(value: object) -> object:
        if not isinstance(value, tuple):
            raise BadBytesError("A field is not a list.")
        return tuple([read_item(entry) for entry in value])

    return lambda items: tuple(write_item(entry) for entry in items), read


def _codec_of_optional(inner: object) -> tuple[_Write, _Read]:
    write_inner, read_inner = _codec(inner)

    def read(value: object) -> object:
        if not isinstance(value, tuple) or len(value) > 1:
            raise BadBytesError("A field is not a list of at most one.")
        return read_inner(value[0]) if value else None

    return lambda content: () if content is None else (write_inner(content),), read


def _codec_of_dataclass(cls: type) -> tuple[_Write, _Read]:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    codecs = [_codec(hints[name]) for name in names]
    writers = [(name, write) for name, (write, _) in zip(names, codecs, strict=True)]

    def write(message: object) -> Value:
        return tuple(writer(getattr(message, name)) for name, writer in writers)

    return write, _reader_of_fields(cls, names, [read for _, read in codecs])


def _reader_of_fields(cls: Any, names: list[str], readers: list[_Read]) -> _Read:  # noqa: ANN401 - any dataclass
    """Build what turns values into an instance, slot by slot: a third of the time that a frozen `__init__` takes."""
    check, size = getattr(cls, "__post_init__", None), len(names)
    has_slots = set(names) <= set(getattr(cls, "__slots__", ()))
    plan = [(getattr(cls, name).__set__, read) for name, read in zip(names, readers, strict=True)] if has_slots else []

    def read(value: object) -> object:
        if not isinstance(value, tuple) or len(value) != size:
            raise BadBytesError(f"'{cls.__name__}' has not {size} fields.")
        if not has_slots:
            return cls(**{name: read(entry) for name, read, entry in zip(names, readers, value, strict=True)})
        message = object.__new__(cls)
        for (put, read_field), entry in zip(plan, value, strict=True):
            put(message, read_field(entry))
        if check is not None:
            check(message)
        return message

    return read
