"""From what pydantic found to what a person can correct: the key as it is written, the cause, the remedy."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fedgap.config.phrases import Schema, allowed, written
from fedgap.config.section import Problem, Section, key_path, nearest, printable
from fedgap.errors import FedgapError

S = TypeVar("S", bound=Section)
LONGEST_SHOWN = 60
NOT_CALLED = "default_factory_not_called"
"""A default that depends on a wrong key: the wrong key is reported, this is its echo."""


class ConfigError(FedgapError):
    """A configuration is wrong; all its problems are here at once.

    Attributes:
        problems: each with its key, cause and remedy; never empty.
    """

    code = "config.invalid"
    remedy = "Correct the file; `fedgap config explain` tells what every key means."
    exit_status = 2

    def __init__(
        self, problems: Sequence[Problem], *, name: str = "The configuration", remedy: str | None = None
    ) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = " | ".join(problem.line() for problem in problems)
        super().__init__(f"{printable(name)} has {count}: {listed}", remedy=remedy)
        self.problems = tuple(problems)


class ConfigFileError(ConfigError):
    """The file of a configuration holds none."""

    def __init__(self, path: Path, cause: str, remedy: str) -> None:
        problem = Problem(str(path), cause, remedy)
        super().__init__([problem])
        self.cause, self.remedy = printable(f"{path}: {cause}"), remedy


class UnreadableConfigError(ConfigFileError):
    """The file cannot be read at all."""

    code = "config.unreadable"


class NotTomlError(ConfigFileError):
    """The file can be read, and it is not TOML."""

    code = "config.not-toml"


def read_section(model: type[S], table: object, *place: str | int) -> tuple[S | None, list[Problem]]:
    """Check one table of the file against its model.

    Args:
        model: the section.
        table: what the file holds there, with tuples for lists.
        place: where that is: `"training"`, or `"organisation", 2`.

    Returns:
        The section and no problem, or None and all its problems.
    """
    if not isinstance(table, Mapping):
        header = f"[[{place[0]}]]" if len(place) > 1 else f"[{place[0]}]"
        return None, [Problem(key_path(*place), f"It is {_kind(table)}, not a table.", f"Begin it with {header}.")]
    try:
        return model.model_validate(table), []
    except ValidationError as error:
        schema = model.model_json_schema()
        details = error.errors(include_url=False)
        return None, [problem for one in details for problem in _problems(one, schema, place)]


def _problems(error: ErrorDetails, schema: Schema, place: tuple[str | int, ...]) -> list[Problem]:
    """Translate one finding; rules between keys come as one finding with several problems."""
    if error["type"] == NOT_CALLED:
        return []
    if error["type"] == "broken_rules":
        prefix = key_path(*place)
        return [Problem(f"{prefix}.{found.key}", found.cause, found.remedy) for found in error["ctx"]["problems"]]
    steps = [step for step in error["loc"] if step != "[key]"]
    return [_problem(error, schema, key_path(*place, *steps), steps)]


def _problem(error: ErrorDetails, schema: Schema, key: str, steps: Sequence[str | int]) -> Problem:
    if error["type"] == "refused":
        return Problem(key, error["ctx"]["cause"], error["ctx"]["remedy"])
    if error["type"] == "extra_forbidden":
        return unknown_key(key, str(steps[-1]), schema.get("properties", {}))
    expected = allowed(_inside(schema, steps))
    if error["type"] == "missing":
        return Problem(key, "It is missing.", f"Add it: {expected}.")
    return Problem(key, f"It is {_shown(error['input'])}.", f"Write: {expected}.")


def unknown_key(key: str, name: str, known: Collection[str]) -> Problem:
    """Say that there is no such key, and which one may have been meant."""
    listed = f"Remove it; the keys here are {', '.join(known)}." if known else "Remove it."
    return Problem(key, "There is no such key.", nearest(name, known) or listed)


def _inside(schema: Schema, steps: Sequence[str | int]) -> Schema:
    """Follow the steps into lists and tables, as far as the schema tells what is there."""
    for step in steps:
        if "allowed" in schema:
            break
        schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
        if isinstance(step, int):
            items: Sequence[Schema] = schema.get("prefixItems", ())
            inner = items[step] if step < len(items) else schema.get("items")
        else:
            inner = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
        if not isinstance(inner, Mapping):
            break
        schema = inner
    return schema


def _shown(value: object) -> str:
    """Name what stands there: a short value itself, of a long one its kind."""
    if isinstance(value, bool | int | float | str):
        text = written(value) if not isinstance(value, int) or abs(value) < 2**64 else "a very large whole number"
        if len(text) <= LONGEST_SHOWN:
            return printable(text) if text.startswith("a ") or not isinstance(value, str) else f"the text {text}"
    return _kind(value)


def _kind(value: object) -> str:
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        ((list, tuple), "a list"),
        (Mapping, "a table"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), f"a {type(value).__name__}")
