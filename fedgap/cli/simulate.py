"""`fedgap simulate`: what a federation would bring each organisation, on this machine."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.cli.own_task import blamed
from fedgap.cli.plan import make_plan
from fedgap.cli.progress import steps
from fedgap.config import FederationConfig, load_federation
from fedgap.errors import MissingExtraError, UsageError

FILES = ("report.json", "report.html", "model.safetensors")
LEDGER = "ledger.sqlite"


@app.command()
def simulate(  # noqa: PLR0913 - the options of one command
    federation: Annotated[Path, typer.Argument(help="The federation.toml.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the report and the model; made if missing.")] = Path("out"),
    engine: Annotated[
        str,
        typer.Option(
            help="auto, sequential (one training after the other, with torch: the bits of a deployment), stacked "
            "(all at once; linear layers without torch), processes (one a core) or flower (on Ray): the same numbers "
            "to about 1e-6."
        ),
    ] = "auto",
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
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Instead of a report: how many organisations, rounds and labelled rows are the cheapest that reach a "
            "target utility, or that are as good as the best for a budget (by default the policy's whole budget) but "
            "for one standard error, at the policy's prices.",
        ),
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="With --plan: an amount in the policy's currency.", show_default=False)
    ] = None,
    target: Annotated[float | None, typer.Option(help="With --plan: a utility.", show_default=False)] = None,
    labour_minutes: Annotated[int, typer.Option(min=0, help="With --plan: declared labour of each organisation.")] = 0,
    as_json: show.Json = False,
) -> None:
    """Train a federation on this machine and say what it brings each organisation.

    Compares, for every organisation, training alone, the federation, the federation fine-tuned at home, and all rows
    pooled, over repeated splits; leaves report.json, report.html, model.safetensors and ledger.sqlite in the folder
    given by --out.
    """
    config = load_federation(federation, data)
    if seed is not None:
        config = config.with_seed(seed)
    if plan:
        make_plan(
            config,
            out,
            engine=engine,
            budget=budget,
            target=target,
            labour_minutes=labour_minutes,
            as_json=as_json,
        )
        return
    if (budget, target) != (None, None):
        raise UsageError("--budget and --target belong to --plan.")
    from fedgap import storage  # noqa: PLC0415 - --help and wrong input need not wait for numpy
    from fedgap.learning.engines import check_engine  # noqa: PLC0415 - same reason
    from fedgap.simulation import study  # noqa: PLC0415 - same reason
    from fedgap.simulation.aggregate import choose_protocol  # noqa: PLC0415 - same reason
    from fedgap.simulation.workers import usable_cores  # noqa: PLC0415 - same reason

    if engine == "flower":
        _offer_flower()
    check_engine(engine)
    choose_protocol(config, protocol)
    storage.make_folder(out)
    what = f"{len(config.organisations)} organisations, {config.baselines.splits} splits"
    with blamed(config.federation.task), steps(what, study.steps(config)) as advance:
        found = study.simulate(
            config,
            workers=1 if engine == "flower" else workers or usable_cores(),
            engine=engine,
            protocol=protocol,
            progress=advance,
        )
    _write(out, config, found)
    if as_json:
        show.document(found.report)
    else:
        _show(found.report, out)


def _offer_flower() -> None:
    """Let the simulation ask for Flower's runtime, which it cannot know."""
    if not all(find_spec(name) for name in ("flwr", "ray", "torch")):
        raise MissingExtraError(extra="ray", needed_for="--engine flower")
    from fedgap.flower.simulation import FlowerEngine  # noqa: PLC0415 - loads flwr and torch
    from fedgap.learning.engines import OFFERED  # noqa: PLC0415 - not needed where it is not offered

    OFFERED["flower"] = FlowerEngine


