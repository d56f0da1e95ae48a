"""What preparing a table had to work around, in sentences: counts and column names, never a cell."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedgap.learning.table import Table, missing_cells
from fedgap.learning.table_statistics import TableStatistics, categorical_columns, numeric_columns

SHOWN = 5
"""Names listed before the rest is only counted."""


def workarounds(
    table: Table,
    own: TableStatistics,
    levels: Mapping[str, tuple[str, ...]],
    classes: Sequence[str],
    constant: Sequence[str],
) -> list[str]:
    """Say what is unusual about some rows.

    Args:
        table: the rows that are prepared.
        own: statistics of the organisation's training rows.
        levels: levels that have an input.
        classes: classes that have a number; none in a regression.
        constant: numeric columns that do not vary, so that they were not divided by anything.
    """
    numeric = numeric_columns(table)
    inputs = len(numeric) + sum(len(texts) for texts in levels.values())
    found = [
        f"{table.left_out} rows with a missing input are left out." if table.left_out else "",
        _columns(
            {name: int(missing_cells(column).sum()) for name, column in numeric.items()},
            "missing numbers count as the mean",
        ),
        _columns(
            {name: int(missing_cells(column).sum()) for name, column in categorical_columns(table).items()},
            "missing names count as no level",
        ),
        _columns(
            {
                name: int((~missing_cells(column) & ~np.isin(column.astype(str), levels[name])).sum())
                for name, column in categorical_columns(table).items()
            },
            "names without an input of their own count as no level",
        ),
        f"The same number in every training row: {_listed(constant)}." if constant else "",
        f"{inputs} inputs and {own.rows} training rows: more inputs than rows." if inputs > own.rows else "",
        *_about_classes(table, own, classes),
    ]
    return [note for note in found if note]


def _about_classes(table: Table, own: TableStatistics, classes: Sequence[str]) -> list[str]:
    if not classes:
        return []
    absent = [name for name in classes if name not in own.classes]
    unknown = int((~np.isin(table.label, classes)).sum())
    return [
        f"No training row here has the class {_listed(absent)}." if absent else "",
        f"{unknown} rows have a class that no training row has; any answer on them is wrong." if unknown else "",
    ]


def _columns(counts: Mapping[str, int], what: str) -> str:
    affected = {name: count for name, count in counts.items() if count}
    if not affected:
        return ""
    return f"{sum(affected.values())} {what}: {_listed([f'{name} ({count})' for name, count in affected.items()])}."


def _listed(names: Sequence[str]) -> str:
    """Join a few names; of many the first ones and how many follow."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
