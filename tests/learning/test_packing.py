"""The rows of many organisations are packed once, and a training's batches have the width that it would have alone."""

import numpy as np
import pytest

from fedgap.learning.packing import Job, PackedRows, Place
from fedgap.learning.rows import Rows


def rows(n: int, seed: int = 0) -> Rows:
    """Random rows of two columns."""
    x = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


def test_the_same_rows_are_packed_once() -> None:
    first, second = rows(5, 1), rows(9, 2)
    packed = PackedRows(first, np.float32, ones=True)

    places = [packed.place(r) for r in (first, second, first, second)]

    assert [(place.first, place.size) for place in places] == [(0, 5), (5, 9), (0, 5), (5, 9)]
    assert packed.used == 14
    np.testing.assert_array_equal(np.concatenate([first.x, second.x]), packed.x[:14, :2])
    np.testing.assert_array_equal(np.ones(14), packed.x[:14, 2])
    np.testing.assert_array_equal(np.concatenate([first.y, second.y]), packed.y[:14])


def test_many_are_packed_in_one_go_and_those_without_rows_take_no_place() -> None:
    first, second, none = rows(5, 1), rows(9, 2), rows(0)
    packed = PackedRows(first, np.float32, ones=False)

    assert [tuple(place) for place in packed.places([second, none, first, second])] == [(0, 9), (0, 0), (9, 5), (0, 9)]
    assert [tuple(place) for place in packed.places([first, rows(2, 3)])] == [(9, 5), (14, 2)]
    np.testing.assert_array_equal(np.concatenate([second.x, first.x, rows(2, 3).x]), packed.x[:16])
    np.testing.assert_array_equal(np.concatenate([second.y, first.y, rows(2, 3).y]), packed.y[:16])


@pytest.mark.parametrize(("count", "batch_size", "width"), [(1, 16, 1), (5, 16, 8), (16, 16, 16), (99, 16, 16)])
def test_the_width_of_a_batch_depends_on_the_job_alone(count: int, batch_size: int, width: int) -> None:
    job = Job(start=0, place=Place(first=0, size=count), key=1, lr=0.1)

    assert width == job.width(batch_size)