def _write(out: Path, config: FederationConfig, found: Any) -> None:  # noqa: ANN401 - Study is not imported for --help
    """Put the files in place, each whole or not at all; an older ledger never stays beside a new report."""
    from fedgap import storage  # noqa: PLC0415 - loads numpy
    from fedgap.learning.parameters import packed  # noqa: PLC0415 - not needed where nothing is written
    from fedgap.report import page  # noqa: PLC0415 - not needed where nothing is written
    from fedgap.simulation.ledger_of import write_ledger  # noqa: PLC0415 - same reason

    model = packed(found.model, {"task": config.federation.task, "preprocessing": json.dumps(found.preprocessing)})
    text = json.dumps(found.report, indent=2, ensure_ascii=False, allow_nan=False)
    contents = (text.encode() + b"\n", page(found.report).encode(), model)
    if found.facts is None:
        (out / LEDGER).unlink(missing_ok=True)
    else:
        storage.replace(out / LEDGER, write_ledger(out / LEDGER, found.facts))
    for name, content in zip(FILES, contents, strict=True):
        storage.replace(out / name, content)


def _show(report: Any, out: Path) -> None:  # noqa: ANN401 - the shape of report.json
    """Show the answer in plain words, a table, and where the files are."""
    from fedgap.report import summary  # noqa: PLC0415 - not needed with --json
    from fedgap.report.crowd import spread, unlisted  # noqa: PLC0415 - same reason

    for sentence in summary(report):
        show.console.print(sentence, markup=False)
    caption = f"{report['metric']['name']} on all organisations' test rows, in points; tuned: fine-tuned at home"
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("organisation", overflow="fold", min_width=8)
    for heading in ("rows", "alone", "together", "tuned", "pooled", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("verdict")
    for entry in spread(report["organisations"]):
        scores = [_points(entry[name]["common"]["metric"]) for name in ("local", "federated", "personalised", "pooled")]
        gain = entry["gain"]["common"]
        between = "-" if gain["ci95"] is None else f"{_points(gain['ci95'][0])}..{_points(gain['ci95'][1])}"
        name = Text(entry["name"])
        table.add_row(
            name, str(entry["train_rows"]), *scores, _points(gain["mean"]), between, entry["verdict"].replace("-", " ")
        )
    show.console.print()
    show.console.print(table)
    if said := unlisted(report["organisations"]):
        show.console.print(said, markup=False)
    _show_contribution(report)
    how = ", ".join(f"{kind} {report[kind]['name']} ({report[kind]['why']})" for kind in ("engine", "protocol"))
    show.console.print(f"\nHow: {how}; {report['seconds']:.0f} s.", markup=False)
    files = (*FILES, LEDGER) if report["ledger_root"] else FILES
    show.console.print(f"Files: {', '.join(str(out / name) for name in files)}")


def _show_contribution(report: Any) -> None:  # noqa: ANN401 - the shape of report.json
    """Show who contributed what, or in one line why that is not known."""
    from fedgap.report.crowd import spread  # noqa: PLC0415 - not needed with --json

    organisations = report["organisations"]
    if all(entry["value"] is None for entry in organisations):
        reason = organisations[0]["reasons"]["value"]
        show.console.print(f"\nWhat each contributed is not known: {reason}.", markup=False)
        return
    gain = report["contribution"]["gain"]
    caption = f"part of the utility gained ({100 * gain:+.2f}), in hundredths; share of the pool by value, size, heads"
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("organisation", overflow="fold")
    for heading in ("value", "95 %", "share %", "size %", "equal %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in spread(organisations):
        between = "..".join(f"{100 * end:.2f}" for end in entry["value_ci95"] or ()) or "-"
        value = "-" if entry["value"] is None else f"{100 * entry['value']:.2f}"
        parts = [_points(part) for part in (entry["share"], *entry["baselines"].values())]
        table.add_row(Text(entry["name"]), value, between, *parts)
    show.console.print()
    show.console.print(table)
    if all(entry["value_ci95"] is None for entry in organisations):
        show.console.print(f"No interval: {organisations[0]['reasons']['value_ci95']}.", markup=False)


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
