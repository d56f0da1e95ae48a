"""How organisations are called on a page and in a terminal: readable, distinct, and unable to disturb the rest."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fedgap.report.markup import END_ISOLATE, ISOLATE, clean

_RIGHT_TO_LEFT = {"R", "AL"}
_WIDE = {"W", "F"}


def display_names(organisations: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give each organisation's id the name to show.

    A name without a visible character is replaced by the id; a name that occurs twice gets the id in front, so
    that cutting it short leaves them distinct.
    """
    plain = {org["id"]: _plain(org["name"]) or _plain(org["id"]) for org in organisations}
    often = Counter(plain.values())
    return {
        org_id: isolated(name if often[name] == 1 else f"{_plain(org_id)}: {name}") for org_id, name in plain.items()
    }


def isolated(name: str) -> str:
    """Keep a right-to-left name from turning the sentence around it."""
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in name):
        return f"{ISOLATE}{name}{END_ISOLATE}"
    return name


def shortened(name: str, columns: int) -> str:
    """Cut a name to about `columns` columns of a terminal's width; a wide character takes two, an accent none."""
    bare, used = _plain(name), 0
    for position, character in enumerate(bare):
        used += _columns(character)
        if used > columns:
            return isolated(bare[: max(position - 1, 0)].rstrip("\u200d ") + "\u2026")
    return name


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def _plain(name: str) -> str:
    return clean(name.replace(ISOLATE, "").replace(END_ISOLATE, "")).strip("\u200c\u200d ")
