"""Strategies for parties, policies and whole stories of settlements."""

import random
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import strategies as st

from fedgap.funding import Account, Policy, Price, Settlement, settle
from fedgap.funding.policy import Owner
from fedgap.funding.rule import Party
from fedgap.funding.settle import follow
from fedgap.funding.statement import statement_digest
from fedgap.ids import OrgId
from fedgap.records import (
    AggregateReleased,
    ContributionEstimated,
    CostBounded,
    CostClaimed,
    PolicySigned,
    Quantity,
    Record,
    Survivor,
    Verdict,
)
from tests.ledger.tale import Tale

NAMES = [OrgId(f"org-{k}") for k in range(9)]
parts = st.fractions(0, 1, max_denominator=20)


@st.composite
def policies(draw: st.DrawFn, *, budgets: int = 1) -> Policy:
    """Any policy."""
    owners = [Owner(name="group", organisations=tuple(NAMES[:2]))] if draw(st.booleans()) else []
    return Policy(
        currency=draw(st.sampled_from(["EUR", "JPY", "KWD"])),
        digits=draw(st.sampled_from([0, 2, 3])),
        budgets=tuple(draw(st.integers(0, 10**8)) for _ in range(budgets)),
        lam=draw(parts),
        floor=draw(parts),
        multiple=draw(st.fractions(0, 5, max_denominator=4)),
        most=draw(parts),
        paid_now=draw(parts),
        cost_cap=draw(st.none() | st.integers(0, 10**6)),
        pays_declared=draw(st.booleans()),
        prices=(Price(what="cpu-ms", each=draw(st.fractions(0, 10, max_denominator=1000))),),
        owners=tuple(owners),
    )


@st.composite
def parties(draw: st.DrawFn, policy: Policy | None = None) -> list[Party]:
    """Two to nine organisations in any state."""
    rng = draw(st.randoms(use_true_random=False))
    return some_parties(rng, policy)


def some_parties(rng: random.Random, policy: Policy | None = None) -> list[Party]:
    """Two to nine organisations in any state."""

    def some(low: int, high: int, most: int) -> Fraction:
        return Fraction(rng.randint(low * most, high * most), rng.randint(1, most))

    return [
        Party(
            organisation=org,
            owner=policy.owned().get(org, org) if policy else org,
            weight=rng.randint(0, 100),
            cost=rng.choice([Fraction(0), some(0, 10**3, 999)]),
            value=rng.choice([None, Fraction(0), some(-2, 3, 10**6), some(-2, 3, 10), some(0, 3, 10)]),
            error=rng.choice([None, some(0, 1, 100) / 100]),
            balance=rng.choice([Fraction(0), some(-1, 0, 100)]),
            took_part=rng.random() > 0.1,
            fault=rng.choice([None] * 9 + ["bad-share"]),
            suspended=rng.random() < 0.1,
        )
        for org in NAMES[: rng.randint(2, 9)]
    ]


def some_policy(rng: random.Random) -> Policy:
    """Any policy, quickly."""
    owners = (Owner(name="group", organisations=tuple(NAMES[:2])),) if rng.random() < 0.5 else ()
    return policy(
        lam=Fraction(rng.randint(0, 20), 20),
        floor=Fraction(rng.randint(0, 20), 20),
        multiple=Fraction(rng.randint(0, 20), 4),
        most=Fraction(rng.randint(0, 20), 20),
        paid_now=Fraction(rng.randint(0, 20), 20),
        cost_cap=rng.choice([None, rng.randint(0, 10**5)]),
        owners=owners,
    )


@dataclass
class Story:
    """Records of a federation of four that settles period after period; numbers are set by tests."""

    policy: Policy
    periods: int = 2
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tale = Tale(n=4, periods=self.periods, policy=self.policy.data)
        self.orgs = self.tale.orgs
        self.records += [
            self.tale.signed(self.tale.manifest),
            PolicySigned(version=1, policy=self.policy.data, from_period=1),
        ]

    def round(self, number: int, who: list[OrgId] | None = None) -> None:
        """A sum with these organisations in it, all of them by default."""
        survivors = tuple(Survivor(organisation=org, root=bytes(32)) for org in who or self.orgs)
        released = AggregateReleased(
            round=number,
            attempt=1,
            agreed=bytes(32),
            sum_root=bytes(32),
            state=bytes(32),
            survivors=survivors,
            voices=(),
        )
        self.records.append(released)

    def values(self, period: int, numbers: list[Fraction | int], **more: object) -> None:
        """A value for each organisation, verified unless said otherwise."""
        for org, number in zip(self.orgs, numbers, strict=True):
            fields = {"standing": "verified", "weight": Fraction(1, 4), "statement": bytes(32)} | more
            self.records.append(
                ContributionEstimated(period=period, organisation=org, value=Fraction(number), **fields)  # type: ignore[arg-type]
            )

    def cost(self, period: int, org: OrgId, amount: int, bound: int | None = None) -> None:
        """A metered claim, and a bound."""
        spent = (Quantity(what="cpu-ms", amount=amount),)
        self.records.append(CostClaimed(period=period, organisation=org, metered=spent, declared=()))
        if bound is not None:
            bounds = (Quantity(what="cpu-ms", amount=bound),)
            self.records.append(CostBounded(period=period, organisation=org, bounds=bounds))

    def verdict(self, period: int, org: OrgId) -> None:
        """A proven fault."""
        self.records.append(Verdict(period=period, organisation=org, fault="bad-share", evidence=bytes(32)))

    def account(self) -> Account:
        """Everything so far."""
        return follow(enumerate(self.records))

    def settle(self) -> Settlement:
        """Settle the next period and write it down."""
        account = self.account()
        found = settle(account, account.next_period)
        self.records.append(found.record(statement_digest(found)))
        return found


def policy(**changed: object) -> Policy:
    """The usual policy: 1,000.00 EUR in each of two periods."""
    fields: dict[str, object] = {
        "currency": "EUR",
        "digits": 2,
        "budgets": (100_000, 100_000),
        "lam": Fraction(1, 2),
        "floor": Fraction(1, 5),
        "multiple": Fraction(3),
        "most": Fraction(2, 5),
        "paid_now": Fraction(7, 10),
        "cost_cap": None,
        "pays_declared": True,
        "prices": (Price(what="cpu-ms", each=Fraction(1, 100)),),
        "owners": (),
    }
    return Policy(**fields | changed)  # type: ignore[arg-type]  # a test's own fields
