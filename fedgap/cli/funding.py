"""`fedgap funding`: settle a period, show who is paid what, and say in words how each number came about."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.errors import FedgapError, UsageError

if TYPE_CHECKING:
    from fedgap.funding import Account, Settlement

LedgerFile = Annotated[Path, typer.Option("--ledger", metavar="FILE", help="A ledger.sqlite.", show_default=False)]
PeriodNumber = Annotated[int | None, typer.Option("--period", min=1, help="Which period.", show_default="all settled")]

funding_app = typer.Typer(
    name="funding", help="Settle a period and show who is paid what, and why.", no_args_is_help=True
)
app.add_typer(funding_app, name="funding")


class UntrustedLedgerError(FedgapError):
    """The ledger fails its checks; no money is computed from it."""

    code = "funding.ledger-fails"
    remedy = "Run: fedgap ledger verify LEDGER."


class NothingSettledError(FedgapError):
    """No period was settled yet."""

    code = "funding.nothing-settled"
    remedy = "See what it would be: fedgap funding settle --ledger FILE."


@funding_app.command()
def check(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A policy.toml.", show_default=False)],
    *,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Compare it with the policy in force there.", show_default=False),
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Check a policy.toml and print its digest; with --ledger also whether it can follow the policy in force."""
    from fedgap.config.policy import load_policy  # noqa: PLC0415 - other commands need not wait for it
    from fedgap.funding import Policy  # noqa: PLC0415 - same reason
    from fedgap.funding.amendment import changes, check_amendment  # noqa: PLC0415 - same reason
    from fedgap.funding.amounts import shown_money  # noqa: PLC0415 - same reason

    found, said = Policy.of_config(load_policy(policy)), list[str]()
    document: dict[str, Any] = {"ok": True, "digest": found.digest.hex(), "currency": found.currency}
    if ledger is not None:
        account = _account(ledger)
        first, periods = account.last_written + 1, account.last_period
        earlier = [one for _, one, _ in account.policies] or [account.policy_for(1)[1]]
        check_amendment(earlier, found, from_period=max(first, 2), first=max(first, 2), periods=periods)
        said = list(changes(earlier[-1], found))
        document |= {"version": len(earlier) + 1, "first_period": max(first, 2), "changes": said}
    if as_json:
        show.document(document | {"budgets": found.budgets})
        return
    for period, budget in enumerate(found.budgets, 1):
        _say(f"Period {period}: {shown_money(budget, found.digits, found.currency)}.")
    for change in said:
        _say(f"Changed: {change}.")
    if said:
        _say(f"As version {document['version']} it can apply from period {document['first_period']} on.")
    _say(f"Digest: {found.digest.hex()}")


