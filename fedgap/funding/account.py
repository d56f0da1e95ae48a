"""Everything money needs to know, folded out of the ledger's records; every number keeps the entry it came from.

records -> Account -> settle(account, period) -> Settlement -> statement
"""

from dataclasses import dataclass, field
from fractions import Fraction

from fedgap.funding.cost import CostLine, cost_lines
from fedgap.funding.errors import NoPolicyError
from fedgap.funding.lines import Settlement
from fedgap.funding.policy import Policy
from fedgap.ids import OrgId
from fedgap.records import (
    AggregateReleased,
    ContributionEstimated,
    CostBounded,
    CostClaimed,
    CreditConfirmed,
    CreditObjected,
    FundingSettled,
    ManifestSigned,
    PolicySigned,
    Record,
    Roster,
    RosterMember,
    Verdict,
)

Key = tuple[int, OrgId]
"""A period and an organisation."""


@dataclass(slots=True)
class Account:
    """What was said so far that money depends on.

    Attributes:
        rosters, policies: every version; policies with the position of their entry.
        estimates, claims, bounds: by period and organisation, with the positions of their entries.
        verdicts, credits: likewise, of an organisation, and of a period and an organisation.
        rounds: for every organisation, the sums since the last settlement that it is in; settlements that follow one
            another without a sum between them look at the same ones.
        is_settled: whether no sum was released since the last settlement.
        faulty: organisations of which a fault was proven since the last settlement.
        balances: what negative values left to be worked off, at most 0.
        below_zero: settlements in a row with an interval entirely below zero.
        vesting, set_aside: held back, in minor units.
        brought: carried over by the last settlement.
        settlements: each with its record and position.
    """

    rosters: list[Roster] = field(default_factory=list)
    policies: list[tuple[PolicySigned, Policy, int]] = field(default_factory=list)
    estimates: dict[Key, tuple[ContributionEstimated, int]] = field(default_factory=dict)
    claims: dict[Key, tuple[CostClaimed, int]] = field(default_factory=dict)
    bounds: dict[Key, tuple[CostBounded, int]] = field(default_factory=dict)
    verdicts: dict[OrgId, list[tuple[Verdict, int]]] = field(default_factory=dict)
    credits: dict[Key, list[tuple[CreditConfirmed | CreditObjected, int]]] = field(default_factory=dict)
    rounds: dict[OrgId, list[int]] = field(default_factory=dict)
    is_settled: bool = False
    faulty: set[OrgId] = field(default_factory=set)
    balances: dict[OrgId, Fraction] = field(default_factory=dict)
    below_zero: dict[OrgId, int] = field(default_factory=dict)
    vesting: dict[OrgId, int] = field(default_factory=dict)
    set_aside: dict[Key, int] = field(default_factory=dict)
    brought: int = 0
    settlements: list[tuple[Settlement, FundingSettled, int]] = field(default_factory=list)

    def tell(self, record: Record, position: int) -> None:
        """Add the next record; settlements are added by `fedgap.funding.settle.follow`."""
        match record:
            case ManifestSigned():
                self.rosters.append(Roster.of(record.manifest))
            case PolicySigned():
                self.policies.append((record, Policy.of(record.policy), position))
            case AggregateReleased():
                self._count(record, position)
            case ContributionEstimated():
                self.estimates[record.period, record.organisation] = (record, position)
            case CostClaimed():
                self.claims[record.period, record.organisation] = (record, position)
            case CostBounded():
                self.bounds[record.period, record.organisation] = (record, position)
            case Verdict():
                self.verdicts.setdefault(record.organisation, []).append((record, position))
                self.faulty.add(record.organisation)
            case CreditConfirmed() | CreditObjected():
                self.credits.setdefault((record.period, record.organisation), []).append((record, position))
            case _:
                pass

    def _count(self, record: AggregateReleased, position: int) -> None:
        """Note who is in a sum; the first one after a settlement begins anew."""
        if self.is_settled:
            self.rounds, self.is_settled = {}, False
        for survivor in record.survivors:
            self.rounds.setdefault(survivor.organisation, []).append(position)

    @property
    def next_period(self) -> int:
        """The first period that is not settled."""
        return self.settlements[-1][0].period + 1 if self.settlements else 1

    @property
    def last_written(self) -> int:
        """The last period that anything was said about; 0 if none."""
        named = [period for table in (self.estimates, self.claims, self.bounds, self.credits) for period, _ in table]
        named += [verdict.period for found in self.verdicts.values() for verdict, _ in found]
        return max((*named, self.next_period - 1))

    @property
    def last_period(self) -> int:
        """The period after which nothing is held back; without openings there is one."""
        return max(1, self.rosters[-1].periods) if self.rosters else 1

    @property
    def members(self) -> tuple[RosterMember, ...]:
        """Everybody of record, in the order of the roster; then who left and still has something to get."""
        now = {member.id: member for member in self.rosters[-1].members}
        held = {org for org, amount in self.vesting.items() if amount} | {org for _, org in self.set_aside}
        left = {member.id: member for roster in self.rosters for member in roster.members if member.id not in now}
        return (*now.values(), *(left[org] for org in sorted(left) if org in held or self.rounds.get(org)))

    def policy_for(self, period: int) -> tuple[PolicySigned, Policy, int]:
        """The policy that applies to a period: the latest version that begins with it or before.

        Raises:
            NoPolicyError: there is none.
        """
        for signed, policy, position in reversed(self.policies):
            if signed.from_period <= period:
                return signed, policy, position
        raise NoPolicyError("The ledger holds no policy, so there is nothing to divide.")

    def estimate(self, period: int, organisation: OrgId) -> ContributionEstimated | None:
        """The last word on a value."""
        known = self.estimates.get((period, organisation))
        return known[0] if known else None

    def vouches(self, period: int, organisation: OrgId) -> bool:
        """Whether a value is provisional because an edge of it rests on the organisation's own word alone."""
        estimate = self.estimate(period, organisation)
        return estimate is not None and not self.is_final(period, organisation) and organisation in estimate.vouched_by

    def pool_shares(self) -> dict[OrgId, Fraction]:
        """Everybody's part of the pool in the last settlement; empty before the first."""
        lines = self.settlements[-1][0].lines if self.settlements else ()
        pool = sum(line.pool for line in lines) or 1
        return {line.organisation: Fraction(line.pool, pool) for line in lines}

    def is_final(self, period: int, organisation: OrgId) -> bool:
        """Whether a value no longer depends on what peers may still say."""
        estimate = self.estimate(period, organisation)
        return estimate is None or estimate.standing != "provisional"

    def fault(self, period: int, organisation: OrgId) -> str | None:
        """Code of a fault that was proven in a period."""
        found = (verdict.fault for verdict, _ in self.verdicts.get(organisation, ()) if verdict.period == period)
        return next(found, None)

    def objected(self, period: int, organisation: OrgId) -> bool:
        """Whether an organisation objected to a statement of a period."""
        return any(isinstance(said, CreditObjected) for said, _ in self.credits.get((period, organisation), ()))

    def costs(self, period: int, organisation: OrgId, policy: Policy) -> tuple[CostLine, ...]:
        """An organisation's claim, priced."""
        claim, bound = self.claims.get((period, organisation)), self.bounds.get((period, organisation))
        return cost_lines(claim[0] if claim else None, bound[0] if bound else None, policy)

    def entries(self, period: int, organisation: OrgId) -> dict[str, tuple[int, ...]]:
        """Positions of the entries behind an organisation's numbers."""
        key = (period, organisation)
        found = {
            "rounds": tuple(self.rounds.get(organisation, ())),
            "value": (self.estimates[key][1],) if key in self.estimates else (),
            "claim": (self.claims[key][1],) if key in self.claims else (),
            "bound": (self.bounds[key][1],) if key in self.bounds else (),
            "credit": tuple(at for _, at in self.credits.get(key, ())),
            "fault": tuple(at for _, at in self.verdicts.get(organisation, ())),
            "held-back": tuple(at for _, _, at in self.settlements),
        }
        return {what: positions for what, positions in found.items() if positions}
