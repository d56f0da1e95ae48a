"""Records of what was claimed and what was paid, in the smallest unit of the policy's currency."""

from dataclasses import dataclass
from typing import ClassVar

from fedgap.crypto.codec import Hash
from fedgap.records.values import Amount, Author, Code, Number, Organisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """So much of something that the policy's price list has a price for.

    Attributes:
        what: with its unit: `cpu-ms`, `gpu-ms`, `joules`, `rows`, `curation-minutes`, `labour-minutes`.
        amount: a whole number of that unit.
    """

    what: Code
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class CostClaimed:
    """What an organisation spent in a period, by its own account.

    Attributes:
        period: which, from 1.
        organisation: whose.
        metered: what the client measured around each phase, in alphabetical order.
        declared: what a person stated, in alphabetical order.
    """

    KIND: ClassVar[str] = "record/cost-claimed/1"
    AUTHOR: ClassVar[Author] = "organisation"

    period: Number
    organisation: Organisation
    metered: tuple[Quantity, ...]
    declared: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBounded:
    """What the server knows an organisation cannot have exceeded in a period, such as the time it waited for it."""

    KIND: ClassVar[str] = "record/cost-bounded/1"
    AUTHOR: ClassVar[Author] = "server"

    period: Number
    organisation: Organisation
    bounds: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingLine:
    """What a settlement gives one organisation.

    Attributes:
        organisation: whose line.
        reimbursed, base, pool: the three legs, before anything is held back.
        paid: paid now, out of this period and of what became due from earlier ones.
        vesting: held back until the next settlement.
        set_aside: held back until a provisional value is final.
    """

    organisation: Organisation
    reimbursed: Amount
    base: Amount
    pool: Amount
    paid: Amount
    vesting: Amount
    set_aside: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingSettled:
    """A period was paid out. Everything here can be computed again from the entries before it.

    Attributes:
        period: which, from 1.
        policy: digest of the policy that applied.
        budget: what there was for this period, with what earlier ones carried over.
        lines: one for every organisation of record, in the order of the roster.
        carried, returned: what goes to the next period, or back to the funder.
        statement: digest of the statement's JSON document.
    """

    KIND: ClassVar[str] = "record/funding-settled/1"
    AUTHOR: ClassVar[Author] = "server"

    period: Number
    policy: Hash
    budget: Amount
    lines: tuple[FundingLine, ...]
    carried: Amount
    returned: Amount
    statement: Hash
