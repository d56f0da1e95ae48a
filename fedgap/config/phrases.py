"""What a key may hold, in words, from the JSON schema of its section: `whole number >= 1`, `list of texts`."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
SIZES = {"minItems": "at least", "maxItems": "at most"}
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}

Schema = Mapping[str, Any]


def allowed(schema: Schema) -> str:
    """Say what may be written for a key.

    Args:
        schema: the key's entry in the JSON schema of its section; an `allowed` of its own goes first.
    """
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:  # an optional key: whatever it is when it is there
        return allowed(next(choice for choice in schema["anyOf"] if choice.get("type") != "null"))
    if "enum" in schema:
        return one_of([json.dumps(choice) for choice in schema["enum"]])
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            inner = schema.get("additionalProperties")
            return f"table of name = {allowed(inner) if isinstance(inner, Mapping) else 'any value'}"
        case kind:
            return _bounded(WORDS.get(str(kind), "any value"), schema)


def one_of(choices: list[str]) -> str:
    """Write `a, b or c`."""
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def written(value: object) -> str:
    """Write a value as it stands in a TOML file."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(allowed(item) for item in schema["prefixItems"]) + "]"
    limits = [f"{word} {schema[name]}" for name, word in SIZES.items() if name in schema]
    kind = WORDS.get(schema["items"].get("type"), "value")
    return _bounded(f"list of {' to '.join(limits)} {kind}s".replace("  ", " "), schema["items"])


def _bounded(word: str, schema: Schema) -> str:
    bounds = [f"{sign} {schema[name]}" for name, sign in BOUNDS.items() if name in schema]
    return f"{word} {' and '.join(bounds)}" if bounds else word
