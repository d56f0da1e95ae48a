"""`fedgap server`: run a federation on public infrastructure, and keep its book."""

import datetime as dt
import signal
import threading
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.table import Table

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from fedgap.flower.policy_work import Proposal

server_app = typer.Typer(name="server", help="Run a federation: invite, train, back up.", no_args_is_help=True)
app.add_typer(server_app, name="server")

HTTPS_PORT, PROXIED_PORT = 443, 8443

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The server's folder.", show_default=False)]
Org = Annotated[str, typer.Argument(metavar="ORG", help="Its id in federation.toml.", show_default=False)]
In = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The server's folder.")]


@server_app.command("init")
def init(
    folder: Folder,
    *,
    address: Annotated[str, typer.Option(help="What participants connect to.")] = "https://localhost:8443",
    host: Annotated[str, typer.Option(help="Address of this machine on which to listen.")] = "0.0.0.0",  # noqa: S104 - a server for the public
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port on which to listen; by default the address's.", show_default=False),
    ] = None,
    certificate: Annotated[str, typer.Option(help="own, files or proxy; see docs/operations.md.")] = "own",
    start: Annotated[
        Path | None, typer.Option("--from", help="Begin with this model, a model.safetensors.", show_default=False)
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Make a server's folder: keys, a CA of its own, templates of federation.toml, server.toml and policy.toml."""
    home = _flower(folder)
    from fedgap.config.summary import settlement_size  # noqa: PLC0415 - not needed by --help
    from fedgap.flower.home import make_home  # noqa: PLC0415 - Flower takes a second to load; --help need not wait

    _check(address=address, host=host, port=port or 0, certificate=certificate)
    if port is None:
        port = PROXIED_PORT if certificate == "proxy" else urlsplit(address).port or HTTPS_PORT
    now = dt.datetime.now(dt.UTC)
    made = make_home(folder, address=address, listen=(host, port), certificate=certificate, now=now, start=start)
    config, operator = made.config(), made.operator()
    names = [organisation.id for organisation in config.organisations]
    if as_json:
        ca = made.ca_fingerprint(operator).hex() or None
        show.document({"folder": str(folder), "address": operator.address, "ca": ca, "organisations": names})
        return
    show.console.print(f"{folder} is ready: {len(names)} organisations in {home.federation.name}.", markup=False)
    for sentence in settlement_size(config):
        show.console.print(sentence, markup=False)
    show.console.print(f"Next: edit {made.federation}, then\n  fedgap server run {folder}", markup=False)
    for name in names:
        show.console.print(f"  fedgap server invite {name} --dir {folder}", markup=False)


@server_app.command("run")
def run(
    folder: Folder,
    *,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for organisations; else wait_s.", show_default=False)
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Serve until the last round is over; stop with Ctrl-C or SIGTERM, run it again to go on."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # before anything is loaded: in a container the first process
        signal.signal(number, lambda *_: stop.set())  # ignores what it has no handler for
    home = _flower(folder)
    home.require()
    from fedgap.flower.service import serve  # noqa: PLC0415 - loads Flower and torch

    course = serve(home, say=_say, stopped=stop.is_set, wait_s=wait)
    from fedgap.learning.parameters import digest  # noqa: PLC0415 - only at the end

    done = {"rounds": course.applied, "model": str(home.model), "model_sha256": digest(course.state.model)}
    if as_json:
        show.document(done)
    else:
        show.console.print(f"{done['rounds']} rounds; the model is {done['model']}.", markup=False)
        show.console.print(f"model_sha256 {done['model_sha256']}", markup=False)


@server_app.command("invite")
def invite(
    org: Org,
    *,
    folder: In = Path(),
    confirm: Annotated[
        bool, typer.Option("--confirm", help="It takes part only after `fedgap server approve ORG`.")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Make an invitation: one line to send to one organisation; it works once."""
    home = _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    made = desk_work.invite(home, org, confirm=confirm, now_s=time.time())
    until = dt.datetime.fromtimestamp(made.expires_s, dt.UTC).isoformat()
    if as_json:
        show.document({"organisation": made.org, "invite": made.text, "expires": until, "confirm": confirm})
        return
    show.progress_console.print(f"For {made.org} only, valid once, until {until}:", markup=False)
    show.console.print(made.text, markup=False)
    show.progress_console.print(f"There: fedgap client join {made.text[:16]}...", markup=False)


@server_app.command("approve")
def approve(org: Org, *, folder: In = Path(), as_json: show.Json = False) -> None:
    """Let an organisation that joined with --confirm take part, after comparing fingerprints over the phone."""
    home = _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    words = desk_work.approve(home, org)
    if as_json:
        show.document({"organisation": org, "standing": "approved", "fingerprint": words})
    else:
        show.console.print(f"{org} takes part. Its fingerprint: {words}", markup=False)


@server_app.command("revoke")
def revoke(org: Org, *, folder: In = Path(), as_json: show.Json = False) -> None:
    """Let an organisation take part no longer; its node is cut off at once if the server runs."""
    home = _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    desk_work.revoke(home, org)
    if as_json:
        show.document({"organisation": org, "standing": "revoked"})
    else:
        show.console.print(f"{org} takes part no longer.", markup=False)


@server_app.command("policy")
def policy(
    new: Annotated[
        Path | None, typer.Argument(metavar="[NEW.TOML]", help="The new policy.toml.", show_default=False)
    ] = None,
    *,
    folder: In = Path(),
    from_period: Annotated[
        int | None, typer.Option(min=2, help="From which period it applies.", show_default="the next")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back what waits for the members.")] = False,
    as_json: show.Json = False,
) -> None:
    """Propose a new funding policy from a later period on; it applies once a quorum of members has approved it."""
    home = _flower(folder)
    from fedgap.flower import policy_work  # noqa: PLC0415 - loads Flower

    if withdraw == (new is not None):
        raise UsageError("Name either a new policy.toml or --withdraw.", remedy="See fedgap server policy --help.")
    if new is None:
        policy_work.withdraw(home)
        if as_json:
            show.document({"withdrawn": True})
        else:
            show.console.print("Nothing is proposed any more; the policy in force goes on.")
        return
    made = policy_work.propose(home, new, from_period=from_period)
    if as_json:
        show.document(_proposal(made))
    else:
        _show_proposal(_proposal(made))


@server_app.command("status")
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The server's folder.")] = Path(),
    *,
    as_json: show.Json = False,
) -> None:
    """Say how things stand."""
    home = _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    found = desk_work.status(home) | {"policy": _waiting_policy(home)}
    if as_json:
        show.document(found)
    else:
        _show_status(found)


@server_app.command("backup")
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A new .tar.gz; it holds the server's secret keys.")],
    *,
    folder: In = Path(),
    as_json: show.Json = False,
) -> None:
    """Write everything that cannot be made again into one file; the server may go on meanwhile."""
    home = _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    size = desk_work.backup(home, to)
    if as_json:
        show.document({"file": str(to), "bytes": size})
    else:
        show.console.print(f"{to}: {size} bytes. Keep it as you would keep a private key.", markup=False)


@server_app.command("restore")
def restore(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    folder: Folder,
    *,
    as_json: show.Json = False,
) -> None:
    """Make a server's folder from a backup; end the old server first, for good."""
    _flower(folder)
    from fedgap.flower import desk_work  # noqa: PLC0415 - loads Flower

    made = desk_work.restore(archive, folder)
    if as_json:
        show.document({"folder": str(made.folder)})
    else:
        show.console.print(f"{made.folder} is restored. Next: fedgap server run {made.folder}", markup=False)


def _flower(folder: Path) -> Any:  # noqa: ANN401 - a Home, whose module loads Flower
    """Prepare for Flower, in this folder and silent, before it is imported."""
    if not all(find_spec(name) for name in ("flwr", "torch")):
        raise MissingExtraError(extra="torch,flower", needed_for="fedgap server")
    from fedgap.flower import live_in  # noqa: PLC0415 - sets the environment first

    live_in(folder.resolve() / "state" / "flower")
    from fedgap.flower.home import Home  # noqa: PLC0415 - after the line above

    return Home(folder)


def _check(**server: object) -> None:
    """Refuse wrong options before anything is written, with the words of server.toml."""
    from fedgap.config.operator import Operator  # noqa: PLC0415 - not needed by --help
    from fedgap.config.problems import ConfigError, read_section  # noqa: PLC0415 - same reason

    extra = {"certificate_file": "-", "key_file": "-"} if server["certificate"] == "files" else {}
    section, problems = read_section(Operator, server | extra, "server")
    if section is None:
        raise ConfigError(problems, name="fedgap server init")


def _waiting_policy(home: Any) -> dict[str, Any] | None:  # noqa: ANN401 - as below
    from fedgap.flower import policy_work  # noqa: PLC0415 - loads Flower

    made = policy_work.proposed(home)
    return None if made is None else _proposal(made)


def _proposal(made: "Proposal") -> dict[str, Any]:
    return asdict(made) | {"changes": list(made.changes), "unapproved": list(made.unapproved)}


def _show_proposal(found: dict[str, Any]) -> None:
    """Say what is proposed, and what has to happen."""
    missing = ", ".join(found["unapproved"]) or "nobody is missing"
    lines = [
        f"Version {found['version']} of the funding policy, from period {found['from_period']}:",
        *(f"  {change}" for change in found["changes"]),
        f"{found['needed']} members must approve it before that period begins; not yet: {missing}.",
        f"At each: fedgap client approve {found['digest']}",
    ]
    for line in lines:
        show.console.print(line, markup=False, emoji=False)


def _say(sentence: str) -> None:
    show.progress_console.print(f"{dt.datetime.now():%H:%M:%S} {sentence}", markup=False)  # noqa: DTZ005 - a person's clock


def _show_status(found: dict[str, Any]) -> None:
    running = "running" if found["running"] else "not running"
    show.console.print(f"{found['federation']} at {found['address']}: {running}.", markup=False)
    if found["last"] is not None:
        show.console.print(f"Last: {found['last']['phase']}.", markup=False)
        for org, why in found["last"]["waiting_for"].items():
            show.console.print(f"  {org} {why}", markup=False)
    show.console.print(f"{found['rounds_done']} of {found['rounds_planned']} rounds.", markup=False)
    table = Table("organisation", "standing", "fingerprint")
    for entry in found["organisations"]:
        table.add_row(entry["id"], entry["standing"], entry["fingerprint"] or "-")
    show.console.print(table)
    if found["proposed"] is not None:
        unsigned = ", ".join(found["proposed"]["unsigned"])
        show.console.print(f"Version {found['proposed']['version']} of the manifest waits for: {unsigned}.")
    if found["policy"] is not None:
        _show_proposal(found["policy"])
