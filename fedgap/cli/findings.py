"""What was tried, line by line as it is found, or one document for programs; what failed decides the exit status."""

from collections.abc import Iterable
from typing import Any, Protocol

import typer
from rich.text import Text

from fedgap.cli import show
from fedgap.errors import FedgapError


class Finding(Protocol):
    """One thing that was tried (`fedgap.flower.finding`)."""

    @property
    def name(self) -> str:
        """What."""
        ...

    @property
    def text(self) -> str:
        """What was found."""
        ...

    @property
    def error(self) -> FedgapError | None:
        """Why it will not work."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        ...


def show_findings(findings: Iterable[Finding], *, as_json: bool) -> None:
    """Show findings.

    Raises:
        typer.Exit: one of them failed.
    """
    entries, wrong = [], []
    for one in findings:
        failure = {} if one.error is None else {"error": show.described(one.error)}
        entries.append({"name": one.name, "ok": one.error is None, "text": one.text, **one.facts, **failure})
        if one.error is not None:
            wrong.append(one.error)
        if not as_json:
            _show(one)
    if as_json:
        show.document({"ok": not wrong, "findings": entries})
    if wrong:
        raise typer.Exit(max(error.exit_status for error in wrong))


def _show(one: Finding) -> None:
    mark, style = ("ok", "green") if one.error is None else ("no", "bold red")
    show.console.print(Text.assemble((f"{mark:>3} ", style), f"{one.name}: {one.text}"))
    if one.error is not None:
        show.console.print(f"      {one.error.remedy}", markup=False)
