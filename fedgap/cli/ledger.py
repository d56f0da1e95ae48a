"""`fedgap ledger`: check a ledger without network and without trust, look into it, take proofs out of it."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.errors import UsageError

if TYPE_CHECKING:
    from fedgap.ledger import Checkpoint, Trust, Verification

HEX_DIGEST = 64

LedgerFile = Annotated[Path, typer.Argument(metavar="LEDGER", help="A ledger.sqlite.", show_default=False)]

ledger_app = typer.Typer(
    name="ledger", help="Check a ledger, look into it, take proofs out of it.", no_args_is_help=True
)
app.add_typer(ledger_app, name="ledger")


@ledger_app.command()
def verify(
    ledger: LedgerFile,
    *,
    manifest: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Digest of the first manifest, 64 hexadecimal digits.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trusted keys: a line `@server HEX`, and `ID HEX` for everyone.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A checkpoint that was kept; may be given repeatedly.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Check every entry, signature and rule, and that nothing else is in the file; name the first bad entry."""
    from fedgap.ledger.reading import verify_file  # noqa: PLC0415 - other commands need not wait for it

    found = verify_file(ledger, _trust(manifest, keys, checkpoint or []))
    if as_json:
        show.document(found.document())
    else:
        _tell(found)
    if found.fault is not None:
        raise typer.Exit(1)


@ledger_app.command("show")
def show_entries(
    ledger: LedgerFile,
    *,
    first: Annotated[int, typer.Option(min=0, help="Entry to begin with; they count from 0.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many to show.")] = 100,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as FundingSettled.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Only what names this organisation.")] = None,
    as_json: show.Json = False,
) -> None:
    """Show entries in words. It checks nothing: that is `fedgap ledger verify`."""
    chosen = list(_chosen(ledger, first=first, count=count, kind=kind, organisation=organisation))
    if as_json:
        show.document({"entries": chosen})
        return
    table = Table("entry", "kind", "says", box=SIMPLE_HEAD)
    for entry in chosen:
        table.add_row(str(entry["entry"]), Text(entry["kind"]), Text(entry["brief"]))
    show.console.print(table)
    if len(chosen) == count:
        show.console.print(f"There may be more: --first {chosen[-1]['entry'] + 1} or a larger --count.")


