"""Settlements one after another: what is held back, set aside, lost and carried, and every cent of it."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from fedgap.funding import FundingError, NoPolicyError, OtherSettlementError, Settlement, follow, settle
from fedgap.funding.statement import statement_digest
from fedgap.ids import OrgId
from fedgap.records import ContributionEstimated, CostClaimed, PolicySigned, Quantity
from tests.funding.cases import Story, policy, some_policy


def line(found: Settlement, at: int) -> dict[str, int]:
    """Amounts of one organisation."""
    one = found.lines[at]
    return {
        "now": one.paid + one.released,
        "vesting": one.vesting,
        "aside": one.set_aside,
        "lost": one.forfeited,
        "total": one.total,
    }


def test_a_part_is_held_back_until_the_next_settlement_and_nothing_after_the_last() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [1, 1, 1, 1])
    first = story.settle()
    assert line(first, 0) == {"now": 17_500, "vesting": 7_500, "aside": 0, "lost": 0, "total": 25_000}
    story.round(2)
    story.values(2, [1, 1, 1, 1])
    second = story.settle()

    assert second.is_last
    assert line(second, 0) == {"now": 32_500, "vesting": 0, "aside": 0, "lost": 0, "total": 25_000}
    assert (second.carried, second.returned) == (0, 0)


def test_costs_are_paid_at_once() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [0, 0, 0, 0])
    story.cost(1, story.orgs[0], 1_000_000, bound=500_000)
    found = story.settle()

    assert found.lines[0].reimbursed == 5_000
    assert found.lines[0].paid == 5_000
    assert "over-bound" in found.lines[0].flags
    assert found.carried == 95_000


def test_a_provisional_value_is_set_aside_until_it_is_final() -> None:
    story = Story(policy(budgets=(100_000, 0, 0)), periods=3)
    story.round(1)
    story.values(1, [1, 1, 1, 1], standing="provisional")
    first = story.settle()
    assert line(first, 0) == {"now": 0, "vesting": 0, "aside": 25_000, "lost": 0, "total": 25_000}
    story.round(2)
    story.values(2, [1, 1, 1, 1])
    assert line(story.settle(), 0)["now"] == 0
    story.values(1, [1, 1, 1, 1])
    story.round(3)
    story.values(3, [1, 1, 1, 1])
    assert line(story.settle(), 0)["now"] == 25_000


def test_after_the_last_settlement_a_provisional_value_is_paid_and_said() -> None:
    story = Story(policy(), periods=1)
    story.round(1)
    story.values(1, [1, 1, 1, 1], standing="provisional", vouched_by=(OrgId("org-1"),))
    found = story.settle()

    assert line(found, 0)["now"] == 25_000
    assert "final-by-time" in found.lines[0].flags


def test_a_voucher_gets_at_most_its_weights_share_of_the_pool_or_what_it_had_before() -> None:
    """Only who vouches, only while the value is provisional; the part before is that of the last settlement."""
    vouching, silent = OrgId("org-0"), {"standing": "provisional", "vouched_by": (OrgId("org-0"),)}
    for had, gets in ((1, 12_500), (3, 20_000)):
        story = Story(policy(budgets=(100_000, 100_000)), periods=2)
        story.round(1)
        story.values(1, [had, 1, 1, 1])
        first = story.settle()
        story.round(2)
        story.values(2, [9, 3, 3, 3], **silent)
        found = story.settle()

        assert first.lines[0].pool == {1: 12_500, 3: 20_000}[had]
        assert [line.pool for line in found.lines] == [gets, *[(50_000 - gets) // 3 + at for at in _rest(gets)]]
        flagged = [line.organisation for line in found.lines if "voucher" in line.flags]
        assert flagged == [vouching]


def _rest(gets: int) -> list[int]:
    """Cents that whole numbers leave over, to the first of the three others."""
    left = (50_000 - gets) % 3
    return [int(at < left) for at in range(3)]


def test_a_proven_fault_loses_what_was_held_back_and_the_others_get_it() -> None:
    story = Story(policy(budgets=(100_000, 0)))
    story.round(1)
    story.values(1, [1, 1, 1, 1])
    story.settle()
    story.verdict(2, story.orgs[0])
    story.round(2)
    story.values(2, [1, 1, 1, 1])
    found = story.settle()

    assert line(found, 0) == {"now": 0, "vesting": 0, "aside": 0, "lost": 7_500, "total": 0}
    assert found.brought == 7_500
    assert [line(found, at)["now"] for at in (1, 2, 3)] == [10_000, 10_000, 10_000]
    assert {"proven-fault", "forfeited"} <= set(found.lines[0].flags)


def test_a_fault_is_paid_for_once() -> None:
    story = Story(policy(budgets=(100_000, 100_000, 100_000)), periods=3)
    for period in (1, 2, 3):
        story.round(period)
        story.values(period, [1, 1, 1, 1])
        if period == 2:
            story.verdict(1, story.orgs[0])
        found = story.settle()
        lost = found.lines[0].forfeited
        assert lost == (7_500 if period == 2 else 0)


def test_a_negative_value_is_worked_off_before_anything_is_paid() -> None:
    story = Story(policy(budgets=(90_000, 90_000, 90_000)), periods=3)
    for period, value in ((1, -2), (2, 1), (3, 3)):
        story.round(period)
        story.values(period, [value, 1, 1, 1])
        found = story.settle()
        balance, total = {1: (-2, 0), 2: (-1, 0), 3: (0, None)}[period]
        assert found.lines[0].balance == balance
        if total is not None:
            assert found.lines[0].total == total
    assert found.lines[0].balance_before == -1
    assert found.lines[0].base > 0
    assert found.lines[0].pool == 2 * found.lines[1].pool


def test_two_intervals_below_zero_suspend() -> None:
    story = Story(policy(budgets=(100_000,) * 4), periods=4)
    for period in (1, 2, 3):
        story.round(period)
        story.values(period, [1, 1, 1, 1])
        bad = (
            {"low": Fraction(-2), "high": Fraction(-1), "value": Fraction(-1)} if period < 3 else {"value": Fraction(9)}
        )
        at = next(at for at, said in enumerate(story.records) if getattr(said, "period", 0) == period)
        estimate = story.records[at]
        assert isinstance(estimate, ContributionEstimated)
        story.records[at] = replace(estimate, **bad)  # type: ignore[arg-type]  # a value and its interval
        found = story.settle()
    assert "suspended" in found.lines[0].flags
    assert found.lines[0].total == 0


def test_two_intervals_below_zero_with_a_better_one_between_do_not_suspend() -> None:
    story = Story(policy(budgets=(100_000,) * 4), periods=4)
    for period in (1, 2, 3, 4):
        story.round(period)
        value = Fraction(9 if period in {2, 4} else -1)
        story.values(period, [1, 1, 1, value])
        estimate = story.records[-1]
        assert isinstance(estimate, ContributionEstimated)
        story.records[-1] = replace(estimate, low=value - Fraction(1, 2), high=value + Fraction(1, 2))
        found = story.settle()
    assert "suspended" not in found.lines[3].flags
    assert found.lines[3].total > 0


def test_a_member_that_left_still_gets_what_was_held_back() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [1, 1, 1, 1])
    story.settle()
    tale = story.tale
    tale.orgs = tale.orgs[1:]
    story.records.append(tale.signed(tale.version(2, f=0, tau=3)))
    story.round(2, story.orgs[1:])
    found = story.settle()

    left = found.lines[-1]
    assert (left.organisation, left.paid, left.released) == ("org-0", 0, 7_500)
    assert "took-no-part" in left.flags


def test_a_member_that_leaves_after_a_sum_is_paid_for_it() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [1, 1, 1, 1])
    story.tale.orgs = story.tale.orgs[1:]
    story.records.append(story.tale.signed(story.tale.version(2, f=0, tau=3)))
    found = story.settle()

    assert [one.organisation for one in found.lines] == ["org-1", "org-2", "org-3", "org-0"]
    assert [one.total for one in found.lines] == [25_000] * 4


def test_another_policy_applies_from_its_period_on() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [1, 1, 1, 1])
    story.settle()
    second = policy(budgets=(0, 40_000), lam=Fraction(1))
    story.records.append(PolicySigned(version=2, policy=second.data, from_period=2))
    story.round(2)
    story.values(2, [1, 1, 1, 1])
    found = story.settle()

    assert (found.version, found.planned) == (2, 40_000)
    assert all(one.base == 0 for one in found.lines)


def test_a_settlement_that_the_entries_do_not_give_is_refused() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [1, 2, 3, 4])
    account = story.account()
    found = settle(account, 1)
    right = found.record(statement_digest(found))
    wrong = replace(right, carried=1)
    for record in (wrong, found.record(bytes(32))):
        with pytest.raises(OtherSettlementError):
            follow(enumerate([*story.records, record]))
    follow(enumerate([*story.records, right]))


def test_periods_are_settled_in_order_and_under_a_policy() -> None:
    story = Story(policy())
    account = story.account()
    for period in (0, 2, 3):
        with pytest.raises(FundingError, match="cannot be settled now"):
            settle(account, period)
    with pytest.raises(NoPolicyError):
        settle(follow(enumerate(story.records[:1])), 1)
    with pytest.raises(FundingError, match="no manifest"):
        settle(follow([]), 1)


def test_declared_costs_are_paid_only_if_the_policy_says_so() -> None:
    for pays in (True, False):
        story = Story(policy(pays_declared=pays))
        story.round(1)
        story.cost(1, story.orgs[0], 0)
        claim, hours = story.records[-1], (Quantity(what="cpu-ms", amount=5_000),)
        assert isinstance(claim, CostClaimed)
        story.records[-1] = replace(claim, declared=hours)
        found = story.settle()
        assert found.lines[0].reimbursed == (50 if pays else 0)
        assert ("declared-not-paid" in found.lines[0].flags) is not pays


@pytest.mark.parametrize("seed", range(150))
def test_over_all_periods_every_cent_is_somewhere(seed: int) -> None:
    """Paid, held back, carried and returned add up to the budgets, whatever happens in between."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    periods = rng.randint(1, 4)
    base = some_policy(rng)
    budgets = tuple(rng.randint(0, 10**6) for _ in range(periods))
    rule = policy(
        **{name: getattr(base, name) for name in ("lam", "floor", "multiple", "most", "paid_now", "cost_cap")},
        budgets=budgets,
    )
    story, paid = Story(rule, periods=periods), 0
    for period in range(1, periods + 1):
        who = [org for org in story.orgs if rng.random() < 0.9]
        story.round(period, who or story.orgs)
        standing = rng.choice(["verified", "provisional", "contracted", "by-weight"])
        story.values(period, [Fraction(rng.randint(-20, 60), 7) for _ in story.orgs], standing=standing)
        for org in story.orgs:
            if rng.random() < 0.5:
                story.cost(period, org, rng.randint(0, 10**6), bound=rng.choice([None, rng.randint(0, 10**6)]))
        if rng.random() < 0.2:
            story.verdict(rng.randint(1, period), rng.choice(story.orgs))
        if period > 1 and rng.random() < 0.5:
            story.values(period - 1, [1, 1, 1, 1])
        found = story.settle()
        paid += sum(one.paid + one.released for one in found.lines)
        account = story.account()
        held = sum(account.vesting.values()) + sum(account.set_aside.values())
        assert sum(budgets[:period]) == paid + held + found.carried + found.returned
        assert min(one.paid for one in found.lines) >= 0
    assert held == 0
    assert found.carried == 0
    assert settle_again(story) == [one for one, _, _ in account.settlements]


