"""What a settlement says: a line for every organisation, and what became of the rest of the budget."""

from dataclasses import dataclass, field
from fractions import Fraction

from fedgap.funding.cost import CostLine
from fedgap.funding.policy import Policy
from fedgap.ids import OrgId
from fedgap.records import FundingLine, FundingSettled


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One organisation in one settlement; amounts in minor units.

    Attributes:
        organisation, name, owner, weight: who.
        rounds: sums of the period it is in.
        costs: its claim, priced.
        value, low, high, standing: as estimated; None if nothing was opened.
        reimbursed, base, pool: the three legs.
        paid: paid now out of this period.
        vesting, set_aside: held back out of this period.
        released: paid now out of what earlier periods held back.
        forfeited: what it lost of that, on evidence.
        balance_before, balance: worked off by later values; at most 0.
        flags: why something is not as usual.
        entries: positions of the entries behind each number.
    """

    organisation: OrgId
    name: str
    owner: str
    weight: int
    rounds: int
    costs: tuple[CostLine, ...]
    value: Fraction | None
    low: Fraction | None
    high: Fraction | None
    standing: str
    reimbursed: int
    base: int
    pool: int
    paid: int
    vesting: int
    set_aside: int
    released: int
    forfeited: int
    balance_before: Fraction
    balance: Fraction
    flags: tuple[str, ...]
    entries: dict[str, tuple[int, ...]] = field(hash=False)

    @property
    def total(self) -> int:
        """What this period gives it, paid or held back."""
        return self.reimbursed + self.base + self.pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A period, settled.

    Attributes:
        period: from 1.
        policy: the one that applied, with its version and entry.
        planned, brought: the period's budget, and what earlier ones carried over or forfeited.
        lines: every organisation of record, in the order of the roster.
        carried, returned: what is left: to the next period, or after the last one back to the funder.
        is_last: nothing is held back after it.
        is_by_weight: no value was opened.
        contributing: owners in E.
        weight, divided: sums over the lines, of weights and of base and pool.
    """

    period: int
    federation: str
    origin: bytes
    policy: Policy
    version: int
    planned: int
    brought: int
    lines: tuple[Line, ...]
    carried: int
    returned: int
    is_last: bool
    is_by_weight: bool
    contributing: tuple[str, ...]
    weight: int
    divided: int
    entries: dict[str, tuple[int, ...]] = field(hash=False)

    @property
    def budget(self) -> int:
        """What there was to divide."""
        return self.planned + self.brought

    def share(self, line: Line) -> Fraction:
        """The part of base and pool that an organisation gets; 0 if nobody gets any."""
        return Fraction(line.base + line.pool, self.divided or 1)

    def record(self, statement: bytes) -> FundingSettled:
        """What the ledger holds of it; `statement` is the digest of the statement's JSON document."""
        return FundingSettled(
            period=self.period,
            policy=self.policy.digest,
            budget=self.budget,
            lines=tuple(
                FundingLine(
                    organisation=line.organisation,
                    reimbursed=line.reimbursed,
                    base=line.base,
                    pool=line.pool,
                    paid=line.paid + line.released,
                    vesting=line.vesting,
                    set_aside=line.set_aside,
                )
                for line in self.lines
            ),
            carried=self.carried,
            returned=self.returned,
            statement=statement,
        )
