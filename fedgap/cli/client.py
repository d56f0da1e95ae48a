"""`fedgap client`: what a participant runs. Two commands to take part: `join` once, then `run`."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.cli.client_events import sentence
from fedgap.cli.findings import show_findings
from fedgap.errors import FedgapError, MissingExtraError, UsageError

client_app = typer.Typer(name="client", help="Take part in a federation with your own data.", no_args_is_help=True)
app.add_typer(client_app, name="client")

PASSPHRASE = "FEDGAP_PASSPHRASE"  # noqa: S105 - the name of a variable

SiteFile = Annotated[Path, typer.Argument(metavar="[SITE.TOML]", help="This site's own settings.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File whose first line is the passphrase of the keys; else FEDGAP_PASSPHRASE, else asked."),
]
DEFAULT_SITE = Path("site.toml")

PEAKS = ("peak_bytes", "peak_gpu_bytes")
"""Shown in MB; with --json they are bytes."""


class NotApprovedError(FedgapError):
    """A person said no."""

    code = "client.not-approved"
    remedy = "Nothing runs. To join after all, run the same command again while the invitation is valid."


@client_app.command()
def join(
    invite: Annotated[str, typer.Argument(metavar="INVITE", help="The line that the operator sent.")],
    *,
    data: Annotated[str | None, typer.Option(help="Your own file; written into a new site.toml.")] = None,
    evaluation_data: Annotated[
        str | None, typer.Option(help="Your copy of the public rows, if the plan measures on such.")
    ] = None,
    site: Annotated[Path, typer.Option(help="Settings of this site; written if missing.")] = DEFAULT_SITE,
    seal: Annotated[bool, typer.Option("--seal", help="Seal the keys under a passphrase.")] = False,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan without being asked; for scripts.")] = False,
    as_json: show.Json = False,
) -> None:
    """Join a federation: makes this site's keys, shows the plan, asks for your approval."""
    _need_flower()
    if not yes and as_json:
        raise UsageError("--json cannot ask for approval.", remedy="Add --yes once somebody has read the plan.")
    from fedgap.flower.join import LEAVES, begin_joining, end_joining, policy_in_words  # noqa: PLC0415 - loads Flower and torch

    passphrase = _new_passphrase(passphrase_file) if seal or passphrase_file else os.environ.get(PASSPHRASE)
    joining = begin_joining(invite, site, data=data, passphrase=passphrase, now_s=time.time())
    if not as_json:
        for line in joining.sentences:
            show.console.print(line, markup=False, emoji=False)
        if joining.policy is not None:
            show.console.print("\nThe funding policy, which you approve too:")
            show.console.print(policy_in_words(joining.policy), markup=False, emoji=False)
        show.console.print("\nWhat leaves this site:")
        for line in LEAVES:
            show.console.print(f"  - {line}", markup=False)
        show.console.print(f"\nFingerprint to read to the operator: {joining.fingerprint}\n", markup=False)
    if not yes and not _confirmed("Does your organisation approve this plan?"):
        raise NotApprovedError("The plan was not approved.")
    found = end_joining(joining, site, data=data, evaluation=evaluation_data)
    if as_json:
        show.document(
            {
                "joined": joining.invite.federation,
                "organisation": joining.invite.organisation,
                "fingerprint": joining.fingerprint,
                "status": joining.status,
                "plan": joining.reply.plan,
                "site": str(site),
                "folder": str(found.folder),
            }
        )
        return
    if joining.status == "waiting":
        show.console.print("The operator compares the fingerprint with you and then lets you in.")
    show.console.print(f"Joined. Your settings are in {site}; look at its limits. Next: fedgap client run {site}")


@client_app.command()
def run(
    site: SiteFile = DEFAULT_SITE,
    *,
    passphrase_file: PassphraseFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for everything that happens.")
    ] = False,
) -> None:
    """Take part: trains when asked, comes back when the server was away, ends when the federation has ended."""
    _need_flower()
    from fedgap.flower.supervisor import Supervisor  # noqa: PLC0415 - needs the extra

    passphrase = _passphrase(site, passphrase_file)
    supervisor = Supervisor(site=site, passphrase=passphrase, tell=_as_lines if as_json else _as_words)
    signal.signal(signal.SIGTERM, _end)
    try:
        supervisor.run()
    finally:
        supervisor.stop()


@client_app.command()
def check(site: SiteFile = DEFAULT_SITE, *, as_json: show.Json = False) -> None:
    """Try data, task, limits and connection; nothing is sent."""
    _need_flower()
    from fedgap.flower.check import check_site  # noqa: PLC0415 - loads Flower and torch

    show_findings(check_site(site), as_json=as_json)


@client_app.command()
def status(site: SiteFile = DEFAULT_SITE, *, as_json: show.Json = False) -> None:
    """What this site has joined, where it stands, what its work took, what left it."""
    _need_flower()
    from fedgap.flower.standing import standing_of  # noqa: PLC0415 - needs the extra

    found = standing_of(site)
    if as_json:
        show.document(found)
        return
    for name, value in found["facts"].items():
        if value in (None, ""):
            continue
        show.console.print(f"{name}: {value}", markup=False, emoji=False)
    show.console.print()
    show.console.print(_table("work", "phase", found["work"]))
    show.console.print(_table("what left this site", "purpose", found["left"]))


