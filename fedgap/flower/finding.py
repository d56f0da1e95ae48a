"""One thing that was tried on this machine, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fedgap.errors import FedgapError

Found: TypeAlias = tuple[str, dict[str, Any]]
"""What was found, in words and as plain JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: what.
        text: what was found, in words.
        error: why it will not work; None if it will.
        facts: the same for programs.
    """

    name: str
    text: str
    error: FedgapError | None
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it will work."""
        return self.error is None


def tried(name: str, attempt: Callable[[], Found]) -> Finding:
    """Try something; an error of ours becomes part of the finding."""
    try:
        text, facts = attempt()
    except FedgapError as error:
        return Finding(name=name, text=error.cause, error=error, facts={})
    return Finding(name=name, text=text, error=None, facts=facts)