@funding_app.command()
def settle(
    ledger: LedgerFile,
    *,
    period: Annotated[int | None, typer.Option("--period", min=1, help="Which.", show_default="the next")] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The server's key file: write the settlement into the ledger.")
    ] = None,
    passphrase: Annotated[
        str | None, typer.Option(envvar="FEDGAP_PASSPHRASE", help="Of the key file; better as FEDGAP_PASSPHRASE.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Divide a period's budget by the policy; without --key only show what it would be."""
    from fedgap.funding import settle as settled  # noqa: PLC0415 - other commands need not wait for it
    from fedgap.funding.statement import document, statement_digest  # noqa: PLC0415 - same reason

    account = _account(ledger)
    found = settled(account, account.next_period if period is None else period)
    if key is not None:
        from fedgap.ledger.store import Ledger  # noqa: PLC0415 - only who writes needs it
        from fedgap.storage import read_key  # noqa: PLC0415 - same reason

        if not key.is_file():
            raise UsageError(f"There is no key file at {key}.", remedy="Check the path.")
        with Ledger(ledger, read_key(key, passphrase=passphrase)) as opened:
            found = settled(_followed(opened.bodies()), found.period)  # nobody else writes from here on
            opened.append(found.record(statement_digest(found)))
    if as_json:
        show.document({"written": key is not None, "statement": document(found)})
        return
    _table(found)
    _say("It stands in the ledger now." if key is not None else "Not written: give --key to write it into the ledger.")


@funding_app.command()
def statement(
    ledger: LedgerFile,
    *,
    period: PeriodNumber = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write JSON and CSV of each period, and one page.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Show every settled period, computed again from the ledger's entries and compared with what was settled."""
    from fedgap.funding.statement import document  # noqa: PLC0415 - other commands need not wait for it

    settlements = _settlements(_account(ledger), period)
    if out is not None:
        _write(out, settlements)
    if as_json:
        show.document({"statements": [document(found) for found in settlements]})
        return
    for found in settlements:
        _table(found)


@funding_app.command()
def explain(
    organisation: Annotated[str, typer.Argument(metavar="ORGANISATION", help="Its id.", show_default=False)],
    ledger: LedgerFile,
    *,
    period: PeriodNumber = None,
    as_json: show.Json = False,
) -> None:
    """Say in words how each number of one organisation came about, with the entries of the ledger behind it."""
    from fedgap.funding.words import explained  # noqa: PLC0415 - other commands need not wait for it

    said: list[dict[str, Any]] = []
    for found in _settlements(_account(ledger), period):
        lines = [line for line in found.lines if line.organisation == organisation]
        if not lines:
            known = ", ".join(line.organisation for line in found.lines)
            raise UsageError(
                f"'{organisation}' is not of record in period {found.period}.", remedy=f"There are: {known}."
            )
        said.append({"period": found.period, "organisation": organisation, "words": list(explained(found, lines[0]))})
    if as_json:
        show.document({"explained": said})
        return
    for one in said:
        for sentence in one["words"]:
            _say(sentence)


def _account(path: Path) -> "Account":
    """Verify a ledger, then fold it."""
    from fedgap.ledger import Trust  # noqa: PLC0415 - other commands need not wait for it
    from fedgap.ledger.reading import StoredLedger, verify_file  # noqa: PLC0415 - same reason

    found = verify_file(path, Trust())
    if found.fault is not None:
        raise UntrustedLedgerError(f"The ledger fails its checks ({found.fault.code}): {found.fault.cause}")
    with StoredLedger(path) as stored:
        return _followed(stored.bodies())


def _followed(bodies: Iterable[tuple[int, bytes]]) -> "Account":
    from fedgap.funding import follow  # noqa: PLC0415 - other commands need not wait for it
    from fedgap.ledger import Entry  # noqa: PLC0415 - same reason
    from fedgap.records import read_record  # noqa: PLC0415 - same reason

    return follow((position, read_record(Entry.of(body).record)) for position, body in bodies)


def _settlements(account: "Account", period: int | None) -> list["Settlement"]:
    if not account.policies:
        account.policy_for(1)
    settled = [found for found, _, _ in account.settlements if period in {None, found.period}]
    if not settled:
        which = "No period" if period is None else f"Period {period}"
        raise NothingSettledError(f"{which} is settled in this ledger.")
    return settled


def _write(out: Path, settlements: list["Settlement"]) -> None:
    from fedgap import storage  # noqa: PLC0415 - loads numpy
    from fedgap.funding.statement import as_csv, as_json, document  # noqa: PLC0415 - same reason
    from fedgap.funding.words import explained  # noqa: PLC0415 - same reason
    from fedgap.report.statement import statement_page  # noqa: PLC0415 - same reason

    storage.make_folder(out)
    for found in settlements:
        storage.replace(out / f"statement-{found.period}.json", as_json(found))
        storage.replace(out / f"statement-{found.period}.csv", as_csv(found))
    words = [[(line.name, list(explained(found, line))) for line in found.lines] for found in settlements]
    page = statement_page([document(found) for found in settlements], words)
    storage.replace(out / "statement.html", page.encode())


def _table(found: "Settlement") -> None:
    from fedgap.funding.amounts import money, percent, shown_money  # noqa: PLC0415 - other commands need not wait for it

    def paid(amount: int) -> str:
        return shown_money(amount, found.policy.digits, found.policy.currency)

    title = f"Period {found.period} of {found.federation}: {paid(found.budget)}"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for heading in ("organisation", "costs", "base", "pool", "share", "held back", "paid now"):
        justify: Literal["left", "right"] = "left" if heading == "organisation" else "right"
        table.add_column(heading, overflow="fold", justify=justify)
    for line in found.lines:
        before, after = (
            (line.reimbursed, line.base, line.pool),
            (line.vesting + line.set_aside, line.paid + line.released),
        )
        legs, rest = ([money(amount, found.policy.digits) for amount in amounts] for amounts in (before, after))
        table.add_row(Text(line.organisation), *legs, percent(found.share(line)), *rest)
    show.console.print(table)
    for line in found.lines:
        if line.flags:
            _say(f"{line.organisation}: {', '.join(line.flags)}")
    _say(f"Carried over: {paid(found.carried)}. Returned to the funder: {paid(found.returned)}.")


def _say(text: str) -> None:
    show.console.print(text, markup=False, emoji=False)
