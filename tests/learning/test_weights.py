"""Aggregation weights are exact shares, and none can grow beyond what the rule allows."""

from fractions import Fraction
from math import floor
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import OrgId
from fedgap.learning.weights import CAP, weights

counts = st.dictionaries(
    st.sampled_from([OrgId(name) for name in "abcdefghij"]), st.integers(1, 10**7), min_size=1, max_size=10
)
rules = st.sampled_from(["capped", "equal", "sqrt", "rows"])


@given(rule=rules, rows=counts)
def test_weights_are_positive_and_sum_to_one_exactly(rule: str, rows: dict[OrgId, int]) -> None:
    found = weights(rule, rows)

    assert sum(found.values()) == 1
    assert all(share > 0 for share in found.values())


@given(rule=rules, rows=counts, data=st.data())
def test_weights_do_not_depend_on_the_order_of_the_organisations(
    rule: str, rows: dict[OrgId, int], data: st.DataObject
) -> None:
    shuffled = {name: rows[name] for name in data.draw(st.permutations(sorted(rows)))}

    assert list(weights(rule, rows).items()) == list(weights(rule, shuffled).items())
    assert list(weights(rule, shuffled)) == sorted(rows)


@given(rows=counts)
def test_capped_weights_follow_rows_up_to_three_medians(rows: dict[OrgId, int]) -> None:
    """Proportional to min(rows, 3 x median rounded down), whatever the total."""
    cap = floor(CAP * Fraction(median(Fraction(count) for count in rows.values())))
    kept = {name: min(count, cap) for name, count in rows.items()}

    assert weights("capped", rows) == {name: Fraction(part, sum(kept.values())) for name, part in kept.items()}


def test_claiming_more_rows_stops_paying_at_three_medians() -> None:
    few = {OrgId("a"): 10, OrgId("b"): 10, OrgId("c"): 30}
    many = few | {OrgId("c"): 10**9}

    assert weights("capped", few) == weights("capped", many)
    assert weights("capped", many)[OrgId("c")] == Fraction(3, 5)
    assert weights("rows", many)[OrgId("c")] > Fraction(99, 100)


def test_each_rule_on_three_organisations() -> None:
    rows = {OrgId("b"): 9, OrgId("a"): 4, OrgId("c"): 25}

    assert list(weights("equal", rows).values()) == [Fraction(1, 3)] * 3
    assert list(weights("sqrt", rows).values()) == [Fraction(2, 10), Fraction(3, 10), Fraction(5, 10)]
    assert list(weights("rows", rows).values()) == [Fraction(4, 38), Fraction(9, 38), Fraction(25, 38)]
    assert list(weights("capped", rows).values()) == [Fraction(4, 38), Fraction(9, 38), Fraction(25, 38)]


def test_an_even_number_of_organisations_has_its_median_in_between() -> None:
    rows = {OrgId("a"): 1, OrgId("b"): 2, OrgId("c"): 3, OrgId("d"): 100}

    assert weights("capped", rows)[OrgId("d")] == Fraction(7, 6 + 7)


def test_an_unknown_rule_is_no_weight() -> None:
    with pytest.raises(KeyError):
        weights("loudest", {OrgId("a"): 1})
