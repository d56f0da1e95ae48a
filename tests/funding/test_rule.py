"""Laws of the money rule: whatever the values, the budget adds up and nobody is a cent off."""

import random
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.funding import Policy
from fedgap.funding.apportion import fill, whole
from fedgap.funding.rule import Division, Party, divide
from fedgap.ids import OrgId
from tests.funding.cases import NAMES, parties, policies, policy, some_parties, some_policy

EXAMPLES = settings(max_examples=50)
budgets = st.integers(0, 10**9)


def _check_sums(given_parties: list[Party], budget: int, policy: Policy) -> Division:
    """The budget adds up, and nobody is a cent off its exact share."""
    found = divide(given_parties, budget, policy)
    assert budget == sum(part.total for part in found.parts.values()) + found.carried
    assert found.carried >= 0
    for part in found.parts.values():
        assert min(part.cents) >= 0
        assert abs(part.total - (part.reimbursed + part.base + part.pool)) < 1
    return found


def _check_caps(given_parties: list[Party], budget: int, policy: Policy, found: Division) -> None:
    """No leg is above its cap; who is not eligible gets nothing."""
    rest = budget - sum(part.reimbursed for part in found.parts.values())
    eligible = [party for party in given_parties if party.is_eligible]
    everyone = sum(party.weight for party in eligible) or 1

    for party in given_parties:
        part = found.parts[party.organisation]
        if policy.cost_cap is not None:
            assert part.reimbursed <= policy.cost_cap
        assert part.reimbursed <= party.cost
    for owner in {party.owner for party in eligible}:
        members = [party for party in eligible if party.owner == owner]
        pool = sum(found.parts[party.organisation].pool for party in members)
        weight = sum(party.weight for party in members)
        assert pool <= policy.most * policy.lam * rest
        assert pool <= policy.multiple * Fraction(weight, everyone) * policy.lam * rest
    for party in given_parties:
        if not party.is_eligible:
            assert found.parts[party.organisation].cents == (0, 0, 0)


@EXAMPLES
@given(policies(), st.data(), budgets)
def test_what_is_divided_and_carried_is_the_budget_and_caps_hold(
    policy: Policy, data: st.DataObject, budget: int
) -> None:
    given_parties = data.draw(parties(policy))
    _check_caps(given_parties, budget, policy, _check_sums(given_parties, budget, policy))


def test_the_same_laws_hold_in_thousands_of_cases() -> None:
    for seed in range(4000):
        rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        rule, budget = some_policy(rng), rng.randint(0, 10 ** rng.randint(1, 9))
        given_parties = some_parties(rng, rule)
        _check_caps(given_parties, budget, rule, _check_sums(given_parties, budget, rule))


@EXAMPLES
@given(policies(), st.data(), budgets, st.randoms(use_true_random=False))
def test_the_order_of_the_roster_moves_single_cents_only(
    policy: Policy, data: st.DataObject, budget: int, rng: random.Random
) -> None:
    given_parties = data.draw(parties(policy))
    shuffled = rng.sample(given_parties, len(given_parties))
    one, other = divide(given_parties, budget, policy), divide(shuffled, budget, policy)

    assert one.contributing == tuple(sorted(one.contributing, key=one.contributing.index))
    assert set(one.contributing) == set(other.contributing)
    for org, part in one.parts.items():
        again = other.parts[org]
        assert (part.reimbursed, part.base, part.pool) == (again.reimbursed, again.base, again.pool)
        assert abs(part.total - again.total) <= 1


@EXAMPLES
@given(policies(), st.data(), budgets)
def test_equal_organisations_get_the_same_to_a_cent(policy: Policy, data: st.DataObject, budget: int) -> None:
    first, *others = data.draw(parties())
    twin = replace(first, organisation=OrgId("twin"), owner="twin")
    found = divide([first, twin, *others], budget, policy)
    one, other = found.parts[first.organisation], found.parts[OrgId("twin")]

    assert (one.reimbursed, one.base, one.pool, one.flags) == (other.reimbursed, other.base, other.pool, other.flags)
    assert abs(one.total - other.total) <= 1


@EXAMPLES
@given(policies(), st.data(), budgets, st.fractions(0, 1, max_denominator=100))
def test_more_value_is_not_less_money_while_the_same_ones_contribute(
    policy: Policy, data: st.DataObject, budget: int, more: Fraction
) -> None:
    given_parties = data.draw(parties())
    at = data.draw(st.integers(0, len(given_parties) - 1))
    raised = replace(given_parties[at], value=(given_parties[at].value or Fraction(0)) + more)
    before = divide(given_parties, budget, policy)
    after = divide([*given_parties[:at], raised, *given_parties[at + 1 :]], budget, policy)
    if before.contributing == after.contributing and before.is_by_weight == after.is_by_weight:
        org = raised.organisation
        assert after.parts[org].pool >= before.parts[org].pool
        assert after.parts[org].base >= before.parts[org].base


