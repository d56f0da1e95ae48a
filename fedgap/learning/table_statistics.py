"""What preparing a table needs to know of the training rows, one organisation's or everyone's together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedgap.learning import moments
from fedgap.learning.faults import DifferentColumnsError, NothingToLearnError
from fedgap.learning.moments import Moments, Numbers
from fedgap.learning.table import Names, Table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableStatistics:
    """Statistics of some rows.

    Attributes:
        source: the file, for messages; of several, the first.
        rows: how many.
        columns: names of all columns to predict from.
        numeric: moments of the numeric ones among them, in that order.
        levels: sorted levels of each categorical one.
        classes: sorted class names; none in a regression.
        target: moments of the target, p = 1; in a classification p = 0.
    """

    source: str
    rows: int
    columns: tuple[str, ...]
    numeric: Moments
    levels: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    target: Moments

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric columns, in the order of `numeric`."""
        return tuple(name for name in self.columns if name not in self.levels)


def numeric_columns(table: Table) -> dict[str, Numbers]:
    """The columns that hold numbers."""
    return {name: column.astype(np.float64) for name, column in table.columns.items() if column.dtype == np.float64}


def categorical_columns(table: Table) -> dict[str, Names]:
    """The columns that hold names."""
    return {name: column.astype(object) for name, column in table.columns.items() if column.dtype != np.float64}


def matrix(table: Table) -> Numbers:
    """The numeric columns side by side, NaN for missing, shape (n, p)."""
    columns = [*numeric_columns(table).values()]
    return np.stack(columns, axis=1) if columns else np.zeros((len(table), 0))


def summarise(table: Table) -> TableStatistics:
    """Sum up one organisation's training rows."""
    regression = table.label.dtype == np.float64
    target = table.label.astype(np.float64)[:, None] if regression else np.zeros((len(table), 0))
    return TableStatistics(
        source=table.source,
        rows=len(table),
        columns=tuple(table.columns),
        numeric=moments.moments(matrix(table)),
        levels={
            name: tuple(sorted({cell for cell in column.tolist() if cell is not None}))
            for name, column in categorical_columns(table).items()
        },
        classes=() if regression else tuple(sorted({str(name) for name in table.label.tolist()})),
        target=moments.moments(target),
    )


def merge(parts: Sequence[TableStatistics]) -> TableStatistics:
    """Put the statistics of several organisations together.

    Raises:
        DifferentColumnsError: their files do not have the same columns.
        NothingToLearnError: there are several organisations and all their rows have the same label.
    """
    first = parts[0]
    for part in parts[1:]:
        _refuse_other_columns(first, part)
    merged = TableStatistics(
        source=first.source,
        rows=sum(part.rows for part in parts),
        columns=first.columns,
        numeric=moments.merge([part.numeric for part in parts]),
        levels={name: tuple(sorted({text for part in parts for text in part.levels[name]})) for name in first.levels},
        classes=tuple(sorted({name for part in parts for name in part.classes})),
        target=moments.merge([part.target for part in parts]),
    )
    if len(parts) > 1:
        _refuse_one_label(merged)
    return merged


def _refuse_other_columns(first: TableStatistics, part: TableStatistics) -> None:
    here, there = {*part.columns}, {*first.columns}
    if here != there:
        lacks = f" lacks {', '.join(sorted(there - here))}" if there - here else ""
        adds = f" has {', '.join(sorted(here - there))} besides" if here - there else ""
        raise DifferentColumnsError(
            f"{part.source}{lacks}{' and' if lacks and adds else ''}{adds}; {first.source} differs."
        )


def _refuse_one_label(merged: TableStatistics) -> None:
    regression = not merged.classes
    if len(merged.classes) == 1 or (regression and bool(merged.target.constant.all())):
        what = "target" if regression else "class"
        raise NothingToLearnError(f"All {merged.rows} training rows of all organisations have the same {what}.")
