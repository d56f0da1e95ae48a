"""`fedgap config`: check a federation.toml, or explain what may stand in any of fedgap's files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.cli.own_task import blamed
from fedgap.config import ConfigError, FederationConfig, load_federation
from fedgap.config.reference import SectionHelp, as_document, as_page, reference
from fedgap.config.summary import summary
from fedgap.errors import FedgapError, UsageError
from fedgap.ids import OrgId

config_app = typer.Typer(
    name="config", help="Check a federation.toml, or explain every key of every file.", no_args_is_help=True
)
app.add_typer(config_app, name="config")


@config_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A federation.toml.", show_default=False)],
    *,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the organisations' files, if another.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Say what a configuration means and whether every file can be used, or everything that is wrong.

    The federation.toml in a server's folder names no organisation's rows; its policy is tried.
    """
    deployed = (file.parent / "server.toml").is_file()
    try:
        config = load_federation(file, data, deployed=deployed)
    except ConfigError as error:
        _refuse(error, as_json=as_json)
        raise typer.Exit(error.exit_status) from error
    rows, wrong = _tried(config, deployed=deployed)
    if as_json:
        failures = [show.described(one) for one in wrong]
        found = {"ok": not wrong, "summary": list(summary(config)), "rows": rows, "problems": failures}
        show.document(found | {"configuration": config.document()})
    else:
        for sentence in summary(config):
            show.console.print(sentence, markup=False, emoji=False)
        if rows:
            show.console.print(", ".join(f"{org}: {count} rows" for org, count in rows.items()), markup=False)
    for one in wrong:
        show.failure(one, as_json=False)
    if wrong:
        raise typer.Exit(max(one.exit_status for one in wrong))
    if not as_json:
        show.console.print("ok", style="bold green")


def _tried(config: FederationConfig, *, deployed: bool) -> tuple[dict[OrgId, int], list[FedgapError]]:
    """Read the files that a configuration names: rows of each that can be used, and all that is wrong."""
    from fedgap.config.policy import load_policy  # noqa: PLC0415 - a wrong configuration need not wait for numpy
    from fedgap.simulation.money import money_of  # noqa: PLC0415 - same reason
    from fedgap.simulation.sites import check_files  # noqa: PLC0415 - same reason

    with blamed(config.federation.task):
        rows, wrong = ({}, []) if deployed else check_files(config)
    try:
        if not deployed:
            money_of(config)
        elif config.federation.policy is not None:
            load_policy(config.base / config.federation.policy)
    except FedgapError as error:
        wrong.append(error)
    return rows, wrong


@config_app.command()
def explain(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[KEY or SECTION]", help="Such as training or training.lr.")
    ] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/configuration.md.")] = False,
    as_json: show.Json = False,
) -> None:
    """Every key of federation.toml, site.toml, server.toml and policy.toml: meaning, allowed values, unit, default."""
    if markdown and (as_json or wanted is not None):
        raise UsageError("--markdown prints the whole page.", remedy="Give it alone.")
    if markdown:
        show.console.out(as_page(), highlight=False)
        return
    sections = reference(wanted)
    if as_json:
        show.document(as_document(sections))
        return
    for section in sections:
        show.console.print(_table(section), soft_wrap=False)


def _refuse(error: ConfigError, *, as_json: bool) -> None:
    """One problem a line for people; for programs the usual document of an error with the problems beside it."""
    if as_json:
        problems = [{"key": one.key, "cause": one.cause, "remedy": one.remedy} for one in error.problems]
        show.document({"ok": False, "error": show.described(error), "problems": problems})
    for problem in error.problems:
        show.progress_console.print(f"{error.code}: {problem.line()}", markup=False, emoji=False, style="bold red")


def _table(section: SectionHelp) -> Table:
    title, caption = Text(section.title()), Text(section.meaning)
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for heading in ("key", "meaning", "allowed", "unit", "default"):
        table.add_column(heading, overflow="fold")
    for key in section.keys:
        table.add_row(*map(Text, (key.key, key.meaning, key.allowed, key.unit, key.default)))
    return table
