"""What fields of records are made of: identifiers, short codes, whole numbers and exact fractions, with their bounds.

A check runs when bytes are read, so a record that was read is within its bounds. There are no numbers with a point.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

from fedgap.crypto.codec import Between
from fedgap.ids import FederationId, OrgId, is_id

_CODE = re.compile(r"[a-z0-9][a-z0-9._:-]{0,63}")


_an_identifier = lru_cache(maxsize=4096)(is_id)
"""The same few come back in every record."""


@dataclass(frozen=True, slots=True)
class _Code:
    """A short code: lower-case letters, digits, and . _ : - between them, at most 64."""

    def __call__(self, value: str) -> bool:
        """Check one value."""
        return _CODE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these codes."""

    codes: tuple[str, ...]

    def __call__(self, value: str) -> bool:
        """Check one value."""
        return value in self.codes


Organisation: TypeAlias = Annotated[OrgId, _an_identifier]
Federation: TypeAlias = Annotated[FederationId, _an_identifier]
Code: TypeAlias = Annotated[str, _Code()]
"""Why something is so, for programs: `outlier`, `secagg.bad-share`. Never a sentence, never a value from a row."""

Number: TypeAlias = Annotated[int, Between(1, 2**40)]
"""A round, an attempt, a period, a version: from 1."""

Amount: TypeAlias = Annotated[int, Between(0, 2**60)]
"""Money in the smallest unit of the currency (cents), or a measured quantity."""

Word: TypeAlias = Annotated[int, Between(0, 2**32 - 1)]
"""A number of the ring modulo 2**32."""

Utility: TypeAlias = Annotated[int, Between(-(2**62), 2**62)]
"""A utility in units of 1e-9."""

Standing: TypeAlias = Literal["verified", "provisional", "contracted", "by-weight"]
"""How far an opened value was checked by its peers (PROTOCOL section 4); `by-weight`: it was not opened."""

STANDINGS: tuple[Standing, ...] = ("verified", "provisional", "contracted", "by-weight")

CHANGES = ("joined", "left", "key", "weight", "name")
"""How a new version of the manifest changes a member."""

Author: TypeAlias = Literal["server", "organisation", "server-or-funder"]
"""Whose signature an entry needs; `organisation` is the one that the record names."""
