"""Kinds of text that several sections hold: identifiers, and what people read on one line."""

from typing import Annotated

from pydantic import AfterValidator, Field

from fedgap.config.section import refuse
from fedgap.ids import is_id

ID = "lower-case letters, digits and hyphens, at most 63, not beginning with a hyphen"
LONGEST = 1000


def check_id(text: str) -> str:
    """Let an identifier through."""
    if not is_id(text):
        raise refuse("This is no identifier.", f"Use {ID}.")
    return text


def check_shown(text: str) -> str:
    """Let a text through that can be shown on one line or name a file: not empty, no control character."""
    if not text.strip() or not text.isprintable():
        raise refuse("It is empty or holds characters that cannot be shown.", "Write it on one line.")
    return text


Shown = Annotated[str, Field(max_length=LONGEST), AfterValidator(check_shown)]
"""Text that people read, or a path."""