@EXAMPLES
@given(policies(), st.data(), budgets)
def test_a_negative_value_is_a_balance_and_never_a_debt(policy: Policy, data: st.DataObject, budget: int) -> None:
    for party in (given_parties := data.draw(parties())):
        part = divide(given_parties, budget, policy).parts[party.organisation]
        value = party.value or Fraction(0)
        assert part.balance == min(Fraction(0), party.balance + value)


def test_an_owners_loss_is_worked_off_once_by_what_its_other_organisations_gain() -> None:
    """Period after period one organisation of an owner loses 1 and the other gains 3: together 2, each time."""
    for values, left in (((-1, 3), (0, 0)), ((-1, -3), (-1, -3)), ((-4, 1), (-3, 0)), ((-5, 3, -1), (-2.5, 0, -0.5))):
        parties = [
            Party(organisation=org, owner="group", weight=1, value=Fraction(value))
            for org, value in zip(NAMES, values, strict=False)
        ]
        others = [Party(organisation=org, owner=None, weight=1, value=Fraction(2)) for org in NAMES[4:6]]
        parts = divide([*parties, *others], 900, policy()).parts
        assert [float(parts[party.organisation].balance) for party in parties] == list(left)
    balances, totals = [Fraction(0)] * 2, []
    for _ in range(3):
        parties = [
            Party(organisation=org, owner="group", weight=1, value=Fraction(value), balance=balance)
            for org, value, balance in zip(NAMES, (-1, 3), balances, strict=False)
        ]
        parts = divide([*parties, *others], 900, policy()).parts
        balances = [parts[party.organisation].balance for party in parties]
        totals.append(sum(parts[party.organisation].total for party in parties))
    assert totals == [300] * 3


@EXAMPLES
@given(st.data(), budgets)
def test_two_who_move_value_between_them_gain_no_more_than_the_cap(data: st.DataObject, budget: int) -> None:
    """The pump: what one loses the other gains; together they never get more of the pool than two caps."""
    rule = policy()
    values = data.draw(st.lists(st.fractions(0, 1, max_denominator=100), min_size=5, max_size=5))
    moved = data.draw(st.fractions(0, 10, max_denominator=100))
    cheats = [values[0] - moved, values[1] + moved, *values[2:]]
    given_parties = [
        Party(organisation=org, owner=org, weight=1, value=value) for org, value in zip(NAMES[:5], cheats, strict=True)
    ]
    found = divide(given_parties, budget, rule)
    pool = sum(found.parts[org].pool for org in NAMES[:2])

    assert pool <= 2 * rule.most * rule.lam * budget
    if cheats[0] <= 0:
        assert pool <= rule.most * rule.lam * budget
        assert found.parts[NAMES[0]].balance == min(Fraction(0), cheats[0])


@EXAMPLES
@given(
    values=st.lists(st.fractions(-1, 10, max_denominator=50), min_size=5, max_size=5),
    weights=st.lists(st.integers(1, 9), min_size=5, max_size=5),
    before=st.fractions(0, 1, max_denominator=20),
    budget=st.integers(0, 10**6),
)
def test_who_vouches_alone_for_its_value_gains_nothing_over_its_weight_or_what_it_had(
    values: list[Fraction], weights: list[int], before: Fraction, budget: int
) -> None:
    rule = policy()

    def parties(*, voucher: bool) -> list[Party]:
        first, *others = (
            Party(organisation=org, owner=org, weight=weight, value=value)
            for org, weight, value in zip(NAMES[:5], weights, values, strict=True)
        )
        return [replace(first, voucher=voucher, before=before), *others]

    with_peers, alone = divide(parties(voucher=False), budget, rule), divide(parties(voucher=True), budget, rule)
    most = max(Fraction(weights[0], sum(weights)), before) * rule.lam * budget
    own = NAMES[0]

    assert alone.parts[own].pool == min(with_peers.parts[own].pool, most)
    assert alone.contributing == with_peers.contributing
    assert all(alone.parts[org].pool >= with_peers.parts[org].pool for org in NAMES[1:5])
    assert "voucher" in alone.parts[own].flags
    assert "voucher" not in with_peers.parts[own].flags


@EXAMPLES
@given(st.lists(st.fractions(0, 10**6), max_size=12))
def test_whole_numbers_add_up_and_are_less_than_one_off(exact: list[Fraction]) -> None:
    rest = sum(exact, Fraction(0)).__ceil__() - sum(exact, Fraction(0))
    found = whole([*exact, rest])

    assert sum(found) == sum([*exact, rest])
    assert all(abs(number - part) < 1 for number, part in zip(found, [*exact, rest], strict=True))


