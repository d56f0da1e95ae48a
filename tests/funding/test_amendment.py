"""What a later version of the policy may change, from when, and that whatever changes is said."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.funding.amendment import BadAmendmentError, LatePolicyError, changes, check_amendment, version_name
from fedgap.funding.policy import Policy, Price
from tests.funding.cases import policies, policy, some_policy

FIRST = policy()
SECOND = policy(budgets=(100_000, 40_000), lam=Fraction(1), prices=(Price(what="rows", each=Fraction(5, 3)),))


def test_what_is_different_is_said_in_words() -> None:
    assert changes(FIRST, SECOND) == (
        "budget of period 2: 1,000.00 EUR, now 400.00 EUR",
        "part that follows value: 1/2, now 1",
        "price of cpu-ms: 1 EUR for 10000, now none",
        "price of rows: none, now 1 EUR for 60",
    )


@given(seed=st.integers(0, 10**6), other=policies(budgets=2))
def test_two_versions_that_differ_are_never_described_as_the_same(seed: int, other: Policy) -> None:
    one = replace(some_policy(random.Random(seed)), currency="EUR", digits=2, budgets=(1, 2))  # noqa: S311 - repeatable
    two = replace(other, currency="EUR", digits=2)

    assert bool(changes(one, two)) == (one.digest != two.digest)
    assert changes(one, one) == ()


def test_a_version_that_changes_later_periods_may_follow() -> None:
    check_amendment([FIRST], SECOND, from_period=2, first=2, periods=2)
    check_amendment([FIRST, SECOND], replace(SECOND, lam=Fraction(0)), from_period=2, first=2, periods=2)


@pytest.mark.parametrize("from_period", [0, 1, 3])
def test_it_applies_to_a_period_that_has_not_begun(from_period: int) -> None:
    with pytest.raises(LatePolicyError, match="from period 2 to 2"):
        check_amendment([FIRST], SECOND, from_period=from_period, first=2, periods=2)
    with pytest.raises(LatePolicyError, match="All 2 periods have begun"):
        check_amendment([FIRST], SECOND, from_period=from_period, first=3, periods=2)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(SECOND, currency="CHF"), "currency is EUR"),
        (replace(SECOND, digits=3), "currency is EUR"),
        (replace(SECOND, budgets=(100_000,)), "budgets for 1 periods"),
        (replace(SECOND, budgets=(100_000, 1, 1)), "budgets for 3 periods"),
        (replace(SECOND, budgets=(99_999, 40_000)), "budget before period 2"),
        (FIRST, "the same as a version before"),
    ],
)
def test_what_was_promised_stays(wrong: Policy, why: str) -> None:
    with pytest.raises(BadAmendmentError, match=why):
        check_amendment([FIRST], wrong, from_period=2, first=2, periods=2)


def test_going_back_to_an_earlier_version_needs_a_change_too() -> None:
    with pytest.raises(BadAmendmentError, match="the same"):
        check_amendment([FIRST, SECOND], FIRST, from_period=2, first=2, periods=2)


def test_a_name_is_of_one_version_from_one_period_in_one_federation() -> None:
    names = {
        version_name(origin, version=version, policy=one, from_period=first)
        for origin in (bytes(32), b"o" * 32)
        for version in (2, 3)
        for one in (FIRST, SECOND)
        for first in (2, 3)
    }
    assert len(names) == 2**4
