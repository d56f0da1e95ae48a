"""Laws of the value: nothing for nothing, the same for the same, sums for sums, whatever the names."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedgap.contribution import direction
from fedgap.contribution.direction import Array, path_slopes
from fedgap.contribution.value import Account, Attribution
from fedgap.ids import OrgId
from fedgap.learning.stack_utility import StackUtility

WIDTHS = (4, 5, 3)
SIZE = sum(a * b + b for a, b in pairwise(WIDTHS))
seeds = st.integers(0, 2**32 - 1)


class Sum:
    """w1 U1 + w2 U2."""

    def __init__(self, *terms: tuple[float, StackUtility]) -> None:
        self.terms, self.rows = terms, terms[0][1].rows

    def value(self, vector: Array) -> float:
        """The sum."""
        return sum(w * u.value(vector) for w, u in self.terms)

    def gradient(self, vector: Array) -> Array:
        """The sum."""
        return np.asarray(sum(w * u.gradient(vector) for w, u in self.terms))

    def slopes(self, vector: Array, along: Array) -> Array:
        """The sum."""
        return np.asarray(sum(w * u.slopes(vector, along) for w, u in self.terms))


def rows(seed: int, count: int = 12) -> StackUtility:
    draw = np.random.default_rng(seed)
    return StackUtility(WIDTHS, "tanh", "brier", draw.normal(size=(count, 4)), draw.integers(0, 3, count))


def updates(seed: int, rounds: int = 3, members: int = 4) -> Array:
    """Weighted updates of a short run, shape (T, n, d)."""
    return np.random.default_rng([seed, 1]).normal(scale=0.05, size=(rounds, members, SIZE))


def settle(utility: StackUtility | Sum, parts: Array, names: list[str], nodes: int = 5) -> Attribution:
    """Values of a run in which the model moves by the sum of the parts; every round counts."""
    account = Account(organisations=tuple(map(OrgId, names)))
    model = np.random.default_rng(0).normal(scale=0.3, size=SIZE)
    for given_ in parts:
        mean = given_.sum(axis=0)
        found = direction(utility, model, model + mean, mean, nodes=nodes)
        slopes = path_slopes(utility, model, model + mean, given_)
        account.add(found, zip(map(OrgId, names), given_, strict=True), slopes)
        model = model + mean
    return account.settle(last=len(parts))


def named(count: int) -> list[str]:
    return [f"org-{k}" for k in range(count)]


def numbers(found: Attribution) -> NDArray[np.float64]:
    return np.array(list(found.values.values()))


@given(seed=seeds)
@settings(max_examples=20)
def test_the_values_and_the_gap_sum_to_the_gain(seed: int) -> None:
    found = settle(rows(seed), updates(seed), named(4))
    assert numbers(found).sum() + found.gap == pytest.approx(found.gain, rel=1e-6, abs=1e-15)


@given(seed=seeds)
@settings(max_examples=20)
def test_an_empty_update_is_worth_exactly_nothing(seed: int) -> None:
    parts = updates(seed)
    parts[:, 2] = 0
    assert numbers(settle(rows(seed), parts, named(4)))[2] == 0.0


@given(seed=seeds)
@settings(max_examples=20)
def test_equal_updates_of_equal_weight_are_worth_the_same(seed: int) -> None:
    parts = updates(seed)
    parts[:, 1] = parts[:, 3]
    found = numbers(settle(rows(seed), parts, named(4)))
    assert found[1] == pytest.approx(found[3], abs=1e-9)


@given(seed=seeds)
@settings(max_examples=20)
def test_splitting_an_organisation_keeps_the_summed_value(seed: int) -> None:
    """And leaves everybody else's value alone."""
    parts = updates(seed)
    share = np.random.default_rng([seed, 2]).normal(size=(len(parts), SIZE))
    apart = np.concatenate([parts[:, :3], (parts[:, 3] * share)[:, None], (parts[:, 3] * (1 - share))[:, None]], axis=1)
    before, after = (numbers(settle(rows(seed), p, named(p.shape[1]))) for p in (parts, apart))
    assert after[:3] == pytest.approx(before[:3], abs=1e-9)
    assert after[3] + after[4] == pytest.approx(before[3], abs=1e-9)


@given(seed=seeds, order=st.permutations(range(4)))
@settings(max_examples=20)
def test_renaming_moves_values_with_their_owners(seed: int, order: list[int]) -> None:
    parts = updates(seed)
    before, after = settle(rows(seed), parts, named(4)), settle(rows(seed), parts[:, order], named(4))
    assert numbers(after) == pytest.approx(numbers(before)[order], abs=1e-12)


@given(seed=seeds)
@settings(max_examples=20)
def test_values_of_two_utilities_add(seed: int) -> None:
    """U1 + 2 U2 gives v1 + 2 v2, but for what the factors of the quadrature differ."""
    one, two, parts = rows(seed), rows(seed + 1), updates(seed)
    both = settle(Sum((1.0, one), (2.0, two)), parts, named(4), nodes=12)
    apart = numbers(settle(one, parts, named(4), nodes=12)) + 2 * numbers(settle(two, parts, named(4), nodes=12))
    assert numbers(both) == pytest.approx(apart, abs=1e-9)


@given(seed=seeds)
@settings(max_examples=10)
def test_two_who_shift_credit_between_them_change_nobody_else(seed: int) -> None:
    """Updates x + z and y - z: the pair's sum and all other values stay."""
    parts = updates(seed)
    moved = parts.copy()
    shift = np.random.default_rng([seed, 3]).normal(size=SIZE)
    moved[:, 0] += shift
    moved[:, 1] -= shift
    before, after = (numbers(settle(rows(seed), p, named(4))) for p in (parts, moved))
    assert after[2:] == pytest.approx(before[2:], abs=1e-9)
    assert after[:2].sum() == pytest.approx(before[:2].sum(), abs=1e-8)


def test_the_rows_parts_average_to_the_values() -> None:
    found = settle(rows(5), updates(5), named(4))
    assert found.parts is not None
    assert found.parts.mean(axis=0) == pytest.approx(numbers(found), abs=1e-12)


def test_who_was_absent_gets_nothing_for_the_round() -> None:
    account = Account(organisations=(OrgId("a"), OrgId("b")))
    model, part = np.zeros(SIZE), updates(1)[0, 0]
    found = direction(rows(1), model, model + part, part)
    account.add(found, [(OrgId("b"), part)])
    settled = account.settle()
    assert settled.values[OrgId("a")] == 0.0
    assert settled.values[OrgId("b")] == pytest.approx(settled.gain)
    assert settled.parts is None


def test_an_account_without_rounds_cannot_be_settled_and_hides_what_it_holds() -> None:
    account = Account(organisations=(OrgId("a"),))
    with pytest.raises(ValueError, match="no round"):
        account.settle()
    assert "values" not in repr(account)
