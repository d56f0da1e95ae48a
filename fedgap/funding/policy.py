"""The money rule's numbers, exact, as they are signed into the ledger before the first round."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, ClassVar, Self

from fedgap.config.policy import PolicyConfig
from fedgap.crypto import BadBytesError, codec, digest
from fedgap.crypto.codec import Between
from fedgap.funding.errors import BadPolicyError
from fedgap.ids import OrgId
from fedgap.records.values import Amount, Code, Organisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one unit of something, in minor units of the currency, exact."""

    what: Code
    each: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Organisations that belong together."""

    name: str
    organisations: tuple[Organisation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the funder decided (docs/money.md says what each number does).

    Attributes:
        currency, digits: code and digits of the minor unit; every amount is a whole number of minor units.
        budgets: for each period, in order.
        lam, floor: part that follows value; least value for its weight that counts.
        multiple, most: the two caps on the pool.
        paid_now: part of base and pool that is paid at once.
        cost_cap: most reimbursed to one organisation in a period; None: no cap.
        pays_declared: whether declared quantities are paid.
        prices: ordered by name.
        owners: of more than one organisation, ordered by name.
    """

    KIND: ClassVar[str] = "policy/1"

    currency: str
    digits: Annotated[int, Between(0, 6)]
    budgets: tuple[Amount, ...]
    lam: Fraction
    floor: Fraction
    multiple: Fraction
    most: Fraction
    paid_now: Fraction
    cost_cap: Amount | None
    pays_declared: bool
    prices: tuple[Price, ...]
    owners: tuple[Owner, ...]

    def __post_init__(self) -> None:
        parts = (self.lam, self.floor, self.most, self.paid_now)
        owned = [org for owner in self.owners for org in owner.organisations]
        right = (
            all(0 <= part <= 1 for part in parts)
            and self.multiple >= 0
            and all(price.each >= 0 for price in self.prices)
            and all(a.what < b.what for a, b in pairwise(self.prices))
            and len(owned) == len(set(owned))
            and len(self.budgets) > 0
        )
        if not right:
            raise BadPolicyError("A policy contradicts itself.")

    @classmethod
    def of_config(cls, config: PolicyConfig) -> Self:
        """Take the numbers of a policy.toml."""
        rule, unit = config.rule, 10**config.rule.digits
        return cls(
            currency=rule.currency,
            digits=rule.digits,
            budgets=tuple(int(Fraction(period.budget) * unit) for period in config.periods),
            lam=Fraction(rule.value_part),
            floor=Fraction(rule.floor),
            multiple=Fraction(rule.cap_weight_multiple),
            most=Fraction(rule.cap_pool_part),
            paid_now=Fraction(rule.paid_now),
            cost_cap=None if config.costs.cap is None else int(Fraction(config.costs.cap) * unit),
            pays_declared=config.costs.declared,
            prices=tuple(
                Price(what=price.what, each=Fraction(price.amount) * unit / price.per)
                for price in sorted(config.prices, key=lambda price: price.what)
            ),
            owners=tuple(
                Owner(name=owner.name, organisations=tuple(OrgId(org) for org in sorted(owner.organisations)))
                for owner in sorted(config.owners, key=lambda owner: owner.name)
            ),
        )

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Read the canonical bytes of a policy.

        Raises:
            BadPolicyError: they are none.
        """
        try:
            return codec.unpack(cls, data)
        except BadBytesError as error:
            raise BadPolicyError(f"The policy in the ledger is not readable: {error.cause}") from error

    @property
    def data(self) -> bytes:
        """Canonical bytes: what `PolicySigned` holds."""
        return codec.pack(self)

    @property
    def digest(self) -> bytes:
        """32 bytes that name this policy; the manifest holds them, so every member approved it."""
        return digest("policy", self.data)

    def budget(self, period: int) -> int:
        """What there is for a period, from 1; nothing beyond the last one that was planned."""
        return self.budgets[period - 1] if period <= len(self.budgets) else 0

    def owned(self) -> dict[OrgId, str]:
        """Name the owner of every organisation that is not its own."""
        return {OrgId(org): owner.name for owner in self.owners for org in owner.organisations}
