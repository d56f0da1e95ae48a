"""`fedgap simulate --plan`: what a budget buys, or what a target needs; a table, plan.json and plan.html."""

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from fedgap.cli import show
from fedgap.cli.own_task import blamed
from fedgap.cli.progress import steps
from fedgap.config import FederationConfig
from fedgap.errors import UsageError

FILES = ("plan.json", "plan.html")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


def make_plan(
    config: FederationConfig,
    out: Path,
    *,
    engine: str,
    budget: str | None,
    target: float | None,
    labour_minutes: int,
    as_json: bool,
) -> None:
    """Simulate, choose, write the files and show the answer.

    Raises:
        UsageError: there is no policy, or budget and target do not go together.
        InfeasibleError: nothing does what is asked for; it says what would.
    """
    from fedgap import storage  # noqa: PLC0415 - --help and wrong input need not wait for numpy
    from fedgap.learning.engines import check_engine  # noqa: PLC0415 - same reason
    from fedgap.report.plan import plan_page  # noqa: PLC0415 - same reason
    from fedgap.simulation import planning  # noqa: PLC0415 - same reason
    from fedgap.simulation.money import money_of  # noqa: PLC0415 - same reason

    check_engine(engine)
    if budget is not None and target is not None:
        raise UsageError("A plan is for a budget or for a target, not for both.", remedy="Leave one of them out.")
    if target is not None and not math.isfinite(target):
        raise UsageError(f"The target is {target:g}.", remedy="Write a number: --target 0.9.")
    money = money_of(config)
    if money is None:
        raise UsageError(
            "A plan needs prices, and the federation names no policy.",
            remedy='Write policy = "policy.toml" under [federation]; its [[price]] tables give them.',
        )
    wanted = planning.Wanted(budget=_minor(budget, money.policy.digits), target=target, labour_minutes=labour_minutes)
    storage.make_folder(out)
    total = planning.trials(config)
    with blamed(config.federation.task), steps(f"{total} federations", total) as advance:
        plan = planning.plan(config, money.policy, wanted, engine=engine, progress=advance)
    text = json.dumps(plan, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in zip(FILES, (text, plan_page(plan)), strict=True):
        storage.replace(out / name, content.encode())
    if as_json:
        show.document(plan)
    else:
        _show(plan, out)


def _minor(budget: str | None, digits: int) -> int | None:
    """Read an amount in the currency's unit."""
    if budget is None:
        return None
    amount = Fraction(budget) * 10**digits if _AMOUNT.fullmatch(budget) else Fraction(1, 2)
    if amount.denominator != 1:
        raise UsageError(
            f"The budget '{budget}' is no amount of this currency.", remedy="Write digits: --budget 20000.00."
        )
    return int(amount)


def _show(plan: dict[str, Any], out: Path) -> None:
    from fedgap.report.plan import plan_words  # noqa: PLC0415 - not needed with --json

    for sentence in plan_words(plan):
        show.console.print(sentence, markup=False)
    caption = "federations that no cheaper one beats; > the answer"
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    for heading in ("", "cost", "organisations", "rows", "rounds", "utility", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    chosen = plan["chosen"]
    for cell in plan["frontier"] if chosen in plan["frontier"] else [*plan["frontier"], chosen]:
        low, high = cell["utility_ci95"]
        mark = ">" if cell == chosen else ""
        numbers = (cell["organisations"], cell["rows"], cell["rounds"])
        table.add_row(mark, cell["cost_shown"], *map(str, numbers), f"{cell['utility']:.3f}", f"{low:.3f}..{high:.3f}")
    show.console.print()
    show.console.print(table)
    show.console.print(f"\nFiles: {', '.join(str(out / name) for name in FILES)}", markup=False)
