"""Statistics as bytes, without pickle: plain values, arrays, and the statistics classes of the built-in tasks.

Reading never runs code: a class is looked up in a fixed table, an array is rebuilt from its type, shape and bytes. A
task of one's own may use plain values (numbers, texts, lists, dictionaries, arrays) as its statistics.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.crypto import BadBytesError, Value, decode, encode
from fedgap.errors import FedgapError
from fedgap.learning.images import ImageStatistics
from fedgap.learning.moments import Moments
from fedgap.learning.table_statistics import TableStatistics

CLASSES = {cls.__name__: cls for cls in (TableStatistics, ImageStatistics, Moments)}
_DTYPES = {"<f8", "<f4", "<i8", "<i4", "|u1", "|b1"}


class StatisticsError(FedgapError):
    """The statistics of a task cannot be sent, or what came are none."""

    code = "flower.bad-statistics"
    remedy = "Let `Task.statistics` return numbers, texts, lists, dictionaries or arrays; nothing was sent."


def write(value: object) -> bytes:
    """Write statistics as bytes; equal statistics have equal bytes.

    Raises:
        StatisticsError: a value of a kind that does not travel, or a number that is not finite.
    """
    try:
        return encode(_plain(value))
    except (BadBytesError, OverflowError) as error:
        raise StatisticsError("The statistics hold a number that cannot be sent.") from error


def read(content: bytes) -> Any:  # noqa: ANN401 - each task has its own statistics
    """Read statistics that `write` wrote.

    Raises:
        StatisticsError: they are anything else.
    """
    try:
        return _value(decode(content))
    except (BadBytesError, TypeError, ValueError, KeyError) as error:
        raise StatisticsError("What came are no statistics.") from error


def _plain(value: object) -> Value:  # noqa: PLR0911 - one line for each kind of value
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if CLASSES.get(name) is not type(value):
            raise StatisticsError(f"Statistics of the class {name} do not travel.")
        fields = [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
        return ("class", name, fields)
    if value is None or isinstance(value, bool):
        return ("none" if value is None else "flag", int(bool(value)))
    if isinstance(value, int | float | np.integer | np.floating):
        return _plain_number(value)
    if isinstance(value, str | bytes):
        return ("value", value)
    if isinstance(value, Mapping):
        return ("map", [(_plain(key), _plain(item)) for key, item in value.items()])
    if isinstance(value, Sequence):
        return ("list", [_plain(item) for item in value])
    raise StatisticsError(f"Statistics of the kind {type(value).__name__} do not travel.")


def _plain_number(value: float | np.integer[Any] | np.floating[Any]) -> Value:
    if isinstance(value, int | np.integer):
        return ("value", int(value))
    number = float(value)
    if not math.isfinite(number):
        raise StatisticsError("The statistics hold a number that is not finite.")
    return ("value", number)


def _plain_array(value: NDArray[Any]) -> Value:
    kept = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    if kept.dtype.str not in _DTYPES:
        raise StatisticsError(f"An array of the type {value.dtype} does not travel.")
    return ("array", kept.dtype.str, list(value.shape), kept.tobytes())


def _value(value: object) -> Any:  # noqa: ANN401, PLR0911 - one line for each kind of value
    match value:
        case ("none", 0):
            return None
        case ("flag", 0 | 1 as flag):
            return bool(flag)
        case ("value", int() | float() | str() | bytes() as content):
            return content
        case ("list", tuple() as items):
            return tuple(_value(item) for item in items)
        case ("map", tuple() as pairs):
            return {_value(key): _value(item) for key, item in pairs}
        case ("array", str(dtype), tuple() as shape, bytes(content)) if dtype in _DTYPES:
            return np.frombuffer(content, dtype=dtype).reshape(shape).copy()
        case ("class", str(name), tuple() as fields):
            cls = CLASSES[name]
            names = [field.name for field in dataclasses.fields(cls)]
            return cls(**dict(zip(names, map(_value, fields), strict=True)))
    raise StatisticsError("What came are no statistics.")
