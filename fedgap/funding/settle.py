"""A period, settled: the rule, what is paid now, what is held back, what becomes due.

Base and pool are paid in two parts, the second after the next settlement. Of a provisional value they are set aside
until it is final. After the last settlement nothing is held back. Who is proven to have done wrong loses what was held
back.
"""

from collections.abc import Iterable
from fractions import Fraction

from fedgap.funding.account import Account
from fedgap.funding.errors import FundingError, OtherSettlementError
from fedgap.funding.lines import Line, Settlement
from fedgap.funding.policy import Policy
from fedgap.funding.rule import ZERO, Division, Party, divide
from fedgap.funding.statement import statement_digest
from fedgap.ids import OrgId
from fedgap.records import FundingSettled, Record, RosterMember

Z95 = Fraction(196, 100)
"""Half of a 95 % interval is so many standard errors."""

SUSPENDED_AFTER = 2
"""Settlements in a row with an interval entirely below zero."""


def follow(records: Iterable[tuple[int, Record]]) -> Account:
    """Fold a ledger's records, and settle wherever it says that something was settled.

    Args:
        records: (position, record), in order; from a ledger that was verified.

    Raises:
        OtherSettlementError: a settlement in the ledger is not what the entries before it give.
        FundingError: it settles what cannot be settled.
    """
    account = Account()
    for position, record in records:
        if isinstance(record, FundingSettled):
            _follow_settlement(account, record, position)
        else:
            account.tell(record, position)
    return account


def settle(account: Account, period: int) -> Settlement:
    """Settle a period from what the ledger says so far; nothing is changed.

    Raises:
        FundingError: it is not the next one, or there is no manifest.
        NoPolicyError: there is no policy.
    """
    if not account.rosters:
        raise FundingError("The ledger holds no manifest.")
    if period != account.next_period or period > account.last_period:
        raise FundingError(
            f"Period {period} cannot be settled now.",
            remedy=f"{account.next_period - 1} of {account.last_period} periods are settled; they come in order.",
        )
    signed, policy, position = account.policy_for(period)
    members, is_last = account.members, period == account.last_period
    forfeited = {member.id: _held(account, member.id) for member in members if member.id in account.faulty}
    brought = account.brought + sum(forfeited.values())
    parties = [_party(account, policy, period, member) for member in members]
    division = divide(parties, policy.budget(period) + brought, policy)
    return Settlement(
        period=period,
        federation=account.rosters[-1].federation,
        origin=account.rosters[0].digest,
        policy=policy,
        version=signed.version,
        planned=policy.budget(period),
        brought=brought,
        lines=tuple(
            _line(account, policy, period, division, member, forfeited=forfeited.get(member.id)) for member in members
        ),
        carried=0 if is_last else division.carried,
        returned=division.carried if is_last else 0,
        is_last=is_last,
        is_by_weight=division.is_by_weight,
        contributing=division.contributing,
        entries={"policy": (position,)},
    )


def _follow_settlement(account: Account, record: FundingSettled, position: int) -> None:
    found = settle(account, record.period)
    if found.record(statement_digest(found)) != record:
        raise OtherSettlementError(
            f"Entry {position} settles period {record.period} in another way than the entries before it give."
        )
    account.settlements.append((found, record, position))
    account.brought = found.carried
    for line in found.lines:
        org = line.organisation
        is_below = line.high is not None and line.high < 0
        account.balances[org] = line.balance
        account.below_zero[org] = account.below_zero.get(org, 0) + 1 if is_below else 0
        account.vesting[org] = line.vesting
        for key in [key for key in account.set_aside if key[1] == org]:
            if org in account.faulty or found.is_last or account.is_final(*key):
                del account.set_aside[key]
        if line.set_aside:
            account.set_aside[found.period, org] = line.set_aside
    account.is_settled, account.faulty = True, set()


def _party(account: Account, policy: Policy, period: int, member: RosterMember) -> Party:
    org, estimate = member.id, account.estimate(period, member.id)
    others = (account.estimate(period, other.id) for other in account.members)
    is_opened = any(other is not None and other.standing != "by-weight" for other in others)
    error = None
    if estimate is not None and estimate.low is not None and estimate.high is not None:
        error = (estimate.high - estimate.low) / 2 / Z95
    return Party(
        organisation=org,
        owner=policy.owner_of(org) or org,
        weight=member.weight,
        cost=sum((line.amount for line in account.costs(period, org, policy)), ZERO),
        value=estimate.value if estimate is not None and is_opened else None,
        error=error,
        balance=account.balances.get(org, ZERO),
        took_part=bool(account.rounds.get(org)) or (estimate is not None and estimate.value != 0),
        fault=account.fault(period, org),
        suspended=account.below_zero.get(org, 0) >= SUSPENDED_AFTER,
        voucher=account.vouches(period, org),
        before=account.pool_share(org),
    )


def _held(account: Account, organisation: OrgId) -> int:
    """What earlier settlements held back."""
    aside = sum(amount for (_, org), amount in account.set_aside.items() if org == organisation)
    return aside + account.vesting.get(organisation, 0)


def _due(account: Account, organisation: OrgId, *, is_last: bool) -> int:
    """What becomes due of it now."""
    aside = sum(
        amount
        for (period, org), amount in account.set_aside.items()
        if org == organisation and (is_last or account.is_final(period, org))
    )
    return aside + account.vesting.get(organisation, 0)


def _line(
    account: Account, policy: Policy, period: int, division: Division, member: RosterMember, *, forfeited: int | None
) -> Line:
    org, part, estimate = member.id, division.parts[member.id], account.estimate(period, member.id)
    reimbursed, base, pool = part.cents
    is_last = period == account.last_period
    is_provisional = not account.is_final(period, org)
    set_aside = base + pool if is_provisional and not is_last else 0
    vesting = 0 if is_last or is_provisional else base + pool - int((base + pool) * policy.paid_now)
    released = 0 if forfeited is not None else _due(account, org, is_last=is_last)
    costs = account.costs(period, org, policy)
    objected = any(
        hasattr(said, "code") and (said.period, said.organisation) == (period, org) for said, _ in account.credits
    )
    more = {
        "forfeited": bool(forfeited),
        "set-aside": bool(set_aside),
        "final-by-time": is_provisional and is_last,
        "objected": objected,
        "balance-left": part.balance < 0,
    }
    flags = {*part.flags, *(estimate.flags if estimate else ()), *(flag for cost in costs for flag in cost.flags)}
    return Line(
        organisation=org,
        name=member.name,
        owner=policy.owner_of(org) or org,
        weight=member.weight,
        rounds=len(account.rounds.get(org, ())),
        costs=costs,
        value=estimate.value if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        standing=estimate.standing if estimate else "not-opened",
        reimbursed=reimbursed,
        base=base,
        pool=pool,
        paid=reimbursed + base + pool - vesting - set_aside,
        vesting=vesting,
        set_aside=set_aside,
        released=released,
        forfeited=forfeited or 0,
        balance_before=account.balances.get(org, ZERO),
        balance=part.balance,
        flags=tuple(sorted(flags | {flag for flag, is_so in more.items() if is_so})),
        entries=account.entries(period, org),
    )
