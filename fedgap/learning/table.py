"""One organisation's CSV file: numbers as float64 with NaN for a missing one, names as text with None.

Every organisation writes the same columns, in any order. What cannot be read is refused with the file, the line and
the column; a cell's content is never shown, because a row is private.
"""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedgap.config.task import TabularOptions
from fedgap.learning.faults import (
    EmptyFileError,
    InfiniteNumberError,
    MissingFileError,
    MissingLabelError,
    NoRowsError,
    NotANumberError,
    NotATableError,
    NotUtf8Error,
    OneColumnError,
    UnknownLabelError,
    UnreadableFileError,
    WrongColumnsError,
)
from fedgap.learning.rows import Index
from fedgap.learning.task import Kind

Numbers = NDArray[np.float64]
Names = NDArray[np.object_]
"""Text, or None for a missing one."""

LARGEST = 1e100
"""A number beyond it would overflow when squared and summed."""

_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One organisation's rows, as its file has them.

    Attributes:
        source: the file's folder and name, for notes and errors.
        columns: float64 (numeric) or text and None (categorical) of each input, shape (n,); in the order of
            `features`, or sorted by name, so that the order in a file does not matter.
        label: class names or float64 targets, shape (n,).
        left_out: rows of the file that were left out for a missing input (`drop_missing`).
    """

    source: str
    columns: Mapping[str, Numbers | Names]
    label: NDArray[np.str_] | Numbers
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: Index) -> "Table":
        """Keep the rows at these positions, in this order."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Table(self.source, columns, self.label[index], self.left_out)

    def labels(self) -> NDArray[np.generic]:
        """What each row is to predict, shape (n,)."""
        return self.label

    @classmethod
    def join(cls, parts: "Sequence[Table]") -> "Table":
        """Put tables with the same columns under one another."""
        names = parts[0].columns
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
        return cls("all organisations", columns, np.concatenate([part.label for part in parts]))


@dataclass(frozen=True, slots=True)
class _Grid:
    """The cells of a file: one list a row, with the number of the line it ends on."""

    file: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> Iterator[tuple[int, str]]:
        """Give each row's line number and its cell in this column."""
        position = self.names.index(name)
        return ((line, row[position].strip()) for line, row in zip(self.lines, self.rows, strict=True))


def read_table(path: Path, options: TabularOptions, kind: Kind) -> Table:
    """Read one organisation's rows.

    Raises:
        DataError: the file, its columns or a cell cannot be used.
    """
    grid = _cells(str(path), _text(path), options)
    features = _features(grid, options)
    columns = {name: _column(grid, name, options) for name in features}
    label = _classes(grid, options) if kind == "classification" else _targets(grid, options)
    table = Table(str(Path(*path.parts[-2:])), columns, label)
    return _complete(table, str(path)) if options.drop_missing else table


