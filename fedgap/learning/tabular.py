"""Tables as a task: numeric columns standardised, categorical ones one input a level, classes numbered.

Whose mean and deviation scale a column is the configuration's choice (`task.statistics`); levels and classes are
always everyone's, so that the same input means the same at every organisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedgap.config.task import TabularOptions
from fedgap.learning import table_statistics
from fedgap.learning.faults import InfiniteNumberError, OneColumnError, WrongColumnsError
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.moments import Numbers
from fedgap.learning.rows import Data, Rows
from fedgap.learning.scores import LARGEST, UNKNOWN
from fedgap.learning.table import Names, Table, level, read_table
from fedgap.learning.table_notes import workarounds
from fedgap.learning.table_statistics import TableStatistics, categorical_columns, matrix, numeric_columns
from fedgap.learning.task import Kind, Task

if TYPE_CHECKING:
    from torch import nn


FLOAT32_MAX = float(np.finfo(np.float32).max)


class TabularTask(Task):
    """Classification or regression on one CSV file an organisation."""

    def __init__(self, options: TabularOptions, kind: Kind) -> None:
        self.options = options
        self.kind = kind

    def load(self, source: Path) -> Table:
        """Read an organisation's CSV file.

        Raises:
            DataError: it cannot be used (`fedgap.learning.faults`).
        """
        table = read_table(source, self.options, self.kind)
        if self.options.statistics == "given":
            absent = [name for name in numeric_columns(table) if name not in self.options.given]
            if absent:
                raise WrongColumnsError(
                    f"task.given has no mean and standard deviation for {', '.join(absent)}.",
                    remedy="Add them to task.given, or leave these columns out of task.features.",
                )
        return table

    def statistics(self, data: Data) -> TableStatistics:
        """Sum up one organisation's training rows."""
        return table_statistics.summarise(_table(data))

    def merge(self, parts: Sequence[TableStatistics]) -> TableStatistics:
        """Put several organisations' statistics together.

        Raises:
            DifferentColumnsError: their files do not have the same columns.
            NothingToLearnError: there are several organisations and all their rows have the same label.
        """
        return table_statistics.merge(parts)

    def alone(self, shared: TableStatistics, own: TableStatistics) -> TableStatistics:
        """Statistics of an organisation that trains alone: its own moments, everyone's levels and classes."""
        return replace(own, levels=shared.levels, classes=shared.classes)

    def classes(self, shared: TableStatistics) -> tuple[str, ...]:
        """Class names in the order of their numbers."""
        return tuple(level(name) for name in self.options.classes) or shared.classes

    def levels(self, shared: TableStatistics) -> dict[str, tuple[str, ...]]:
        """Levels of each categorical column, in the order of their inputs."""
        given = {name: tuple(level(text) for text in texts) for name, texts in self.options.levels.items()}
        return {name: given.get(name, texts) for name, texts in shared.levels.items()}

    def prepare(self, data: Data, shared: TableStatistics, own: TableStatistics) -> Rows:
        """Scale numbers, spread levels over inputs, number classes; a missing or unknown cell becomes 0.

        Returns:
            x float32, finite, the numeric inputs first; y int64 class numbers (-1: a class nobody trained on), or
            standardised targets, float32.

        Raises:
            InfiniteNumberError: a scaled number does not fit a float32, or a scaled target is absurd.
            OneColumnError: no cell has a value, so there is no input.
        """
        table = _table(data)
        mean, scale = self._scaling(shared, own)
        numbers = np.nan_to_num((matrix(table) - mean) / scale, nan=0.0)
        levels = self.levels(shared)
        spread = [_indicators(column, levels[name]) for name, column in categorical_columns(table).items()]
        x = np.concatenate([_single(numbers, table), *spread], axis=1)
        if x.shape[1] == 0:
            raise OneColumnError(f"{table.source}: every cell to predict from is missing.")
        return Rows(x, self._targets(table, shared, own))

    def target_scale(self, shared: TableStatistics, own: TableStatistics) -> tuple[float, float]:
        """Mean and scale of a standardised target: prediction * scale + mean is in the target's own units."""
        if self.kind == "classification":
            return 0.0, 1.0
        target = (own if self.options.statistics == "local" else shared).target
        return float(target.mean[0]), float(target.scale[0])

    def describe(self, shared: TableStatistics, own: TableStatistics) -> Mapping[str, Any]:
        """Say how a row becomes a model's inputs, and what its outputs mean."""
        mean, scale = self._scaling(shared, own)
        numeric = shared.numeric_names
        described = {
            "columns": list(shared.columns),
            "means": dict(zip(numeric, mean.tolist(), strict=True)),
            "sds": dict(zip(numeric, scale.tolist(), strict=True)),
            "levels": {name: list(texts) for name, texts in self.levels(shared).items()},
        }
        if self.kind == "classification":
            return {**described, "classes": list(self.classes(shared))}
        target_mean, target_sd = self.target_scale(shared, own)
        return {**described, "target": {"mean": target_mean, "sd": target_sd}}

    def notes(self, data: Data, shared: TableStatistics, own: TableStatistics) -> list[str]:
        """Say in plain words what `prepare` had to work around in these rows."""
        constant = [] if self.options.statistics == "given" else self._constant(shared, own)
        return workarounds(_table(data), own, self.levels(shared), self.classes(shared), constant)

    def model(self, rows: Rows) -> "nn.Module":
        """Build the linear model or the mlp (see `stack`)."""
        from fedgap.learning import models  # noqa: PLC0415 - torch is loaded when a model is built

        return models.module_of(self.stack(rows))

    def stack(self, rows: Rows) -> LinearStack:
        """Describe the linear model or the mlp.

        Args:
            rows: of everyone who trains together; unless task.classes names them, their classes are counted.
        """
        options, outputs = self.options, 1
        if self.kind == "classification":
            outputs = max(2, len(options.classes), int(rows.y.max(initial=0)) + 1)
        return LinearStack(
            widths=(rows.x.shape[1], *(() if options.model == "linear" else options.hidden), outputs),
            activation=options.activation,
            dropout=0.0 if options.model == "linear" else options.dropout,
            loss="softmax" if self.kind == "classification" else "squared",
        )

    def _scaling(self, shared: TableStatistics, own: TableStatistics) -> tuple[Numbers, Numbers]:
        """What to take from each numeric column and what to divide it by; shapes (p,)."""
        if self.options.statistics == "given":
            given = np.array([self.options.given[name] for name in shared.numeric_names]).reshape(-1, 2)
            return given[:, 0], given[:, 1]
        known = (own if self.options.statistics == "local" else shared).numeric
        return known.mean, known.scale

    def _constant(self, shared: TableStatistics, own: TableStatistics) -> list[str]:
        known = own if self.options.statistics == "local" else shared
        return [name for name, flat in zip(known.numeric_names, known.numeric.constant, strict=True) if flat]

    def _targets(
        self, table: Table, shared: TableStatistics, own: TableStatistics
    ) -> NDArray[np.int64] | NDArray[np.float32]:
        if self.kind == "classification":
            number = {name: position for position, name in enumerate(self.classes(shared))}
            return np.array([number.get(str(name), UNKNOWN) for name in table.label.tolist()], dtype=np.int64)
        mean, scale = self.target_scale(shared, own)
        targets = (table.label.astype(np.float64) - mean) / scale
        if np.abs(targets).max(initial=0.0) > LARGEST:
            raise InfiniteNumberError(
                f"{table.source}: a label is too large once it is scaled.",
                remedy="Correct the cell, or leave its row out.",
            )
        return targets.astype(np.float32)


def _table(data: Data) -> Table:
    if not isinstance(data, Table):
        raise TypeError(f"a TabularTask prepares what it loaded, a Table, not {type(data).__name__}")
    return data


def _indicators(column: Names, levels: tuple[str, ...]) -> NDArray[np.float32]:
    """One column a level: 1 in the rows that have it; shape (n, levels)."""
    hit = [[float(cell == text) for text in levels] for cell in column.tolist()]
    return np.array(hit, dtype=np.float32).reshape(len(column), len(levels))


def _single(x: Numbers, table: Table) -> NDArray[np.float32]:
    """Round to float32; a number beyond its range is refused with the column's name."""
    largest = np.abs(x).max(axis=0, initial=0.0).tolist()
    names = [name for name, size in zip(numeric_columns(table), largest, strict=True) if size > FLOAT32_MAX]
    if names:
        raise InfiniteNumberError(
            f"{table.source}: a number in column {', '.join(names)} is too large once it is scaled.",
            remedy="Correct the cell, or drop the column.",
        )
    return x.astype(np.float32)
