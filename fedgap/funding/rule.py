"""THE MONEY RULE: from costs and values to a budget's division, exact, then in whole cents that add up.

    B  budget of the period, with what earlier ones carried over        p_i  weight
    E  the contributing: owners whose value counts                      m_i  max(0, value_i + balance_i)

    1  cost_i, at its price and within its cap; all of them pro rata if B is too short        reimbursed
    2  (1 - lam) of the rest, equal among E                                                   base
    3  lam of the rest by m_i, at most `multiple` times the weight's share and `most` of it   pool
       who alone vouches for a number: at most its weight's share, or what it had before
    4  E empty, or a rest above all caps                                                      carried over

E: m_i / p_i above `floor` times the median of the positive ones, and m_i above one standard error where it is known.
A negative value is no debt: it becomes a balance that its owner's later values work off. Without any opened value the
rest is paid by weight. Nobody with a proven fault in the period gets anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median

from fedgap.funding.apportion import fill, whole
from fedgap.funding.policy import Policy
from fedgap.ids import OrgId

ZERO = Fraction(0)

OwnerKey = tuple[bool, str]
"""Whether an organisation is its own owner, and the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What the rule looks at, for one organisation of record.

    Attributes:
        organisation, owner: the owner of several counts once; None: the organisation is its own.
        weight: p, public.
        cost: at the policy's prices, in minor units, before its cap.
        value: opened value of the period, None if none was.
        error: its standard error, None if it has no interval.
        balance: what earlier negative values left, at most 0.
        took_part: whether it was in a sum of the period.
        fault: code of a proven fault, None if there is none.
        suspended: whether two settlements had its interval entirely below 0.
        voucher: whether its value rests on its own word alone, since a peer is silent.
        before: its part of the pool in the settlement before, from 0 to 1.
    """

    organisation: OrgId
    owner: str | None
    weight: int
    cost: Fraction = ZERO
    value: Fraction | None = None
    error: Fraction | None = None
    balance: Fraction = ZERO
    took_part: bool = True
    fault: str | None = None
    suspended: bool = False
    voucher: bool = False
    before: Fraction = ZERO

    @property
    def is_eligible(self) -> bool:
        """Whether it is paid at all."""
        return self.took_part and self.fault is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the rule gives one organisation, in minor units.

    Attributes:
        reimbursed, base, pool: exact.
        cents: the same three in whole minor units; their sum is less than one off the exact sum.
        balance: what is left to be worked off, at most 0.
        flags: why something is not as usual.
    """

    reimbursed: Fraction
    base: Fraction
    pool: Fraction
    cents: tuple[int, int, int]
    balance: Fraction
    flags: tuple[str, ...]

    @property
    def total(self) -> int:
        """Whole minor units over the three legs."""
        return sum(self.cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """A budget, divided: parts and what is carried over add up to it."""

    parts: dict[OrgId, Part]
    carried: int
    contributing: tuple[str, ...]
    is_by_weight: bool


@dataclass(slots=True)
class _Exact:
    """Exact numbers while they are worked out."""

    reimbursed: dict[OrgId, Fraction]
    base: dict[OrgId, Fraction]
    pool: dict[OrgId, Fraction]
    balances: dict[OrgId, Fraction] = field(default_factory=dict)
    flags: dict[OrgId, list[str]] = field(default_factory=dict)

    def flag(self, organisation: OrgId, *flags: str) -> None:
        """Note why something is not as usual."""
        self.flags.setdefault(organisation, []).extend(flags)


def divide(parties: Sequence[Party], budget: int, policy: Policy) -> Division:
    """Divide a period's budget.

    Args:
        parties: every organisation of record, in the order of the roster; each once.
        budget: in minor units.
        policy: the one in force.
    """
    orgs = [party.organisation for party in parties]
    exact = _Exact(dict.fromkeys(orgs, ZERO), dict.fromkeys(orgs, ZERO), dict.fromkeys(orgs, ZERO))
    for party in parties:
        if not party.took_part:
            exact.flag(party.organisation, "took-no-part")
        if party.fault is not None:
            exact.flag(party.organisation, "proven-fault")
    eligible = [party for party in parties if party.is_eligible]
    _reimburse(exact, eligible, budget, policy)
    rest = budget - sum(exact.reimbursed.values(), ZERO)
    is_by_weight = all(party.value is None for party in eligible)
    names: tuple[str, ...] = ()
    owners = _owners(eligible)
    if is_by_weight:
        _by_weight(exact, eligible, rest)
    else:
        names = _by_value(exact, owners, rest, policy)
    for members in [*owners.values(), *([party] for party in parties if not party.is_eligible)]:
        exact.balances |= _left(members)
    carried = budget - sum((sum(leg.values(), ZERO) for leg in (exact.reimbursed, exact.base, exact.pool)), ZERO)
    return _in_cents(exact, parties, carried, names, is_by_weight=is_by_weight)


def _reimburse(exact: _Exact, eligible: Sequence[Party], budget: int, policy: Policy) -> None:
    """Leg 1: costs within their cap, pro rata if the budget is short."""
    costs = {party.organisation: party.cost for party in eligible}
    for org, cost in costs.items():
        if policy.cost_cap is not None and cost > policy.cost_cap:
            costs[org] = Fraction(policy.cost_cap)
            exact.flag(org, "cost-capped")
    total = sum(costs.values(), ZERO)
    factor = min(Fraction(1), Fraction(budget) / total) if total else ZERO
    for org, cost in costs.items():
        exact.reimbursed[org] = cost * factor
        if cost and factor < 1:
            exact.flag(org, "cost-pro-rata")


def _by_weight(exact: _Exact, eligible: Sequence[Party], rest: Fraction) -> None:
    """No value was opened: the rest goes by weight."""
    weight = sum(party.weight for party in eligible)
    for party in eligible:
        exact.flag(party.organisation, "by-weight")
        if weight:
            exact.base[party.organisation] = rest * party.weight / weight


def _owners(eligible: Sequence[Party]) -> Mapping[OwnerKey, Sequence[Party]]:
    """Organisations by owner; an owner may have the name of an organisation that is not its own."""
    owners: dict[OwnerKey, list[Party]] = {}
    for party in eligible:
        owners.setdefault((party.owner is None, party.owner or party.organisation), []).append(party)
    return owners


def _left(members: Sequence[Party]) -> dict[OrgId, Fraction]:
    """What an owner still has to work off, on those of its organisations that lost; the others' gains go against it."""
    after = [party.balance + (party.value or ZERO) for party in members]
    owed = [min(ZERO, one) for one in after]
    part = min(ZERO, sum(after, ZERO)) / (sum(owed, ZERO) or 1)
    return {party.organisation: one * part for party, one in zip(members, owed, strict=True)}


def _by_value(
    exact: _Exact, owners: Mapping[OwnerKey, Sequence[Party]], rest: Fraction, policy: Policy
) -> tuple[str, ...]:
    """Legs 2 and 3, owner by owner; give the names of E."""
    counted = {name: _counted(members) for name, members in owners.items()}
    weights = {name: sum(party.weight for party in members) for name, members in owners.items()}
    positive = [counted[name] / weights[name] for name in owners if counted[name] > 0 and weights[name]]
    least = policy.floor * median(positive) if positive else ZERO
    inside: list[OwnerKey] = []
    for name, members in owners.items():
        reasons = _reasons(members, counted[name], least * weights[name])
        for party in members:
            exact.flag(party.organisation, *reasons, *(("merged",) if len(members) > 1 else ()))
            exact.flag(party.organisation, *(("voucher",) if party.voucher else ()))
        if not reasons:
            inside.append(name)
    everyone = sum(weights.values()) or 1
    base, pool = (1 - policy.lam) * rest / (len(inside) or 1), policy.lam * rest
    caps = {name: _cap(owners[name], Fraction(weights[name], everyone), policy) * pool for name in inside}
    parts = fill(pool, {name: counted[name] for name in inside}, caps)
    for name in inside:
        for party, share in _within(owners[name]):
            exact.base[party.organisation], exact.pool[party.organisation] = share * base, share * parts[name]
            if pool and parts[name] == caps[name]:
                exact.flag(party.organisation, "pool-capped")
    return tuple(name for _, name in inside)


def _cap(members: Sequence[Party], weight: Fraction, policy: Policy) -> Fraction:
    """Most of the pool that an owner gets, as a part of it; `weight` is its share of everybody's weight.

    Source: PROTOCOL section 4: a voucher's gain over its weight's share is capped at its previous share.
    """
    most = min(policy.multiple * weight, policy.most)
    if not any(party.voucher for party in members):
        return most
    return min(most, max(weight, sum((party.before for party in members), ZERO)))


def _counted(members: Sequence[Party]) -> Fraction:
    """m: an owner's value after its balance is worked off, never below 0."""
    return max(ZERO, sum(((party.value or ZERO) + party.balance for party in members), ZERO))


def _reasons(members: Sequence[Party], counted: Fraction, least: Fraction) -> tuple[str, ...]:
    """Why an owner is not in E; nothing if it is. Errors add: they come from the same validation rows."""
    values = [party.value for party in members if party.value is not None]
    errors = [party.error for party in members if party.error is not None]
    value = sum(values, ZERO)
    found = {
        "not-opened": not values,
        "suspended": any(party.suspended for party in members),
        "negative-value": value < 0,
        "balance-due": value >= 0 and counted == 0 and any(party.balance for party in members),
        "below-floor": counted <= least,
        "within-error": bool(errors) and counted <= sum(errors, ZERO),
    }
    return tuple(reason for reason, is_so in found.items() if is_so)


def _within(members: Sequence[Party]) -> list[tuple[Party, Fraction]]:
    """An owner's part over its organisations: by positive value."""
    sizes = [max(ZERO, party.value or ZERO) for party in members]
    total = sum(sizes, ZERO)
    return [(party, size / total) for party, size in zip(members, sizes, strict=True)]


def _in_cents(
    exact: _Exact, parties: Sequence[Party], carried: Fraction, names: tuple[str, ...], *, is_by_weight: bool
) -> Division:
    """Round the organisations' sums together, then the three legs of each."""
    legs = {
        party.organisation: (
            exact.reimbursed[party.organisation],
            exact.base[party.organisation],
            exact.pool[party.organisation],
        )
        for party in parties
    }
    *sums, left = whole([*(sum(three, ZERO) for three in legs.values()), carried])
    parts = {}
    for party, total in zip(parties, sums, strict=True):
        org = party.organisation
        parts[org] = Part(
            reimbursed=legs[org][0],
            base=legs[org][1],
            pool=legs[org][2],
            cents=_split(legs[org], total),
            balance=exact.balances[org],
            flags=tuple(sorted(set(exact.flags.get(org, ())))),
        )
    return Division(parts=parts, carried=left, contributing=names, is_by_weight=is_by_weight)


def _split(legs: tuple[Fraction, Fraction, Fraction], total: int) -> tuple[int, int, int]:
    """Whole numbers for three legs that add up to `total`; each leg is rounded down, then the largest remainders up."""
    floors = [leg.__floor__() for leg in legs]
    order = sorted(range(3), key=lambda at: (floors[at] - legs[at], at))
    for at in order[: total - sum(floors)]:
        floors[at] += 1
    return floors[0], floors[1], floors[2]
