"""HTML and SVG that cannot be broken by a name: whatever is not already `Html` is escaped on its way in.

Names, notes and reasons come from files of other organisations. They are text here and never become elements,
attributes or control characters, whatever they hold.
"""

import html
import re
import unicodedata
from collections.abc import Iterable

ISOLATE, END_ISOLATE = "\u2068", "\u2069"
"""Unicode's first-strong isolate: what stands between the two cannot turn the direction of the text around it."""

_KEPT_FORMATS = {"\u200c", "\u200d", ISOLATE, END_ISOLATE}
_NO_CHARACTER = re.compile(
    "[\ufdd0-\ufdef" + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)) + "]"
)
_VOID = {"meta"}
_SHAPES = {"circle", "line", "path", "polyline", "rect"}


class Html(str):
    """Markup that is safe to put into a page. Only this module makes it; joining it with a `str` loses the type."""

    __slots__ = ()


def clean(value: str) -> str:
    """Drop control and direction characters, which move a terminal's cursor or reorder what a person reads.

    Line breaks and tabs become spaces; what XML cannot hold becomes the replacement character.
    """
    return "".join(map(_clean_character, value))


def _clean_character(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category in {"Zl", "Zp"}:
        return " "
    if category == "Cc" or (category == "Cf" and character not in _KEPT_FORMATS):
        return ""
    if category == "Cs" or _NO_CHARACTER.match(character):
        return "\ufffd"
    return character


def text(value: str) -> Html:
    """Escape `value`; markup passes unchanged."""
    return value if isinstance(value, Html) else Html(html.escape(clean(value)))


def joined(parts: Iterable[str]) -> Html:
    """Put parts after one another, each escaped unless it is markup."""
    return Html("".join(map(text, parts)))


def element(name: str, /, *children: str, **attributes: str | float) -> Html:
    """Build one element of HTML or SVG.

    Args:
        name: from our own code, never from data.
        children: markup, or text to be escaped.
        attributes: `class_` becomes `class`, `aria_label` becomes `aria-label`; values are escaped.
    """
    pairs = [f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items()]
    opening = f"<{name}{''.join(pairs)}"
    if name in _VOID:
        return Html(f"{opening}>")
    if name in _SHAPES and not children:
        return Html(f"{opening}/>")
    return Html(f"{opening}>{joined(children)}</{name}>")


def raw(trusted: str) -> Html:
    """Take a constant of this package (its style sheet) as it is; data never comes this way."""
    return Html(trusted)


def _attribute(value: str | float) -> str:
    return text(f"{value:g}" if isinstance(value, float) else str(value))
