"""The only module that prints: tables and progress for people, one JSON document for programs."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from fedgap.errors import FedgapError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else there.")]

LEAST_COLUMNS = 80
"""A terminal narrower than that wraps the lines of a table; it would be drawn with columns and digits left out."""

console = Console(soft_wrap=True, highlight=False)
"""Answers: standard output."""
console.width = max(console.width, LEAST_COLUMNS)

progress_console = Console(stderr=True, soft_wrap=True, highlight=False)
"""Progress, notes and errors: standard error, so that an answer can be piped."""


def document(content: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command; a number that is not finite is a defect and raises."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def line(content: Mapping[str, Any]) -> None:
    """Print one JSON object as a line, at once; for commands that tell what happens while they run."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def described(error: FedgapError) -> dict[str, str]:
    """An error as a program reads it."""
    return {"code": error.code, "cause": error.cause, "remedy": error.remedy}


def failure(error: FedgapError, *, as_json: bool) -> None:
    """Print code, cause and remedy on one line; with `--json` also as the document."""
    progress_console.print(error.line(), markup=False, emoji=False, style="bold red")
    if as_json:
        document({"error": described(error)})