@client_app.command()
def approve(
    digest: Annotated[
        str, typer.Argument(metavar="DIGEST", help="Of the manifest or policy, as the client printed it.")
    ],
    site: SiteFile = DEFAULT_SITE,
    *,
    as_json: show.Json = False,
) -> None:
    """Approve a new version of the roster or of the funding policy that goes beyond what was approved before."""
    _need_flower()
    from fedgap.flower.standing import approve_manifest  # noqa: PLC0415 - needs the extra

    approve_manifest(site, digest)
    if as_json:
        show.document({"approved": digest})
    else:
        show.console.print("Approved. A client that runs signs it within a minute.")


@client_app.command("rotate-key")
def rotate_key(
    invite: Annotated[str, typer.Argument(metavar="INVITE", help="A new one for this organisation.")],
    site: SiteFile = DEFAULT_SITE,
    *,
    passphrase_file: PassphraseFile = None,
    as_json: show.Json = False,
) -> None:
    """Change this site's keys, for instance because somebody else may know them; stop the client first."""
    _need_flower()
    from fedgap.flower.join import rotate_keys  # noqa: PLC0415 - loads Flower and torch

    words = rotate_keys(invite, site, passphrase=_passphrase(site, passphrase_file), now_s=time.time())
    if as_json:
        show.document({"fingerprint": words})
        return
    show.console.print(f"New fingerprint to read to the operator: {words}", markup=False)
    show.console.print("The new keys take part once the other members have signed; start the client again.")


@client_app.command()
def leave(
    site: SiteFile = DEFAULT_SITE,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: show.Json = False,
) -> None:
    """End the membership: this site answers nothing more. What was sent cannot be taken back."""
    _need_flower()
    from fedgap.flower.standing import end_membership  # noqa: PLC0415 - needs the extra

    if not yes and (as_json or not _confirmed("End the membership of this site?")):
        raise NotApprovedError("The membership goes on.", remedy="Add --yes to end it without being asked.")
    membership = end_membership(site)
    if as_json:
        show.document({"left": membership.federation, "organisation": membership.organisation})
    else:
        show.console.print(f"Left. Tell the operator, who runs: fedgap server revoke {membership.organisation}")


def _need_flower() -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - only here

    if not all(find_spec(module) for module in ("flwr", "torch")):
        raise MissingExtraError(extra="torch,flower", needed_for="fedgap client")


def _confirmed(question: str) -> bool:
    """Ask a person; where nobody answers, the answer is no."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        return False


def _passphrase(site: Path, file: Path | None) -> str | None:
    """Find the passphrase of the keys: in a file, in the environment, or ask; none if they are not sealed."""
    from fedgap.config.site import load_site  # noqa: PLC0415 - a command without it need not wait
    from fedgap.flower.membership import SiteFolder  # noqa: PLC0415 - same reason

    if file is not None:
        return _first_line(file)
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if not SiteFolder(load_site(site).folder).are_keys_sealed():
        return None
    if not sys.stdin.isatty():
        remedy = f"Give it with --passphrase-file or {PASSPHRASE}."
        raise UsageError("The keys are sealed and nobody can be asked for the passphrase.", remedy=remedy)
    return str(typer.prompt("Passphrase of this site's keys", hide_input=True))


def _new_passphrase(file: Path | None) -> str:
    if file is not None:
        return _first_line(file)
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    return str(typer.prompt("New passphrase for this site's keys", hide_input=True, confirmation_prompt=True))


def _first_line(file: Path) -> str:
    try:
        line = file.read_text(encoding="utf-8").split("\n", maxsplit=1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The passphrase cannot be read from {file}.", remedy="Check the path.") from error
    if not line:
        raise UsageError(f"The first line of {file} is empty.", remedy="Write the passphrase into it.")
    return line


def _as_lines(event: dict[str, Any]) -> None:
    show.line(event)


def _as_words(event: dict[str, Any]) -> None:
    text = sentence(event)
    if text:
        show.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, emoji=False)


def _end(*_signal: object) -> NoReturn:
    raise SystemExit(0)


def _table(title: str, first: str, rows: list[dict[str, Any]]) -> Table:
    """Show rows; a column that says nothing is left out, so that the rest fits a terminal."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    said = dict.fromkeys(key for row in rows for key, value in row.items() if value is not None and key != first)
    names = [first, *said]
    for name in names:
        table.add_column(_heading(name), justify="left" if name == first else "right")
    for row in rows:
        table.add_row(*(_shown(name, row.get(name)) for name in names))
    return table


def _heading(name: str) -> str:
    short = name.replace("_seconds", "_s").replace("_joules", "_J")
    return (short.replace("_bytes", "_MB") if name in PEAKS else short).replace("_", " ")


def _shown(name: str, value: Any) -> str:  # noqa: ANN401 - a text, a number or nothing
    if value is None:
        return "-"
    if name in PEAKS:
        return f"{value / 1e6:.0f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
