"""What every section of a configuration has in common: frozen, strict, no unknown key, rules that name their key.

A `Problem` is a key, what is wrong with it and what to do; a section lists all of its own, never only the first.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, NoReturn, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

V = TypeVar("V")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file.

    Attributes:
        key: where, as it is written in the file: `training.lr`, `organisation[3].behave`; positions count from 1.
        cause: what is wrong there.
        remedy: what to write instead.
    """

    key: str
    cause: str
    remedy: str

    def line(self) -> str:
        """Key, cause and remedy on one line, without control characters."""
        return printable(f"{self.key}: {self.cause} {self.remedy}")


def printable(text: str) -> str:
    """Show every character that could move the cursor or end the line as its escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def key_path(*parts: str | int) -> str:
    """Write where a key is as in the file, positions counted from 1: `organisation[3].behave`."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part + 1}]"
        else:
            name = part if BARE_KEY.fullmatch(part) else printable(json.dumps(part, ensure_ascii=False))
            path += f".{name}" if path else name
    return path


def refuse(cause: str, remedy: str) -> PydanticCustomError:
    """Make the error with which the check of one key says what is wrong and what to write."""
    return PydanticCustomError("refused", "{cause}", {"cause": cause, "remedy": remedy})


class FrozenMapping(dict[str, V]):
    """A mapping nobody can change, so that a configuration is one value: hashable, comparable, picklable."""

    def _refuse(self, *_arguments: object, **_named: object) -> NoReturn:
        raise TypeError("a configuration cannot be changed; load another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict that never changes may be hashed
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, V]]]:
        return type(self), (dict(self),)


def freeze(value: object) -> Any:  # noqa: ANN401 - a value of TOML, of any of its types
    """Turn the lists of TOML into tuples and its tables into mappings that nobody can change, at every depth."""
    if isinstance(value, Mapping):
        return FrozenMapping({key: freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


Text = Annotated[str, Field(min_length=1)]
"""At least one character: a name, a column, a path."""

Frozen = Annotated[Mapping[str, V], AfterValidator(FrozenMapping)]
"""A table whose keys the user chooses; read it as any mapping."""


class Section(BaseModel):
    """One table of the file. A float may be written as an integer; nothing else is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def broken_rules(self) -> Iterator[Problem]:
        """Tell what is wrong between keys that are each right; their names have no section before them."""
        yield from ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        broken = tuple(self.broken_rules())
        if broken:
            text = " ".join(problem.line() for problem in broken)
            raise PydanticCustomError("broken_rules", "{text}", {"text": text, "problems": broken})
        return self


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Ask "Did you mean ...?" if one of the known words is close."""
    close = get_close_matches(word, list(known), n=1)
    return f"Did you mean `{close[0]}`?" if close else None