def level(text: str) -> str:
    """Write a level or class name in one way: without spaces around it, and 3.0 as 3 (some tools write floats)."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def number(text: str) -> float:
    """Read a decimal number; NaN if it is none. Infinity is a number here, for the caller to refuse."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def read_bytes(path: Path) -> bytes:
    """Read a data file.

    Raises:
        DataError: it is missing, unreadable or empty.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFileError(f"{path} is a folder, a device or a pipe, and no file.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {path}.") from error
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read ({error.strerror}).") from error
    if not content.strip():
        raise EmptyFileError(f"{path} is empty.")
    return content


def _text(path: Path) -> str:
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotUtf8Error(f"{path}, line {line}: the text is not UTF-8.") from error


def _cells(file: str, text: str, options: TabularOptions) -> _Grid:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=options.delimiter, strict=True)
    rows, lines = [], []
    names = options.columns
    try:
        for row in reader:
            if not "".join(row).strip() and len(row) <= 1:
                continue  # an empty line
            if not names:
                names = tuple(cell.strip() for cell in row)
                continue
            if len(row) != len(names):
                raise NotATableError(
                    f"{file}, line {reader.line_num}: {len(row)} cells instead of {len(names)}.",
                    remedy=_other_delimiter(names),
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise NotATableError(f"{file}, line {reader.line_num}: the quotes are wrong, or a cell is too long.") from error
    if len(names) == 1:
        raise OneColumnError(f"{file} has a single column.", remedy=_other_delimiter(names))
    if not names:
        raise EmptyFileError(f"{file} is empty.")
    grid = _Grid(file, names, rows, lines)
    _check_names(grid, options)
    if not rows:
        raise NoRowsError(f"{file} has column names and no row.")
    return grid


def _other_delimiter(names: Sequence[str]) -> str | None:
    """The remedy if the first line looks as if it were cut at another sign."""
    sign = next((sign for sign in ";\t|," if len(names) == 1 and sign in names[0]), None)
    return None if sign is None else f"Write delimiter = {json.dumps(sign)} into [task]."


def _check_names(grid: _Grid, options: TabularOptions) -> None:
    """Refuse a file without the columns that the task names; the names a file has are shown only where they match."""
    wanted = (options.label, *options.features, *options.drop, *options.categorical)
    missing = [name for name in dict.fromkeys(wanted) if name not in grid.names]
    if missing and any(math.isfinite(number(name)) for name in grid.names):
        raise WrongColumnsError(
            f"{grid.file} begins with numbers instead of column names.",
            remedy="Write the names into its first line, or list them in task.columns.",
        )
    if missing:
        close = difflib.get_close_matches(missing[0], grid.names, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise WrongColumnsError(f"{grid.file} has no column {', '.join(missing)}.{hint}")
    twice = sorted({name for name in grid.names if name and grid.names.count(name) > 1})
    if twice:
        raise WrongColumnsError(f"{grid.file} has more than one column {', '.join(twice)}.")
    if not options.features and "" in grid.names:
        raise WrongColumnsError(
            f"{grid.file} has a column without a name, number {grid.names.index('') + 1}.",
            remedy="Name it in the first line, or list the columns to use in task.features.",
        )


def _features(grid: _Grid, options: TabularOptions) -> Sequence[str]:
    features = options.features or sorted({*grid.names} - {options.label, *options.drop})
    if not features:
        raise OneColumnError(f"{grid.file} has no column but the label and those that task.drop names.")
    return features


def _column(grid: _Grid, name: str, options: TabularOptions) -> Numbers | Names:
    if name in options.categorical:
        texts = [None if cell in options.missing else level(cell) for _line, cell in grid.column(name)]
        return np.array(texts, dtype=object)
    remedy = "List the column in task.categorical, or the text that means a missing value in task.missing."
    return _numbers(grid, name, options, remedy)


def _numbers(grid: _Grid, name: str, options: TabularOptions, remedy: str) -> Numbers:
    values = []
    for line, cell in grid.column(name):
        missing = cell in options.missing
        value = math.nan if missing else number(cell)
        if math.isnan(value) and not missing:
            if math.isfinite(number(cell.replace(",", ".", 1))):
                remedy = "Write the numbers of this file with a decimal point instead of a comma."
            raise NotANumberError(file=grid.file, column=name, line=line, remedy=remedy)
        if abs(value) > LARGEST:
            raise InfiniteNumberError(
                f"{grid.file}, line {line}: the number in column {name} is infinite or beyond {LARGEST:g}."
            )
        values.append(value)
    return np.array(values, dtype=np.float64)


def _targets(grid: _Grid, options: TabularOptions) -> Numbers:
    _refuse_missing_labels(grid, options)
    return _numbers(grid, options.label, options, "Correct the cell: a regression's label is a number.")


def _classes(grid: _Grid, options: TabularOptions) -> NDArray[np.str_]:
    _refuse_missing_labels(grid, options)
    cells = [(line, level(cell)) for line, cell in grid.column(options.label)]
    names = {level(raw): level(name) for raw, name in options.label_map.items()}
    known = {level(name) for name in options.classes}
    classes = [names.get(cell) if names else cell for _line, cell in cells]
    unknown = [
        line
        for (line, _cell), name in zip(cells, classes, strict=True)
        if name is None or (known and name not in known)
    ]
    if unknown:
        raise UnknownLabelError(
            f"{grid.file}: {len(unknown)} of {len(cells)} labels in column {options.label} are not among those that "
            f"the task names; the first is on line {unknown[0]}."
        )
    return np.array(classes, dtype=np.str_)


def _refuse_missing_labels(grid: _Grid, options: TabularOptions) -> None:
    lines = [line for line, cell in grid.column(options.label) if cell in options.missing]
    if lines:
        raise MissingLabelError(
            f"{grid.file}: {len(lines)} of {len(grid.rows)} rows have no label in column {options.label}; the first "
            f"is on line {lines[0]}."
        )


def _complete(table: Table, file: str) -> Table:
    """Leave out the rows with a missing input, and count them."""
    whole = np.ones(len(table), dtype=np.bool_)
    for column in table.columns.values():
        whole &= ~missing_cells(column)
    if not whole.any():
        raise NoRowsError(
            f"{file} has no row without a missing input.", remedy="Set task.drop_missing to false, or drop columns."
        )
    left_out = int((~whole).sum())
    columns = {name: column[whole] for name, column in table.columns.items()}
    return Table(table.source, columns, table.label[whole], left_out)


def missing_cells(column: Numbers | Names) -> NDArray[np.bool_]:
    """Tell which cells have no value, shape (n,)."""
    if column.dtype == np.float64:
        return np.isnan(column.astype(np.float64))
    return np.array([cell is None for cell in column], dtype=np.bool_)
