"""Which test rows are answered, prepared as each site would: its own rows, and the common rows of everybody."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning.rows import Index, Rows, concatenate, join
from fedgap.simulation.sites import SplitSites

Part = tuple[Rows, tuple[float, float]]
"""Rows, and mean and scale that turn their targets back into the targets' own units."""

MOST_COMMON = 2000
"""At most so many of all organisations' test rows are answered by everybody's model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnsweredRows:
    """Which test rows were answered.

    Attributes:
        owner: number of the organisation each row belongs to, shape (n,).
        row: its position in the owner's data, shape (n,).
        target: class number, or the target in units of `Questions.unit`, shape (n,).
    """

    owner: Index
    row: Index
    target: NDArray[np.float64]


def common_index(config: FederationConfig, rows: SplitSites) -> dict[OrgId, Index]:
    """Positions, among each organisation's test rows, of those that everybody answers."""
    sizes = {org: len(data) for org, data in rows.test.items()}
    total = sum(sizes.values())
    if total <= MOST_COMMON:
        return {org: np.arange(size) for org, size in sizes.items()}
    drawn = np.sort(
        counter.permutation(counter.key(config.federation.seed, "common", rows.number), total)[:MOST_COMMON]
    )
    first = np.cumsum([0, *sizes.values()])
    return {org: drawn[(drawn >= first[i]) & (drawn < first[i + 1])] - first[i] for i, org in enumerate(sizes)}


class Questions:
    """The test rows of a split, prepared as each site would, and remembered where everybody prepares them alike."""

    def __init__(self, rows: SplitSites, common: Mapping[OrgId, Index]) -> None:
        self.rows, self.common = rows, common
        self._kept: dict[str, list[Part]] = {}
        self._joined = join([rows.test[org].take(index) for org, index in common.items() if len(index)])

    @property
    def unit(self) -> float:
        """What scores of a regression are computed in, whatever the targets' own unit is: their common deviation."""
        return self.rows.target_scale("pooled", next(iter(self.common)))[1]

    def own(self, org: OrgId, view: str) -> Part:
        """An organisation's test rows as it prepares them, and the scale of its targets."""
        return self.rows.testing(org, view, org), self.rows.target_scale(view, org)

    def all(self, view: str, at: OrgId) -> list[Part]:
        """Everyone's common test rows, in the order of the organisations, as the site `at` meets them.

        Where one site's statistics serve for all of them, rows that can be joined are prepared together: thousands of
        sites that each meet everybody's rows one organisation at a time would take for ever.
        """
        if view == "alone" and self._joined is not None:
            return [(self.rows.prepare(self._joined, at, view), self.rows.target_scale(view, at))]
        if view == "alone":
            return list(self._parts(view, at))
        if view not in self._kept:
            self._kept[view] = _together(list(self._parts(view, at)))
        return self._kept[view]

    def _parts(self, view: str, at: OrgId) -> Iterator[Part]:
        for org, index in self.common.items():
            if len(index):
                scale = self.rows.target_scale(view, org if view == "federated" else at)
                yield self.rows.testing(org, view, at).take(index), scale

    def common_rows(self) -> AnsweredRows:
        """Identity and target of the common test rows."""
        parts = self.all("pooled", next(iter(self.common)))
        return AnsweredRows(
            owner=np.repeat(np.arange(len(self.common)), [len(index) for index in self.common.values()]),
            row=np.concatenate([self.rows.test_index[org][index] for org, index in self.common.items()]),
            target=np.concatenate([target_of(*part) for part in parts] or [np.zeros(0)]) / self.unit,
        )

    def own_rows(self, org: OrgId) -> AnsweredRows:
        """Identity and target of an organisation's own test rows."""
        index, target = self.rows.test_index[org], target_of(*self.own(org, "pooled")) / self.unit
        return AnsweredRows(owner=np.zeros(len(index), np.int64), row=index, target=target)


def target_of(rows: Rows, scale: tuple[float, float]) -> NDArray[np.float64]:
    """Class numbers, or targets in their own units, shape (n,)."""
    if rows.y.dtype.kind == "i":
        return rows.y.astype(np.float64)
    return rows.y.astype(np.float64) * scale[1] + scale[0]


def _together(parts: Sequence[Part]) -> list[Part]:
    """Put neighbouring rows of the same scale under one another, in order."""
    alike = groupby(parts, key=lambda part: part[1])
    return [(concatenate([rows for rows, _ in some]), scale) for scale, some in alike]
