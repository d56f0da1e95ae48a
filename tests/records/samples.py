"""Strategies for records of every kind, made from their annotations."""

import dataclasses
import types
import typing
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from fedgap.crypto.codec import Between, Exactly
from fedgap.records import KINDS, Record
from fedgap.records.values import OneOf

IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


def of(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - an annotation can be anything
    """Values that an annotation allows."""
    if typing.get_origin(hint) is typing.Annotated:
        return _checked(*typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return st.lists(of(typing.get_args(hint)[0]), max_size=4).map(tuple)
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return st.none() | of(typing.get_args(hint)[0])
    if hint is Fraction:
        return st.fractions() | st.integers(-(2**300), 2**300).map(lambda n: Fraction(n, 2**200 + 1))
    if hint is bytes:
        return st.binary(max_size=40)
    return instances(hint)


def _checked(base: Any, check: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - same reason
    match check:
        case Exactly(size=size):
            return st.binary(min_size=size, max_size=size)
        case Between(low=low, high=high):
            return st.integers(int(low), int(high))
        case OneOf(codes=codes):
            return st.sampled_from(codes)
        case _:
            del base
            return IDS


def instances(cls: type) -> st.SearchStrategy[Any]:
    """Instances of a dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{field.name: of(hints[field.name]) for field in dataclasses.fields(cls)})


records: st.SearchStrategy[Record] = st.sampled_from(list(KINDS.values())).flatmap(instances)
"""Records of every kind, within the bounds of their fields, not of any story."""
