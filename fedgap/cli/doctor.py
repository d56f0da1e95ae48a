"""`fedgap doctor`: can this machine be a server, or a participant?"""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.cli.findings import show_findings
from fedgap.errors import UsageError

ROLES = ("server", "client")


@app.command()
def doctor(
    role: Annotated[str, typer.Argument(metavar="[server|client]", help="What this machine is to do.")] = "client",
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where it would keep its files.")] = Path(),
    as_json: show.Json = False,
) -> None:
    """Look at this machine: software, processor, GPU, memory, disk, clock. Nothing leaves it."""
    if role not in ROLES:
        raise UsageError(f"There is no role '{role}'.", remedy="Write server or client.")
    from fedgap.flower.doctor import examine  # noqa: PLC0415 - --help need not wait for it

    show_findings(examine(cast("Literal['server', 'client']", role), folder), as_json=as_json)