@pytest.mark.parametrize("seed", range(60))
def test_a_member_leaves_and_another_policy_begins_at_once(seed: int) -> None:
    """Who has left keeps what it is owed; budgets, owners and parts of the new policy count from its period on."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    story = Story(replace(some_policy(rng), budgets=(90_001, 70_003, 50_007)), periods=3)
    gone = rng.choice(story.orgs)
    paid = planned = owed = 0
    for period in (1, 2, 3):
        story.round(period)
        standing = rng.choice(["verified", "provisional"]) if period == 1 else "verified"
        story.values(period, [rng.randint(1, 9) for _ in story.orgs], standing=standing)
        found = story.settle()
        planned += found.planned
        paid += sum(one.paid + one.released for one in found.lines)
        account = story.account()
        held = sum(account.vesting.values()) + sum(account.set_aside.values())
        assert planned == paid + held + found.carried + found.returned
        if period == 1:
            story.orgs = [org for org in story.orgs if org != gone]
            story.tale.orgs = story.orgs
            change = story.tale.signed(story.tale.version(2, f=0, tau=2))
            second = replace(some_policy(rng), budgets=(0, rng.randint(0, 10**5), rng.randint(0, 10**5)))
            signed = PolicySigned(version=2, policy=second.data, from_period=2)
            story.records += rng.sample([change, signed], 2)
        else:
            assert found.version == 2
            assert found.planned == second.budgets[period - 1]
            assert all(one.paid == 0 for one in found.lines if one.organisation == gone)
        for one in found.lines:
            if one.organisation == gone:
                owed += one.total - one.paid - one.released
    assert (found.is_last, held, found.carried, owed) == (True, 0, 0, 0)


def settle_again(story: Story) -> list[Settlement]:
    """The same records give the same settlements."""
    return [found for found, _, _ in story.account().settlements]
