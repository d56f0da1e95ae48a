"""A later version of the policy: what may change, from when, and what is different, in words.

Rules of money may change between two periods, never behind one. What was planned for a period that is over stands as it
was; the currency and the number of periods stay, since what was paid and what was promised to members is in them.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from fedgap.crypto import digest
from fedgap.funding.amounts import shown_money
from fedgap.funding.errors import FundingError
from fedgap.funding.policy import Policy


class BadAmendmentError(FundingError):
    """A policy cannot follow those before it."""

    code = "funding.bad-amendment"
    remedy = "Correct the new policy; the one in force goes on. Nothing was written."
    exit_status = 2


class LatePolicyError(BadAmendmentError):
    """A policy is to apply to a period that has begun."""

    code = "funding.late-policy"
    remedy = "Let it apply from a later period; what has begun is divided by the policy it began with."


def version_name(origin: bytes, *, version: int, policy: Policy, from_period: int) -> bytes:
    """32 bytes that name a version in one federation: what a member signs that approves it.

    Args:
        origin: digest of the federation's first manifest.
        version: from 2.
        policy: what it says.
        from_period: from when it applies.
    """
    return digest("policy-version", origin, version, policy.digest, from_period)


def check_amendment(earlier: Sequence[Policy], new: Policy, *, from_period: int, first: int, periods: int) -> None:
    """Check that a policy may follow.

    Args:
        earlier: every version so far, the one in force last.
        new: the next.
        from_period: from when it is to apply.
        first: the first period that has not begun.
        periods: of the federation.

    Raises:
        LatePolicyError: the period has begun, or there is none left.
        BadAmendmentError: it changes nothing, or what must stay.
    """
    before = earlier[-1]
    if first > periods:
        raise LatePolicyError(f"All {periods} periods have begun.", remedy="There is nothing left to decide.")
    if not first <= from_period <= periods:
        raise LatePolicyError(
            f"A new policy can apply from period {first} to {periods}; {from_period} was asked for.",
            remedy=f"Choose one of these with --from-period; {first} is the first that has not begun.",
        )
    if (new.currency, new.digits) != (before.currency, before.digits):
        raise BadAmendmentError(f"The currency is {before.currency}; a later version cannot change it.")
    if len(new.budgets) != periods:
        raise BadAmendmentError(f"It has budgets for {len(new.budgets)} periods; the federation has {periods}.")
    if new.budgets[: from_period - 1] != before.budgets[: from_period - 1]:
        raise BadAmendmentError(
            f"It changes a budget before period {from_period}, from which it applies.",
            remedy="Leave the [[period]] sections before that as they were.",
        )
    if any(new.digest == one.digest for one in earlier):
        raise BadAmendmentError("It says the same as a version before it.")


def changes(before: Policy, new: Policy) -> tuple[str, ...]:
    """Say in words what is different between two versions, one thing each; exact: what differs is not shown alike."""
    return tuple(_changes(before, new))


def _changes(before: Policy, new: Policy) -> Iterator[str]:
    def paid(amount: int | None) -> str:
        return "no cap" if amount is None else shown_money(amount, new.digits, new.currency)

    for period, (was, now) in enumerate(zip(before.budgets, new.budgets, strict=False), 1):
        yield from _one(f"budget of period {period}", paid(was), paid(now))
    yield from _one("part that follows value", str(before.lam), str(new.lam))
    yield from _one("least value for its weight, as a part of the median", str(before.floor), str(new.floor))
    yield from _one("cap in weight shares", str(before.multiple), str(new.multiple))
    yield from _one("cap as a part of the pool", str(before.most), str(new.most))
    yield from _one("paid at once", str(before.paid_now), str(new.paid_now))
    yield from _one("cost cap", paid(before.cost_cap), paid(new.cost_cap))
    yield from _one("declared costs", _whether(paid=before.pays_declared), _whether(paid=new.pays_declared))
    yield from _prices(before, new)
    yield from _one("owners of several", _owners(before), _owners(new))


def _one(what: str, was: str, now: str) -> Iterator[str]:
    if was != now:
        yield f"{what}: {was}, now {now}"


def _whether(*, paid: bool) -> str:
    return "paid" if paid else "not paid"


def _prices(before: Policy, new: Policy) -> Iterator[str]:
    old, following = ({price.what: price.each for price in one.prices} for one in (before, new))
    for what in sorted({*old, *following}):
        yield from _one(f"price of {what}", _price(old, what, new), _price(following, what, new))


def _price(prices: Mapping[str, Fraction], what: str, policy: Policy) -> str:
    if what not in prices:
        return "none"
    each = prices[what] / 10**policy.digits
    return f"{each.numerator} {policy.currency} for {each.denominator}" if each else "nothing"


def _owners(policy: Policy) -> str:
    named = (f"{owner.name} ({', '.join(owner.organisations)})" for owner in policy.owners)
    return "; ".join(named) or "none"
