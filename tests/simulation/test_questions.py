"""Common test rows: prepared together they are what each organisation's would be one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning.images import Images
from fedgap.learning.rows import Rows, join
from fedgap.learning.table import Table
from fedgap.simulation import questions
from fedgap.simulation.questions import Part, Questions, common_index
from fedgap.simulation.sites import SplitSites, load_sites, open_task, split_sites
from tests.simulation.tiny import REGRESSION, config


def sites(found: FederationConfig) -> SplitSites:
    """Split 0 of a federation."""
    task = open_task(found)
    return split_sites(found, task, load_sites(found, task), 0)


def flat(parts: list[Part]) -> list[np.ndarray[Any, Any]]:
    """Inputs, targets, and their scale for every row."""
    rows = [part for part, _ in parts]
    scales = [np.tile(scale, (len(part), 1)) for part, scale in parts]
    return [np.concatenate(values) for values in ([r.x for r in rows], [r.y for r in rows], scales)]


@pytest.mark.parametrize("statistics", ["federated", "local"])
@pytest.mark.parametrize("wanted", [{}, REGRESSION])
@pytest.mark.parametrize("view", ["alone", "federated", "pooled"])
def test_rows_prepared_together_are_those_prepared_one_by_one(
    tmp_path: Path, wanted: dict[str, Any], statistics: str, view: str
) -> None:
    found = config(tmp_path, **wanted, task={"label": "y", "statistics": statistics})
    rows = sites(found)
    asked = Questions(rows, common_index(found, rows))
    for org in rows.test:
        for expected, together in zip(flat(list(asked._parts(view, org))), flat(asked.all(view, org)), strict=True):
            np.testing.assert_array_equal(expected, together)


def test_many_rows_are_drawn_and_keep_their_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MOST_COMMON", 7)
    found = config(tmp_path)
    rows = sites(found)
    asked = Questions(rows, common_index(found, rows)).common_rows()

    assert len(asked.owner) == len(asked.row) == len(asked.target) == 7
    for owner, row in zip(asked.owner.tolist(), asked.row.tolist(), strict=True):
        assert row in rows.test_index[OrgId(list(rows.test)[owner])]


def test_what_cannot_be_joined_is_left_apart() -> None:
    """Rows of a task of one's own may be prepared in ways that look at all of them."""
    rows = Rows(np.zeros((2, 3), np.float32), np.zeros(2, np.int64))

    assert join([rows, rows]) is None
    assert join([]) is None


def test_tables_and_images_are_joined_in_order() -> None:
    table = Table("t", {"a": np.arange(3.0), "b": np.array(["x", None, "y"], dtype=object)}, np.arange(3.0))
    images = Images("i", np.arange(12).reshape(3, 1, 2, 2), np.arange(3))
    both, pictures = join([table, table.take(np.array([2]))]), join([images.take(np.array([1])), images])

    assert isinstance(both, Table)
    assert isinstance(pictures, Images)
    assert both.columns["a"].tolist() == [0, 1, 2, 2]
    assert both.columns["b"].tolist() == ["x", None, "y", "y"]
    assert pictures.classes.tolist() == [1, 0, 1, 2]
    assert pictures.pixels.shape == (4, 1, 2, 2)
