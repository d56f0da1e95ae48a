"""From values to shares of the pool: who contributes, an equal base, and the rest by value.

    share_i = (1 - lam) / |E|  +  lam * m_i / sum over E of m_j          m_i = max(0, value_i + balance_i)

E, the contributing: m_i / p_i above `floor` times the median of the positive m_j / p_j, and m_i above one standard
error where an error is known. Organisations of one owner are one before E is drawn: the base pays an owner, not a name.
A negative value is no debt but a balance, worked off before anything is paid. Exact fractions; no float comes near it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

from fedgap.contribution.errors import ShareRuleError
from fedgap.ids import OrgId

ZERO = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRule:
    """What the policy may choose.

    Attributes:
        lam: part of the pool that follows value; the rest is the equal base.
        floor: how much of the median value for its weight an organisation must bring to be among the contributing.
    """

    lam: Fraction = Fraction(1, 2)
    floor: Fraction = Fraction(1, 5)

    def __post_init__(self) -> None:
        if not (0 <= self.lam <= 1 and 0 <= self.floor <= 1):
            raise ShareRuleError(f"Lambda is {self.lam} and the floor {self.floor}; both must be from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the share rule looks at.

    Attributes:
        value: of the period, in utility units; exact.
        weight: p, in any unit that is the same for all; above 0.
        error: standard error of the value, or None.
        balance: what earlier negative values left, at most 0.
        owner: organisations with the same owner are one; None: its own.
        settled: whether the value counts; an unsettled one is no member of E.
    """

    value: Fraction
    weight: Fraction
    error: Fraction | None = None
    balance: Fraction = ZERO
    owner: str | None = None
    settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an organisation gets.

    Attributes:
        share: of the pool; all sum to 1, or to 0 if nobody contributes.
        base: the part of it that is the equal base.
        contributing: whether its owner is in E.
        balance: what is still to be worked off, at most 0.
        flags: `negative-value`, `below-floor`, `within-error`, `balance-due`, `unsettled`, `merged`.
    """

    share: Fraction
    base: Fraction
    contributing: bool
    balance: Fraction
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Organisations with one owner, as one."""

    members: tuple[OrgId, ...]
    value: Fraction
    weight: Fraction
    error: Fraction | None
    balance: Fraction
    settled: bool

    @property
    def counted(self) -> Fraction:
        """What the rule counts: the value after the balance is worked off, never below 0."""
        return max(ZERO, self.value + self.balance) if self.settled else ZERO


def shares(claims: Mapping[OrgId, Claim], rule: ShareRule | None = None) -> dict[OrgId, Share]:
    """Divide the pool.

    Args:
        claims: every member of record.
        rule: of the policy.

    Returns:
        in name order.

    Raises:
        ShareRuleError: a weight is not above 0, a balance is above 0, or an error is below 0.
    """
    rule = rule or ShareRule()
    _check(claims)
    owners = _merged(claims)
    standard = median([o.counted / o.weight for o in owners if o.counted > 0] or [ZERO])
    flags = {owner.members: _flags(owner, rule.floor * standard) for owner in owners}
    contributing = [owner for owner in owners if not flags[owner.members]]
    total = sum((owner.counted for owner in contributing), ZERO)
    found: dict[OrgId, Share] = {}
    for owner in owners:
        inside = not flags[owner.members]
        base = (1 - rule.lam) / len(contributing) if inside else ZERO
        pool = rule.lam * owner.counted / total if inside else ZERO
        left = _left(owner, claims)
        merged = ("merged",) if len(owner.members) > 1 else ()
        for org, part in _inside(owner, claims):
            found[org] = Share(
                share=part * (base + pool),
                base=part * base,
                contributing=inside,
                balance=left[org],
                flags=(*flags[owner.members], *merged),
            )
    return {org: found[org] for org in sorted(found)}


def by_size(rows: Mapping[OrgId, int]) -> dict[OrgId, Fraction]:
    """The baseline that pays declared rows."""
    total = sum(rows.values())
    return {org: Fraction(count, total) for org, count in rows.items()}


def equally(organisations: Iterable[OrgId]) -> dict[OrgId, Fraction]:
    """The baseline that pays everybody the same."""
    names = list(organisations)
    return {org: Fraction(1, len(names)) for org in names}


def _check(claims: Mapping[OrgId, Claim]) -> None:
    for org, claim in claims.items():
        if claim.weight <= 0:
            raise ShareRuleError(f"The weight of organisation {org} is {claim.weight}; it must be above 0.")
        if claim.balance > 0 or (claim.error is not None and claim.error < 0):
            raise ShareRuleError(f"Organisation {org} has a balance above 0 or a standard error below 0.")


def _merged(claims: Mapping[OrgId, Claim]) -> list[_Owner]:
    """Put organisations of one owner together; errors add, since they come from the same validation rows."""
    groups: dict[tuple[bool, str], list[OrgId]] = {}
    for org in sorted(claims):
        owner = claims[org].owner
        groups.setdefault((owner is None, str(org) if owner is None else owner), []).append(org)
    owners = []
    for members in groups.values():
        counted = [claims[org] for org in members if claims[org].settled]
        errors = [claim.error for claim in counted if claim.error is not None]
        owners.append(
            _Owner(
                members=tuple(members),
                value=sum((claim.value for claim in counted), ZERO),
                weight=sum((claims[org].weight for org in members), ZERO),
                error=sum(errors, ZERO) if errors else None,
                balance=sum((claims[org].balance for org in members), ZERO),
                settled=bool(counted),
            )
        )
    return owners


def _flags(owner: _Owner, least: Fraction) -> tuple[str, ...]:
    """Why an owner is not among the contributing; nothing if it is."""
    reasons = {
        "unsettled": not owner.settled,
        "negative-value": owner.settled and owner.value < 0,
        "balance-due": owner.settled and owner.value >= 0 and owner.value + owner.balance < 0,
        "below-floor": owner.settled and owner.counted / owner.weight <= least,
        "within-error": owner.settled and owner.error is not None and owner.counted <= owner.error,
    }
    return tuple(flag for flag, so in reasons.items() if so)


def _left(owner: _Owner, claims: Mapping[OrgId, Claim]) -> dict[OrgId, Fraction]:
    """What an owner still has to work off, on those of its organisations that lost; the others' gains go against it."""
    after = {org: claims[org].balance + (claims[org].value if claims[org].settled else ZERO) for org in owner.members}
    owed = {org: min(ZERO, one) for org, one in after.items()}
    part = min(ZERO, owner.value + owner.balance) / (sum(owed.values(), ZERO) or 1)
    return {org: one * part for org, one in owed.items()}


def _inside(owner: _Owner, claims: Mapping[OrgId, Claim]) -> list[tuple[OrgId, Fraction]]:
    """How an owner's share is shown over its organisations: by positive value; nothing where there is none."""
    sizes = {org: max(ZERO, claims[org].value) if claims[org].settled else ZERO for org in owner.members}
    total = sum(sizes.values(), ZERO) or 1
    return [(org, size / total) for org, size in sizes.items()]
