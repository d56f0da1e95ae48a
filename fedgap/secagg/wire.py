"""Messages as bytes: the codec of `fedgap.crypto.codec`, with the fields and the error of this protocol."""

from typing import Annotated, TypeAlias, TypeVar

from fedgap.crypto import BadBytesError, codec
from fedgap.crypto.codec import Between, Count, Exactly, Hash, Key, Signature, pack, pieces
from fedgap.secagg.errors import BadMessageError

__all__ = [
    "Between",
    "Count",
    "Exactly",
    "Hash",
    "Key",
    "Positive",
    "Seat",
    "Signature",
    "kind_of",
    "kind_within",
    "pack",
    "pieces",
    "unpack",
]

M = TypeVar("M")

Seat: TypeAlias = Annotated[int, Between(0, 4095)]
"""An organisation's position in the roster, which is ordered by id."""

Positive: TypeAlias = Annotated[float, Between(5e-324, 1.7976931348623157e308)]


def unpack(cls: type[M], data: bytes) -> M:
    """Read bytes that `pack` wrote for this class.

    Raises:
        BadMessageError: they are anything else.
    """
    try:
        return codec.unpack(cls, data)
    except BadBytesError as error:
        raise BadMessageError(error.cause) from error


def kind_of(data: bytes) -> str:
    """Name the kind of a packed message without reading the rest of it.

    Raises:
        BadMessageError: the bytes do not begin like a message.
    """
    try:
        return codec.kind_of(data)
    except BadBytesError as error:
        raise BadMessageError(error.cause) from error


def kind_within(sealed: bytes) -> str:
    """Name the kind of the message in a sealed one without reading, or copying, the rest of it.

    Raises:
        BadMessageError: the bytes do not begin like a sealed message.
    """
    try:
        return codec.kind_within(sealed)
    except BadBytesError as error:
        raise BadMessageError(error.cause) from error
