"""`fedgap bench`: measure a claim again. The benchmarks are scripts of the repository, each against its peers."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import fedgap
from fedgap.cli.app import app
from fedgap.errors import FedgapError, MissingExtraError, UsageError

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Peers that report home by default are told not to, before they are imported."""

FOLDER = Path(fedgap.__file__).resolve().parents[1] / "bench"


class NoBenchmarksError(FedgapError):
    """The benchmarks are not installed with the package."""

    code = "bench.no-scripts"
    remedy = "Run it from a checkout of the repository: pip install --editable '.[all]'."
    exit_status = 2


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Such as secagg; what follows is passed on to the benchmark.")],
) -> None:
    """Run a benchmark of the repository: prints ratios and bars, and fails if a bar does not hold.

    There are contribution, flamby_heart, ledger, round, secagg, settlement and simulate; each takes --json, and most
    --quick.
    """
    scripts = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
    if not scripts:
        raise NoBenchmarksError("The benchmarks are not part of an installed package.")
    if name not in scripts:
        raise UsageError(f"There is no benchmark '{name}'.", remedy=f"There are: {', '.join(scripts)}.")
    if not all(find_spec(module) for module in ("flwr", "torch")):
        raise MissingExtraError(extra="all", needed_for=f"fedgap bench {name}")
    environment = os.environ | QUIET
    command = [sys.executable, str(scripts[name]), *context.args]
    ended = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own script
    raise typer.Exit(ended.returncode)
