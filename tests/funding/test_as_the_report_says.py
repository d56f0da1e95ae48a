"""The money rule and the share rule of reports stand in packages that do not know each other: they agree."""

import random
from fractions import Fraction

import pytest

from fedgap.contribution.interval import half_split
from fedgap.contribution.share import Claim, ShareRule, shares
from fedgap.funding.rule import Party, divide
from fedgap.ids import OrgId
from fedgap.records import ContributionEstimated
from tests.funding.cases import Story, policy

BUDGET = 10**9


@pytest.mark.parametrize("seed", range(200))
def test_base_and_pool_without_caps_are_the_shares_of_the_report(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    orgs = [OrgId(f"org-{k}") for k in range(rng.randint(1, 8))]
    rule = policy(lam=Fraction(rng.randint(0, 4), 4), floor=Fraction(rng.randint(0, 4), 4), multiple=99, most=1)
    claims = {
        org: Claim(
            value=Fraction(rng.randint(-3, 9), 7),
            weight=Fraction(rng.randint(1, 5)),
            error=rng.choice([None, Fraction(rng.randint(0, 3), 7)]),
            balance=Fraction(-rng.choice([0, 0, 1, 5]), 7),
            owner=rng.choice([None, None, "group"]),
        )
        for org in orgs
    }
    parties = [
        Party(organisation=org, owner=c.owner, weight=int(c.weight), value=c.value, error=c.error, balance=c.balance)
        for org, c in claims.items()
    ]
    expected, found = shares(claims, ShareRule(lam=rule.lam, floor=rule.floor)), divide(parties, BUDGET, rule)

    for org in orgs:
        part, share = found.parts[org], expected[org]
        assert part.base == share.base * BUDGET
        assert part.base + part.pool == share.share * BUDGET
        assert part.balance == share.balance


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_an_interval_in_the_ledger_gives_back_its_standard_error(n: int) -> None:
    """Half an interval is as many standard errors as its Student's t: above one of them a value counts."""
    made = half_split([0.5 + k / 8 for k in range(n)], [0.25] * n, (50, 50))
    for part, counts in ((Fraction(101, 100), True), (Fraction(99, 100), False)):
        story = Story(policy())
        story.round(1)
        for org, one in zip(story.orgs, made, strict=False):
            assert one.low is not None
            assert one.error is not None
            width, value = Fraction(one.value) - Fraction(one.low), Fraction(one.error) * part
            story.records.append(
                ContributionEstimated(
                    period=1,
                    organisation=org,
                    value=value,
                    low=value - width,
                    high=value + width,
                    weight=Fraction(1, 4),
                    standing="verified",
                    statement=bytes(32),
                )
            )
        lines = story.settle().lines[:n]
        assert ["within-error" not in line.flags for line in lines] == [counts] * n
