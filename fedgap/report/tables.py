"""Tables in HTML: a heading for every column, numbers flush right, and a label in every cell for narrow screens."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedgap.report.markup import Html, element


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers."""

    heading: str
    numeric: bool = True


Row = Sequence[str]
"""One cell a column; text is escaped. A row one cell short has its first cell in the row above, spanning."""


def table(caption: str, columns: Sequence[Column], groups: Sequence[Sequence[Row]], *, stacked: bool = False) -> Html:
    """Build a table; the first cell of a group is its heading and spans the group's rows.

    Args:
        caption: says what the table holds; screen readers announce it.
        columns: headings, the first of which names the groups.
        groups: rows that belong together, such as one organisation's.
        stacked: on a narrow screen a row becomes a card with a label a line; otherwise the table scrolls in its box.
    """
    headings = [element("th", column.heading, scope="col", class_=_kind(column)) for column in columns]
    bodies = [element("tbody", *_group(columns, group)) for group in groups]
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *headings)),
        *bodies,
        class_="stacked" if stacked else "plain",
    )
    return content if stacked else element("div", content, class_="box", tabindex=0, role="region", aria_label=caption)


def _group(columns: Sequence[Column], group: Sequence[Row]) -> list[Html]:
    rows = []
    for position, row in enumerate(group):
        inner = row
        cells = []
        if position == 0:
            span = {"rowspan": len(group)} if len(group) > 1 else {}
            cells.append(element("th", row[0], scope="rowgroup" if span else "row", **span))
            inner = row[1:]
        cells += [
            element("td", cell, class_=_kind(column), data_label=column.heading)
            for column, cell in zip(columns[1:], inner, strict=True)
        ]
        rows.append(element("tr", *cells))
    return rows


def _kind(column: Column) -> str:
    return "number" if column.numeric else "words"
