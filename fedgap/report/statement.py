"""The funding statement as one HTML page: who is paid what, the shares beside two baselines, values with intervals.

It formats the documents of `fedgap.funding.statement` and computes no money; pictures are drawn from rounded numbers.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from fedgap.report import scale
from fedgap.report.markup import Html, element, joined, raw
from fedgap.report.names import shortened
from fedgap.report.scale import Scale
from fedgap.report.style import SHEET
from fedgap.report.tables import Column, table

_GUARD = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_LEFT, _RIGHT, _ROW, _AXIS = 30.0, 92.0, 26, 22
_NAME_COLUMNS = 28


def statement_page(
    statements: Sequence[Mapping[str, Any]], words: Sequence[Sequence[tuple[str, Sequence[str]]]]
) -> str:
    """Show settled periods as one page that needs nothing else: no script, no network.

    Args:
        statements: documents, in the order of the periods; at least one.
        words: for each of them, organisations by name with the sentences that explain their line.
    """
    first = statements[0]
    parts = [
        element("header", element("h1", f"Funding of {first['federation']}"), element("p", _summary(statements))),
        *(_period(found, said) for found, said in zip(statements, words, strict=True)),
        element(
            "section",
            element("h2", "What these numbers do not mean"),
            element("ul", *(element("li", sentence) for sentence in first["meaning"])),
        ),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_GUARD),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"Funding of {first['federation']}"),
        element("style", raw(SHEET)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', element('main', *parts)), lang='en')}\n"


def _summary(statements: Sequence[Mapping[str, Any]]) -> str:
    planned = sum(found["budget"]["planned"] for found in statements)
    paid = sum(line["paid_now"] for found in statements for line in found["lines"])
    held = sum(line["vesting"] + line["set_aside"] for line in statements[-1]["lines"])
    left, money = statements[-1], _Money(statements[0])
    periods = "1 period" if len(statements) == 1 else f"{len(statements)} periods"
    return (
        f"{periods} settled, {money(planned)} planned: {money(paid)} paid, {money(held)} of the last one held "
        f"back, {money(left['carried'])} carried over, {money(left['returned'])} returned."
    )


class _Money:
    """Minor units as people read them."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.digits, self.currency = found["minor_digits"], found["currency"]

    def __call__(self, amount: int) -> str:
        whole, rest = divmod(amount, 10**self.digits)
        return f"{whole:,}{f'.{rest:0{self.digits}d}' if self.digits else ''} {self.currency}"


def _period(found: Mapping[str, Any], words: Sequence[tuple[str, Sequence[str]]]) -> Html:
    money, policy = _Money(found), found["policy"]
    brought = found["budget"]["brought"]
    facts = (
        f"Budget {money(found['budget']['total'])}, of it {money(brought)} brought over. Policy version "
        f"{policy['version']}, {policy['digest'][:16]}..., entry {policy['entries'][0]} of the ledger."
    )
    return element(
        "section",
        element("h2", f"Period {found['period']}"),
        element("p", facts),
        _money_table(found, money),
        element("h3", "Shares of base and pool"),
        element("p", "Bar: the share. Open mark: by weight. Line: equal for all.", class_="quiet"),
        _shares(found),
        *_values(found),
        *(_details(name, sentences) for name, sentences in words),
    )


_HEADINGS = {"reimbursed": "costs", "vesting": "held back"}


def _money_table(found: Mapping[str, Any], money: _Money) -> Html:
    columns = [Column("organisation", numeric=False)]
    names = ("reimbursed", "base", "pool", "vesting", "set_aside", "released", "paid_now")
    columns += [Column(_HEADINGS.get(name, name.replace("_", " "))) for name in names] + [
        Column("notes", numeric=False)
    ]
    rows = [
        [(line["name"], *(money(line[name]) for name in names), ", ".join(line["flags"]) or "none")]
        for line in found["lines"]
    ]
    sums = (money(sum(line[name] for line in found["lines"])) for name in names)
    rows.append([("together", *sums, f"carried {money(found['carried'])}, returned {money(found['returned'])}")])
    shown = table(f"Period {found['period']}: what each organisation gets", columns, rows, stacked=True)
    return element("div", shown, class_="box")


