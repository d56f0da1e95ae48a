"""`fedgap witness`: recompute what contributions are measured along, from rows nobody else may see, and sign it."""

from pathlib import Path
from typing import Annotated

import typer

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.errors import UsageError

witness_app = typer.Typer(name="witness", help="Vouch for what contributions are measured along.", no_args_is_help=True)
app.add_typer(witness_app, name="witness")

KEY = "witness.key"


@witness_app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the key goes; keep it to yourself.")],
    *,
    as_json: show.Json = False,
) -> None:
    """Make the witness's key, and print the public one for the operator's federation.toml."""
    from fedgap.crypto import Identity, system  # noqa: PLC0415 - --help is quick without
    from fedgap.storage import make_folder, read_key, write_key  # noqa: PLC0415 - same reason

    path = folder / KEY
    if not path.exists():
        make_folder(folder)
        write_key(path, Identity(system(32)), passphrase=None, rand=system)
    public = read_key(path, passphrase=None).public.hex()
    if as_json:
        show.document({"key": str(path), "public": public})
        return
    show.console.print(f"The key is in {path}. Give the operator this line, for \\[evaluation] in federation.toml:")
    show.console.print(f'witness = "{public}"', markup=False)


@witness_app.command()
def sign(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="The file that the operator brought.")],
    *,
    key: Annotated[Path, typer.Option(help="The witness's key.")] = Path(KEY),
    rows: Annotated[Path, typer.Option(help="Your own copy of the evaluation rows.")],
    task: Annotated[str, typer.Option(help="The only task that may run here, by its name.")],
    out: Annotated[Path | None, typer.Option(help="Where the signatures go; by default beside the case.")] = None,
    as_json: show.Json = False,
) -> None:
    """Recompute a case from your own rows; sign its directions if they are those you find, else nothing."""
    from fedgap.crypto.codec import pack  # noqa: PLC0415 - --help is quick without
    from fedgap.flower.witnessing import Witness  # noqa: PLC0415 - loads Flower and torch
    from fedgap.storage import PRIVATE, read_key, replace  # noqa: PLC0415 - same reason

    for path in (case, key, rows):
        if not path.exists():
            raise UsageError(f"There is no {path}.", remedy="Correct the path; nothing was signed.")
    witness = Witness(identity=read_key(key, passphrase=None), rows=rows, task=task, log=key.with_suffix(".signed-log"))
    found = witness.attest(case.read_bytes(), case.parent)
    target = case.with_suffix(".signed") if out is None else out
    replace(target, pack(found), mode=PRIVATE)
    if as_json:
        show.document({"period": found.period, "signed": len(found.signatures), "file": str(target)})
        return
    show.console.print(
        f"{len(found.signatures)} directions of period {found.period} are those of your rows. "
        f"Bring {target} back to the operator.",
        markup=False,
    )
