"""The share rule: exact, complete, blind to names, and hard on what must not be paid."""

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.contribution.errors import ShareRuleError
from fedgap.contribution.share import Claim, Share, ShareRule, by_size, equally, shares
from fedgap.ids import OrgId

HALF = Fraction(1, 2)
fractions = st.fractions(-2, 2, max_denominator=1000)
weights = st.fractions(Fraction(1, 50), 3, max_denominator=50)
claims_ = st.builds(
    Claim,
    value=fractions,
    weight=weights,
    error=st.none() | st.fractions(0, Fraction(1, 2), max_denominator=100),
    balance=st.fractions(-1, 0, max_denominator=50),
    owner=st.none() | st.sampled_from(["one", "two"]),
    settled=st.booleans(),
)
federations = st.lists(claims_, min_size=1, max_size=9).map(lambda of: {OrgId(f"org-{k}"): c for k, c in enumerate(of)})
rules = st.builds(ShareRule, lam=st.fractions(0, 1, max_denominator=20), floor=st.fractions(0, 1, max_denominator=20))


def claims(*values: float | Fraction, weight: Fraction = Fraction(1)) -> dict[OrgId, Claim]:
    return {OrgId(f"org-{k}"): Claim(value=Fraction(v), weight=weight) for k, v in enumerate(values)}


def paid(found: dict[OrgId, Share]) -> list[Fraction]:
    return [entry.share for entry in found.values()]


@given(federations, rules)
def test_shares_are_never_negative_and_sum_to_one_or_to_nothing(of: dict[OrgId, Claim], rule: ShareRule) -> None:
    found = shares(of, rule)
    assert sum(paid(found)) == (1 if any(s.contributing for s in found.values()) else 0)
    assert min(paid(found)) >= 0
    assert list(found) == sorted(of)
    assert all(s.balance <= 0 for s in found.values())
    assert all(s.contributing == (not set(s.flags) - {"merged"}) for s in found.values())


@given(federations, rules, st.randoms())
def test_shares_do_not_depend_on_the_order_of_the_claims(of: dict[OrgId, Claim], rule: ShareRule, draw: Random) -> None:
    items = list(of.items())
    draw.shuffle(items)
    assert shares(dict(items), rule) == shares(of, rule)


@given(st.lists(st.fractions(Fraction(1, 2), 1, max_denominator=99), min_size=2, max_size=8), rules)
def test_the_rule_is_base_plus_pool(values: list[Fraction], rule: ShareRule) -> None:
    """All are above half of the largest value, so all contribute whatever the floor, if it is at most a half."""
    rule = ShareRule(lam=rule.lam, floor=rule.floor / 2)
    found = shares(claims(*values), rule)
    n, total = len(values), sum(values)
    if all(entry.contributing for entry in found.values()):
        assert paid(found) == [(1 - rule.lam) / n + rule.lam * value / total for value in values]


def test_by_default_half_is_shared_equally_and_half_by_value() -> None:
    assert paid(shares(claims(3, 1))) == [HALF / 2 + HALF * 3 / 4, HALF / 2 + HALF / 4]


def test_a_rider_and_a_flipper_get_exactly_nothing() -> None:
    found = shares(claims(1, 0, -1, 1))
    assert paid(found) == [HALF, 0, 0, HALF]
    assert found[OrgId("org-1")].flags == ("below-floor",)
    assert found[OrgId("org-2")].flags == ("negative-value", "below-floor")


def test_a_small_organisation_is_measured_by_its_own_weight() -> None:
    of = claims(1, 1) | {OrgId("small"): Claim(value=Fraction(1, 100), weight=Fraction(1, 100))}
    assert shares(of)[OrgId("small")].contributing
    assert not shares(claims(1, 1, Fraction(1, 100)))[OrgId("org-2")].contributing


