"""A period, settled: the rule, what is paid now, what is held back, what becomes due.

Base and pool are paid in two parts, the second after the next settlement. Of a provisional value they are set aside
until it is final. After the last settlement nothing is held back. Who is proven to have done wrong loses what was held
back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from fedgap.funding.account import Account
from fedgap.funding.errors import FundingError, OtherSettlementError
from fedgap.funding.lines import Line, Settlement
from fedgap.funding.policy import Policy
from fedgap.funding.rule import ZERO, Division, Party, divide
from fedgap.funding.statement import statement_digest
from fedgap.ids import OrgId
from fedgap.records import FundingSettled, Record, RosterMember, errors_in_half_an_interval

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
    desk = _Desk.of(account, policy, period)
    forfeited = {org: sum(held.values()) for org, held in desk.held.items() if org in account.faulty}
    brought = account.brought + sum(forfeited.values())
    division = divide([desk.party(member) for member in desk.members], policy.budget(period) + brought, policy)
    lines = tuple(desk.line(member, division, forfeited.get(member.id)) for member in desk.members)
    return Settlement(
        period=period,
        federation=account.rosters[-1].federation,
        origin=account.rosters[0].digest,
        policy=policy,
        version=signed.version,
        planned=policy.budget(period),
        brought=brought,
        lines=lines,
        carried=0 if desk.is_last else division.carried,
        returned=division.carried if desk.is_last else 0,
        is_last=desk.is_last,
        is_by_weight=division.is_by_weight,
        contributing=division.contributing,
        weight=sum(line.weight for line in lines),
        divided=sum(line.base + line.pool for line in lines),
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
    for key in list(account.set_aside):
        if key[1] in account.faulty or found.is_last or account.is_final(*key):
            del account.set_aside[key]
    for line in found.lines:
        org = line.organisation
        is_below = line.high is not None and line.high < 0
        account.balances[org] = line.balance
        account.below_zero[org] = account.below_zero.get(org, 0) + 1 if is_below else 0
        account.vesting[org] = line.vesting
        if line.set_aside:
            account.set_aside[found.period, org] = line.set_aside
    account.is_settled, account.faulty = True, set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What the lines of one period are written from, looked up once: there may be thousands of organisations.

    Attributes:
        members: everybody who has a line.
        is_last: whether nothing is held back after it.
        is_opened: whether a value was opened for anybody.
        owned: name of the owner, where an organisation is not its own.
        before: everybody's part of the pool in the settlement before.
        held: what earlier settlements hold back of each organisation, by period; 0: what vests now.
        errors: how many standard errors half an interval is.
    """

    account: Account
    policy: Policy
    period: int
    members: tuple[RosterMember, ...]
    is_last: bool
    is_opened: bool
    owned: Mapping[OrgId, str]
    before: Mapping[OrgId, Fraction]
    held: Mapping[OrgId, Mapping[int, int]]
    errors: Fraction

    @classmethod
    def of(cls, account: Account, policy: Policy, period: int) -> Self:
        """Look everything up."""
        members = account.members
        said = [found for member in members if (found := account.estimate(period, member.id)) is not None]
        held: dict[OrgId, dict[int, int]] = {org: {0: amount} for org, amount in account.vesting.items()}
        for (earlier, org), amount in account.set_aside.items():
            held.setdefault(org, {})[earlier] = amount
        return cls(
            account=account,
            policy=policy,
            period=period,
            members=members,
            is_last=period == account.last_period,
            is_opened=any(one.standing != "by-weight" for one in said),
            owned=policy.owned(),
            before=account.pool_shares(),
            held=held,
            errors=errors_in_half_an_interval(sum(one.low is not None for one in said)),
        )

    def party(self, member: RosterMember) -> Party:
        """What the rule looks at."""
        account, org, estimate = self.account, member.id, self.account.estimate(self.period, member.id)
        error = None
        if estimate is not None and estimate.low is not None and estimate.high is not None:
            error = (estimate.high - estimate.low) / 2 / self.errors
        return Party(
            organisation=org,
            owner=self.owned.get(org),
            weight=member.weight,
            cost=sum((line.amount for line in account.costs(self.period, org, self.policy)), ZERO),
            value=estimate.value if estimate is not None and self.is_opened else None,
            error=error,
            balance=account.balances.get(org, ZERO),
            took_part=bool(account.rounds.get(org)) or (estimate is not None and estimate.value != 0),
            fault=account.fault(self.period, org),
            suspended=account.below_zero.get(org, 0) >= SUSPENDED_AFTER,
            voucher=account.vouches(self.period, org),
            before=self.before.get(org, ZERO),
        )

    def due(self, organisation: OrgId) -> int:
        """What becomes due now of what was held back."""
        return sum(
            amount
            for earlier, amount in self.held.get(organisation, {}).items()
            if earlier == 0 or self.is_last or self.account.is_final(earlier, organisation)
        )

    def line(self, member: RosterMember, division: Division, forfeited: int | None) -> Line:
        """What the settlement says of one organisation; `forfeited` is None unless it is proven to have done wrong."""
        account, period, org = self.account, self.period, member.id
        part, estimate = division.parts[org], account.estimate(period, org)
        reimbursed, base, pool = part.cents
        is_provisional = not account.is_final(period, org)
        set_aside = base + pool if is_provisional and not self.is_last else 0
        vesting = 0 if self.is_last or is_provisional else base + pool - int((base + pool) * self.policy.paid_now)
        costs = account.costs(period, org, self.policy)
        more = {
            "forfeited": bool(forfeited),
            "set-aside": bool(set_aside),
            "final-by-time": is_provisional and self.is_last,
            "objected": account.objected(period, org),
            "balance-left": part.balance < 0,
        }
        flags = {*part.flags, *(estimate.flags if estimate else ()), *(flag for cost in costs for flag in cost.flags)}
        return Line(
            organisation=org,
            name=member.name,
            owner=self.owned.get(org, org),
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
            released=self.due(org) if forfeited is None else 0,
            forfeited=forfeited or 0,
            balance_before=account.balances.get(org, ZERO),
            balance=part.balance,
            flags=tuple(sorted(flags | {flag for flag, is_so in more.items() if is_so})),
            entries=account.entries(period, org),
        )
