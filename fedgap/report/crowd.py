"""Thousands of organisations on one page: some are listed, evenly spaced by their rows, and all are counted.

Everybody's numbers are in report.json; a page of all of them could not be opened, let alone read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedgap.report import figures
from fedgap.report.fields import VERDICTS, dig
from fedgap.report.markup import Html
from fedgap.report.tables import Column, table

MOST_LISTED = 100
"""Up to here everybody is on the page, and a chart can still be read."""

Organisations = Sequence[Mapping[str, Any]]


def spread(organisations: Organisations) -> list[Mapping[str, Any]]:
    """Give everybody as they come, or of too many those with the fewest rows, the most, and at equal steps between."""
    last = len(organisations) - 1
    if last < MOST_LISTED:
        return list(organisations)
    ordered = sorted(organisations, key=lambda org: (org["rows"], org["id"]))
    return [ordered[round(step * last / (MOST_LISTED - 1))] for step in range(MOST_LISTED)]


def unlisted(organisations: Organisations) -> str:
    """Say in a sentence who is not listed; empty if everybody is."""
    if len(organisations) <= MOST_LISTED:
        return ""
    return (
        f"Listed are {MOST_LISTED} of {figures.count(len(organisations))} organisations, evenly spaced by their rows; "
        "report.json holds all."
    )


def counted(organisations: Organisations) -> Html:
    """Everybody by verdict: how many, with how many rows, and what joining adds for most of them."""
    columns = [
        Column("verdict", numeric=False),
        Column("organisations"),
        Column("of all"),
        Column("rows: median, and from fewest to most"),
        Column("gain, all rows: median, and nine in ten"),
    ]
    groups = {verdict: [org for org in organisations if org["verdict"] == verdict] for verdict in VERDICTS}
    rows = [
        [
            VERDICTS[verdict],
            figures.count(len(group)),
            figures.fine_percent(len(group) / len(organisations)),
            _rows(group),
            _gains(group),
        ]
        for verdict, group in groups.items()
        if group
    ]
    return table("All organisations, by verdict", columns, [[row] for row in rows])


def _rows(group: Organisations) -> str:
    rows = sorted(org["rows"] for org in group)
    return f"{figures.count(_at(rows, 0.5))} ({figures.count(rows[0])} to {figures.count(rows[-1])})"


def _gains(group: Organisations) -> str:
    means = (dig(org, "gain.common.mean") for org in group)
    gains = sorted(mean for mean in means if figures.is_number(mean))
    if not gains:
        return "not known"
    return f"{figures.signed(_at(gains, 0.5))} ({figures.between_signed([_at(gains, 0.05), _at(gains, 0.95)])})"


def _at(ordered: Sequence[float], part: float) -> float:
    """The value of which this part of the others is no larger."""
    return ordered[round(part * (len(ordered) - 1))]