def _shares(found: Mapping[str, Any]) -> Html:
    lines = found["lines"]
    height, equal = _AXIS + _ROW * len(lines), float(Fraction(lines[0]["baselines"]["equal"]))
    known = [
        (line["name"], float(Fraction(line["share"])), float(Fraction(line["baselines"]["weight"]))) for line in lines
    ]
    axis = scale.around([0.0, equal, *(value for _, *both in known for value in both)], intervals=4)
    parts = [_grid(axis, height, "%")]
    for at, (name, share, weight) in enumerate(known):
        y = _AXIS + _ROW * at
        said = f"{name}: {100 * share:.1f} %, by weight {100 * weight:.1f} %"
        width = _RIGHT - _LEFT
        bar = element(
            "rect",
            x=f"{_LEFT}%",
            y=y + 5,
            width=f"{width * axis.share(share):.2f}%",
            height=12,
            fill="var(--federated)",
        )
        mark = element("circle", cx=_x(axis, weight), cy=y + 11, r=4, fill="none", stroke="var(--ink)")
        parts.append(
            element(
                "g", element("title", said), element("text", shortened(name, _NAME_COLUMNS), x=0, y=y + 15), bar, mark
            )
        )
    parts.append(element("line", x1=_x(axis, equal), x2=_x(axis, equal), y1=_AXIS, y2=height, stroke="var(--pooled)"))
    return _drawing(parts, height, "Share of base and pool for each organisation; the table holds the amounts.")


def _values(found: Mapping[str, Any]) -> list[Html]:
    lines = [line for line in found["lines"] if line["value"] is not None]
    if not lines:
        return [element("p", "No value was opened in this period; what was left after costs was divided by weight.")]
    height = _AXIS + _ROW * len(lines)
    points = [
        (line["name"], float(line["value"]["decimal"]), [float(end["decimal"]) for end in line["value_ci95"] or ()])
        for line in lines
    ]
    axis = scale.around([0.0, *(number for _, value, ends in points for number in (value, *ends))], intervals=4)
    parts = [_grid(axis, height, "")]
    for at, (name, value, ends) in enumerate(points):
        y = _AXIS + _ROW * at + 11
        said = f"{name}: {value:.6f}" + (f" ({ends[0]:.6f} to {ends[1]:.6f})" if ends else ", no interval")
        bars = (
            [element("line", x1=_x(axis, ends[0]), x2=_x(axis, ends[1]), y1=y, y2=y, stroke="var(--ink)")]
            if ends
            else []
        )
        dot = element("circle", class_="point", cx=_x(axis, value), cy=y, r=4.5)
        parts.append(
            element(
                "g", element("title", said), element("text", shortened(name, _NAME_COLUMNS), x=0, y=y + 4), *bars, dot
            )
        )
    label = "Value of each organisation in utility units, with its 95 % interval where one is known."
    return [
        element("h3", "Values"),
        element("p", "In units of the utility, with the 95 % interval where there is one.", class_="quiet"),
        _drawing(parts, height, label),
    ]


def _grid(axis: Scale, height: int, unit: str) -> Html:
    parts = []
    for value, label in axis.ticks():
        x = _x(axis, value)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=_AXIS - 4, y2=height))
        shown = f"{100 * value:.0f} %" if unit else label
        parts.append(element("text", shown, class_="tick middle", x=x, y=_AXIS - 9))
    return joined(parts)


def _drawing(parts: Sequence[Html], height: int, label: str) -> Html:
    return element("svg", *parts, class_="chart", role="img", aria_label=label, width="100%", height=height + 6)


def _details(name: str, sentences: Sequence[str]) -> Html:
    listed = element("ul", *(element("li", sentence) for sentence in sentences))
    return element("details", element("summary", f"{name}: every number in words"), listed)


def _x(axis: Scale, value: float) -> str:
    return f"{_LEFT + (_RIGHT - _LEFT) * axis.share(value):.2f}%"