@ledger_app.command()
def prove(
    ledger: LedgerFile,
    entry: Annotated[int | None, typer.Argument(metavar="[ENTRY]", help="Its number, from 0.")] = None,
    *,
    since: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A kept checkpoint: prove that the ledger only grew since.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Print a proof, as JSON, that an entry is in the ledger, or that the ledger extends a checkpoint."""
    from fedgap.ledger.proof import prove_entry, prove_growth  # noqa: PLC0415 - other commands need not wait for it
    from fedgap.ledger.reading import StoredLedger  # noqa: PLC0415 - same reason

    del as_json  # a proof is always a JSON document
    if (entry is None) == (since is None):
        raise UsageError("Say what to prove.", remedy="Give the number of an entry, or --since with a checkpoint.")
    with StoredLedger(ledger) as stored:
        leaves, head = stored.leaves()
        if since is not None:
            show.document(prove_growth(leaves, _checkpoint(since), head))
        elif entry is not None:
            show.document(prove_entry(leaves, entry, stored.body(entry), head))


@ledger_app.command()
def export(
    ledger: LedgerFile,
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; else standard output.")] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Only the checkpoint: what to keep, to notice a rewritten history.")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Write the checkpoint and every entry as a line of JSON each, readable without fedgap."""
    from fedgap.ledger.reading import StoredLedger  # noqa: PLC0415 - other commands need not wait for it

    if as_json and out is None and not checkpoint:
        raise UsageError("The lines are many documents, not one.", remedy="Give --out FILE, or leave out --json.")
    with StoredLedger(ledger) as stored:
        head = stored.required_head().document()
        lines = iter([head]) if checkpoint else _lines(head, stored.described())
        written = _write(out, (json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    if as_json and out is not None:
        show.document({"written": str(out), "lines": written})


def _lines(head: dict[str, Any], entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield {"format": "fedgap/1/ledger-export", "checkpoint": head}
    yield from entries


def _write(out: Path | None, lines: Iterator[str]) -> int:
    """Write lines to a file in one step, or to standard output; tell how many."""
    if out is None:
        return sum(1 for line in lines if sys.stdout.write(line))
    from fedgap.storage import replace_in_parts  # noqa: PLC0415 - other commands need not wait for it

    written = 0

    def encoded() -> Iterator[bytes]:
        nonlocal written
        for line in lines:
            written += 1
            yield line.encode()

    replace_in_parts(out, encoded())
    return written


def _chosen(
    ledger: Path, *, first: int, count: int, kind: str | None, organisation: str | None
) -> Iterator[dict[str, Any]]:
    from fedgap.ledger.reading import StoredLedger  # noqa: PLC0415 - other commands need not wait for it

    left = count
    with StoredLedger(ledger) as stored:
        for entry in stored.described(first):
            names = organisation is None or json.dumps(organisation) in json.dumps(entry["record"])
            if kind in {None, entry["kind"]} and names:
                yield entry
                left -= 1
            if left == 0:
                return


def _trust(manifest: str | None, keys: Path | None, checkpoints: list[Path]) -> "Trust":
    from fedgap.ledger import Trust  # noqa: PLC0415 - other commands need not wait for it

    if manifest is not None and keys is not None:
        raise UsageError("Both --manifest and --keys are given.", remedy="Give one of them.")
    return Trust(
        manifest=None if manifest is None else _hexadecimal(manifest, "--manifest"),
        keys=None if keys is None else _keys(keys),
        checkpoints=[_checkpoint(path) for path in checkpoints],
    )


def _hexadecimal(text: str, where: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(text) != HEX_DIGEST or not value:
        raise UsageError(f"{where} has no {HEX_DIGEST} hexadecimal digits.", remedy="Copy the whole of it.")
    return value


def _keys(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if words and (len(words) != 2 or words[0] in found):  # noqa: PLR2004 - a name and a key
            raise UsageError(f"Line {number} of {path} is not one name and one key.", remedy="Write: ID HEX")
        if words:
            found[words[0]] = _hexadecimal(words[1], f"Line {number} of {path}")
    return found


def _checkpoint(path: Path) -> "Checkpoint":
    from fedgap.ledger import Checkpoint  # noqa: PLC0415 - other commands need not wait for it

    try:
        return Checkpoint.of_document(json.loads(_text(path)))
    except ValueError as error:
        raise UsageError(f"{path} holds no checkpoint.", remedy="Use what `fedgap ledger export` wrote.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read.", remedy="Check the path.") from error


def _tell(found: "Verification") -> None:
    def say(text: str, style: str = "") -> None:
        show.console.print(text, style=style, markup=False, emoji=False)

    if found.fault is not None:
        fault = found.fault
        if fault.position is not None:
            say(f"Entry {fault.position} is the first bad one ({fault.code}). {fault.cause}", "bold red")
        else:
            say(f"The ledger fails ({fault.code}). {fault.cause}", "bold red")
        if fault.since is not None and fault.position is not None and fault.since < fault.position:
            say(
                f"The change is in the entries {fault.since} to {fault.position}; those before are as they were signed."
            )
    else:
        say(f"The ledger is whole: {found.entries} entries, every signature, every rule, nothing else.", "bold green")
    if not found.origin:
        return
    say(f"Federation {found.federation}, version {found.version} of its manifest, {len(found.members)} organisations.")
    say(f"Root: {found.root.hex()}")
    if found.simulation:
        say("It is the ledger of a simulation: every key in it follows from a seed.")
    if found.unsigned_sums:
        say(f"{found.unsigned_sums} sums are without the members' signatures, as a simulation may leave them out.")
    seen = [f"{org} up to {size}" for org, size in found.cosigned.items()]
    say(f"Co-signed: {', '.join(seen) if seen else 'by nobody yet'}.")
    say(f"First manifest: {found.origin.hex()}")
    if not found.compared:
        say("Still to be compared: whether this is the manifest that the members signed. Ask them for its digest.")