@EXAMPLES
@given(
    st.fractions(0, 10**6),
    st.lists(st.tuples(st.fractions(0, 100), st.fractions(0, 10**6)), min_size=1, max_size=8),
)
def test_filling_gives_nobody_more_than_its_cap_and_wastes_nothing(
    amount: Fraction, given_parts: list[tuple[Fraction, Fraction]]
) -> None:
    sizes = {at: size for at, (size, _) in enumerate(given_parts)}
    caps = {at: cap for at, (_, cap) in enumerate(given_parts)}
    found = fill(amount, sizes, caps)

    assert all(0 <= found[at] <= caps[at] for at in sizes)
    assert sum(found.values()) <= amount
    if sum(found.values()) < amount:
        assert all(found[at] == caps[at] for at, size in sizes.items() if size > 0)
    open_ones = [at for at, size in sizes.items() if size > 0 and found[at] < caps[at]]
    assert len({found[at] / sizes[at] for at in open_ones}) <= 1


def _of(values: list[int | None], **more: object) -> Division:
    given_parties = [
        Party(organisation=org, owner=org, weight=1, value=None if value is None else Fraction(value), **more)  # type: ignore[arg-type]
        for org, value in zip(NAMES, values, strict=False)
    ]
    return divide(given_parties, 100_000, policy())


def test_a_budget_by_hand() -> None:
    """Half equal among three, half by value 1 : 2 : 2; the cap of 40 % cuts nobody; the rider gets nothing."""
    found = _of([1, 2, 2, 0])

    assert [part.total for part in found.parts.values()] == [26_667, 36_667, 36_666, 0]
    assert found.carried == 0
    assert found.parts[NAMES[3]].flags == ("below-floor",)


def test_one_that_brings_all_is_capped_and_the_rest_is_carried() -> None:
    found = _of([5, 0, 0, 0])

    assert found.parts[NAMES[0]].cents == (0, 50_000, 20_000)
    assert found.carried == 30_000
    assert "pool-capped" in found.parts[NAMES[0]].flags


def test_nothing_to_divide_is_cut_by_no_cap() -> None:
    for budget, lam in ((0, Fraction(1, 2)), (100_000, Fraction(0))):
        given_parties = [Party(organisation=org, owner=None, weight=1, value=Fraction(1)) for org in NAMES[:4]]
        found = divide(given_parties, budget, policy(lam=lam))
        assert [part.flags for part in found.parts.values()] == [()] * 4
        assert [part.total for part in found.parts.values()] == [round(budget * (1 - lam) / 4)] * 4


def test_one_suspended_organisation_suspends_its_owner() -> None:
    parties = [
        Party(organisation=org, owner="group", weight=1, value=Fraction(1), suspended=org == NAMES[1])
        for org in NAMES[:2]
    ]
    parties.append(Party(organisation=NAMES[2], owner=None, weight=1, value=Fraction(1)))
    found = divide(parties, 900, policy()).parts

    assert [found[org].total > 0 for org in NAMES[:3]] == [False, False, True]
    assert all("suspended" in found[org].flags for org in NAMES[:2])


def test_an_owner_with_the_name_of_another_organisation_is_not_that_organisation() -> None:
    """North owns two; an organisation that is its own is called the same. Three bases, not two."""
    north, *two = NAMES[0], NAMES[1], NAMES[2]
    parties = [Party(organisation=north, owner=None, weight=1, value=Fraction(1))]
    parties += [Party(organisation=org, owner=str(north), weight=1, value=Fraction(1)) for org in two]
    found = divide([*parties, Party(organisation=NAMES[3], owner=None, weight=1, value=Fraction(1))], 900, policy())

    assert [found.parts[org].base for org in NAMES[:4]] == [150, 75, 75, 150]
    assert found.contributing == (north, north, NAMES[3])


def test_nobody_contributes_and_everything_is_carried() -> None:
    found = _of([-1, 0, -2])

    assert found.carried == 100_000
    assert found.contributing == ()


def test_without_any_value_weights_pay() -> None:
    found = _of([None, None, None])

    assert found.is_by_weight
    assert sorted(part.total for part in found.parts.values()) == [33_333, 33_333, 33_334]


def test_costs_come_first_and_are_cut_in_proportion() -> None:
    found = _of([1, 1, 1], cost=Fraction(50_000))

    assert [part.total for part in found.parts.values()] == [33_334, 33_333, 33_333]
    assert all(part.base == 0 for part in found.parts.values())
    assert "cost-pro-rata" in found.parts[NAMES[0]].flags
