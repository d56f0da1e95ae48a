"""Splits are exact, fair to every class, and the same wherever they are computed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import OrgId
from fedgap.learning.rows import Rows
from fedgap.simulation.splits import SplitPlan

ME = OrgId("ash")
PLAN = SplitPlan(seed=1, test_fraction=0.4, train_rows=None, stratified=True)
labels = st.lists(st.integers(0, 3), min_size=1, max_size=60)
plans = st.builds(
    SplitPlan,
    seed=st.integers(0, 9),
    test_fraction=st.floats(0.01, 0.99),
    train_rows=st.none() | st.integers(1, 80),
    stratified=st.booleans(),
)


def rows(y: list[int]) -> Rows:
    """Rows of these classes."""
    return Rows(np.zeros((len(y), 1), np.float32), np.array(y, np.int64))


@given(plan=plans, y=labels, number=st.integers(0, 5))
def test_every_row_trains_or_tests_and_the_count_is_exact(plan: SplitPlan, y: list[int], number: int) -> None:
    train, test = plan.split(rows(y), ME, number)

    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(y)))
    assert train.tolist() == sorted(train.tolist())
    wanted = plan.train_rows or max(1, round(len(y) * (1 - (plan.test_fraction or 0))))
    assert len(train) == min(len(y), wanted)


@given(plan=plans, y=labels, number=st.integers(0, 5))
def test_every_class_keeps_its_share_to_within_one_row(plan: SplitPlan, y: list[int], number: int) -> None:
    train, _ = replace(plan, stratified=True).split(rows(y), ME, number)

    for name in set(y):
        exact = y.count(name) * len(train) / len(y)
        assert abs(sum(y[i] == name for i in train) - exact) < 1 + 1e-9


@given(y=labels, number=st.integers(0, 5), folds=st.integers(2, 8), stratified=st.booleans())
def test_folds_are_disjoint_cover_all_and_are_nearly_equal(
    y: list[int], number: int, folds: int, *, stratified: bool
) -> None:
    parts = replace(PLAN, stratified=stratified).folds(rows(y), ME, number, folds)

    if len(y) == 1:
        assert parts == []
        return
    assert len(parts) == min(folds, len(y))
    assert sorted(i for part in parts for i in part.tolist()) == list(range(len(y)))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    if stratified:
        for name in set(y):
            counts = [sum(y[i] == name for i in part) for part in parts]
            assert max(counts) - min(counts) <= 1


def test_a_split_depends_on_seed_number_and_name_and_on_nothing_else() -> None:
    data = rows([0, 1] * 20)
    base = PLAN.split(data, ME, 0)[0].tolist()

    assert base == PLAN.split(data, ME, 0)[0].tolist()
    assert base != PLAN.split(data, ME, 1)[0].tolist()
    assert base != PLAN.split(data, OrgId("birch"), 0)[0].tolist()
    assert base != replace(PLAN, seed=2).split(data, ME, 0)[0].tolist()


@pytest.mark.parametrize("stratified", [True, False])
def test_over_many_splits_every_row_is_tested_about_as_often(*, stratified: bool) -> None:
    """No class and no place in the file is favoured: 40 % of 500 splits, each within five standard deviations."""
    plan, tested = replace(PLAN, stratified=stratified), np.zeros(25)
    data = rows([0] * 3 + [1] * 15 + [2] * 7)
    for number in range(500):
        tested[plan.split(data, ME, number)[1]] += 1

    assert abs(tested - 200).max() < 5 * np.sqrt(500 * 0.4 * 0.6)


def test_with_one_row_it_trains() -> None:
    train, test = PLAN.split(rows([0]), ME, 0)

    assert (train.tolist(), test.tolist()) == ([0], [])


def test_without_rows_nothing_is_split() -> None:
    train, test = PLAN.split(rows([]), ME, 0)

    assert (len(train), len(test)) == (0, 0)
    assert PLAN.folds(rows([]), ME, 0, 3) == []
