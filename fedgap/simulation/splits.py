"""Which rows train and which test: drawn anew for every split, stratified by class, the same wherever it is computed.

Rows are ordered by class (classes and rows within a class in random order) and then picked at even distances from a
random place on, so that every class keeps its share to within one row, the number of training rows is exact, and every
row is as likely to be picked as any other.
"""

from dataclasses import dataclass

import numpy as np

from fedgap import counter
from fedgap.ids import OrgId
from fedgap.learning.rows import Data, Index


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """How rows are split.

    Attributes:
        seed: the study seed.
        test_fraction: share of an organisation's rows kept for testing, or None when `train_rows` counts.
        train_rows: rows used for training, at most what there is; the rest is for testing.
        stratified: whether classes keep their share.
    """

    seed: int
    test_fraction: float | None
    train_rows: int | None
    stratified: bool

    def split(self, data: Data, org: OrgId, number: int) -> tuple[Index, Index]:
        """Draw split `number` of an organisation's rows: positions to train on, positions to test on.

        At least one row trains; with too few rows none is left for testing.
        """
        count = len(data)
        if self.train_rows is not None:
            kept = min(self.train_rows, count)
        else:
            kept = min(count, max(1, round(count * (1 - (self.test_fraction or 0.0)))))
        key = counter.key(self.seed, "split", number, str(org))
        order = self._order(data, key)
        phase = int(counter.words(counter.key(key, "phase"), 1)[0]) % max(1, count)
        position = (np.arange(count + 1) * kept + phase) // max(1, count)
        trains = np.diff(position) > 0
        return np.sort(order[trains]), np.sort(order[~trains])

    def folds(self, data: Data, org: OrgId, number: int, folds: int) -> list[Index]:
        """Deal the training rows of split `number` into parts for cross-validation.

        Returns:
            min(folds, rows) parts of positions, of sizes that differ by at most one; none if there is a single row.
        """
        count = min(folds, len(data))
        if count < 2:  # noqa: PLR2004 - one part leaves nothing to train on
            return []
        order = self._order(data, counter.key(self.seed, "folds", number, str(org)))
        return [np.sort(order[part::count]) for part in range(count)]

    def _order(self, data: Data, key: int) -> Index:
        """All positions in random order; if stratified, class by class."""
        shuffled = counter.permutation(key, len(data))
        if not self.stratified or len(data) == 0:
            return shuffled
        _, group = np.unique(data.labels(), return_inverse=True)
        place = counter.permutation(counter.key(key, "classes"), int(group.max()) + 1)
        return shuffled[np.argsort(place[group[shuffled]], kind="stable")]