def test_a_value_within_its_error_is_not_paid() -> None:
    of = claims(1, 1) | {OrgId("unsure"): Claim(value=HALF, weight=Fraction(1), error=Fraction(3, 5))}
    assert shares(of)[OrgId("unsure")].flags == ("within-error",)


def test_organisations_of_one_owner_get_one_base() -> None:
    """Split in two names the owner gets what it got under one; the names show their parts of it."""
    whole = shares(claims(2, 1, 1))
    split = claims(0, 1, 1)
    del split[OrgId("org-0")]
    for name, value in (("x", Fraction(3, 2)), ("y", HALF)):
        split[OrgId(name)] = Claim(value=value, weight=HALF, owner="somebody")
    found = shares(split)
    assert found[OrgId("x")].share + found[OrgId("y")].share == whole[OrgId("org-0")].share
    assert found[OrgId("x")].share == 3 * found[OrgId("y")].share
    assert "merged" in found[OrgId("x")].flags


def test_what_an_owner_lost_is_left_on_those_who_lost_it_less_what_the_others_gained() -> None:
    for values, left in (((-1, -1), (-1, -1)), ((-1, 3), (0, 0)), ((-4, 1), (-3, 0))):
        of = {
            OrgId(n): Claim(value=Fraction(v), weight=Fraction(w), owner="o")
            for n, v, w in zip("xy", values, (1, 3), strict=True)
        }
        found = shares(of | claims(1))
        assert [float(found[OrgId(n)].balance) for n in ("x", "y")] == list(left)
        assert found[OrgId("x")].share == 0


def test_a_negative_value_is_worked_off_before_anything_is_paid() -> None:
    first = shares(claims(1, -1))
    assert first[OrgId("org-1")].balance == -1
    owing = {OrgId("org-0"): Claim(value=Fraction(1), weight=Fraction(1))}
    for value, left, is_paid in ((HALF, -HALF, False), (Fraction(1), 0, False), (Fraction(3), 0, True)):
        found = shares(owing | {OrgId("org-1"): Claim(value=value, weight=Fraction(1), balance=Fraction(-1))})
        assert found[OrgId("org-1")].balance == left
        assert found[OrgId("org-1")].contributing == is_paid
    assert found[OrgId("org-1")].share == Fraction(1, 4) + HALF * 2 / 3


def test_what_is_not_settled_is_no_value_and_keeps_its_balance() -> None:
    claim = Claim(value=Fraction(9), weight=Fraction(1), balance=-HALF, settled=False)
    found = shares(claims(1) | {OrgId("late"): claim})[OrgId("late")]
    assert (found.share, found.balance, found.flags) == (Fraction(0), -HALF, ("unsettled",))


def test_nobody_is_paid_where_nobody_contributed() -> None:
    assert paid(shares(claims(0, -1))) == [0, 0]


@pytest.mark.parametrize(
    "claim",
    [
        Claim(value=HALF, weight=Fraction(0)),
        Claim(value=HALF, weight=Fraction(-1)),
        Claim(value=HALF, weight=Fraction(1), balance=HALF),
        Claim(value=HALF, weight=Fraction(1), error=-HALF),
    ],
)
def test_impossible_claims_are_refused(claim: Claim) -> None:
    with pytest.raises(ShareRuleError, match="org-9"):
        shares(claims(1) | {OrgId("org-9"): claim})


@pytest.mark.parametrize("rule", [{"lam": Fraction(2)}, {"lam": Fraction(-1)}, {"floor": Fraction(2)}])
def test_impossible_rules_are_refused(rule: dict[str, Fraction]) -> None:
    with pytest.raises(ShareRuleError, match="from 0 to 1"):
        ShareRule(**rule)


def test_the_baselines_pay_rows_and_heads() -> None:
    assert by_size({OrgId("a"): 1, OrgId("b"): 3}) == {"a": Fraction(1, 4), "b": Fraction(3, 4)}
    assert equally([OrgId("a"), OrgId("b")]) == {"a": HALF, "b": HALF}
