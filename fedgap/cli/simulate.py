"""`fedgap simulate`: what a federation would bring each organisation, on this machine."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedgap import storage
from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.cli.progress import steps
from fedgap.config import FederationConfig, load_federation
from fedgap.errors import MissingExtraError

FILES = ("report.json", "report.html", "model.safetensors")


@app.command()
def simulate(
    federation: Annotated[Path, typer.Argument(help="The federation.toml.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the report and the model; made if missing.")] = Path("out"),
    engine: Annotated[str, typer.Option(help="auto, sequential, stacked or flower: changes the time only.")] = "auto",
    seed: Annotated[int | None, typer.Option(min=0, help="In place of federation.seed.", show_default=False)] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="full: every message of secure aggregation; sum: the same integers without masks. "
            "Full up to 128 organisations, else sum; changes the time only.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the organisations' files, if elsewhere.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core. Changes the time only.")] = 0,
    as_json: show.Json = False,
) -> None:
    """Train a federation on this machine and say what it brings each organisation.

    Compares, for every organisation, training alone, the federation, the federation fine-tuned at home, and all rows
    pooled, over repeated splits; leaves report.json, report.html and model.safetensors in the folder given by --out.
    """
    config = load_federation(federation, data)
    if seed is not None:
        config = config.with_seed(seed)
    _need_torch()
    from fedgap.simulation import study  # noqa: PLC0415 - loads torch, which --help and wrong input need not wait for
    from fedgap.simulation.aggregate import choose_protocol  # noqa: PLC0415 - same reason
    from fedgap.simulation.workers import usable_cores  # noqa: PLC0415 - same reason

    study.check_engine(engine)
    choose_protocol(config, protocol)
    storage.make_folder(out)
    what = f"{len(config.organisations)} organisations, {config.baselines.splits} splits"
    with steps(what, study.steps(config)) as advance:
        found = study.simulate(
            config, workers=workers or usable_cores(), engine=engine, protocol=protocol, progress=advance
        )
    _write(out, config, found)
    if as_json:
        show.document(found.report)
    else:
        _show(found.report, out)


def _need_torch() -> None:
    if not all(find_spec(name) for name in ("torch", "safetensors")):
        raise MissingExtraError(extra="torch", needed_for="fedgap simulate")


def _write(out: Path, config: FederationConfig, found: Any) -> None:  # noqa: ANN401 - Study loads torch
    """Put the three files in place, each whole or not at all."""
    from fedgap.learning.vector import packed  # noqa: PLC0415 - loads torch
    from fedgap.report import page  # noqa: PLC0415 - not needed where nothing is written

    model = packed(found.model, {"task": config.federation.task, "preprocessing": json.dumps(found.preprocessing)})
    text = json.dumps(found.report, indent=2, ensure_ascii=False, allow_nan=False)
    contents = (text.encode() + b"\n", page(found.report).encode(), model)
    for name, content in zip(FILES, contents, strict=True):
        storage.replace(out / name, content)


def _show(report: Any, out: Path) -> None:  # noqa: ANN401 - the shape of report.json
    """Show the answer in plain words, a table, and where the files are."""
    from fedgap.report import summary  # noqa: PLC0415 - not needed with --json

    for sentence in summary(report):
        show.console.print(sentence, markup=False)
    caption = f"{report['metric']['name']} on all organisations' test rows, in points; tuned: fine-tuned at home"
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("organisation", overflow="fold")
    for heading in ("rows", "alone", "together", "tuned", "pooled", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for entry in report["organisations"]:
        scores = [_points(entry[name]["common"]["metric"]) for name in ("local", "federated", "personalised", "pooled")]
        gain = entry["gain"]["common"]
        between = "-" if gain["ci95"] is None else f"{_points(gain['ci95'][0])}..{_points(gain['ci95'][1])}"
        name = Text(entry["name"])
        table.add_row(name, str(entry["train_rows"]), *scores, _points(gain["mean"]), between, entry["verdict"])
    show.console.print()
    show.console.print(table)
    how = ", ".join(f"{kind} {report[kind]['name']} ({report[kind]['why']})" for kind in ("engine", "protocol"))
    show.console.print(f"\nHow: {how}; {report['seconds']:.0f} s.", markup=False)
    show.console.print(f"Files: {', '.join(str(out / name) for name in FILES)}")


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
