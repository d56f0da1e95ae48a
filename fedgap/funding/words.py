"""Every number of one organisation in words, with the entries of the ledger behind it."""

from collections.abc import Iterator
from fractions import Fraction

from fedgap.funding.amounts import decimal, percent, shown_money
from fedgap.funding.lines import Line, Settlement

REASONS = {
    "balance-due": "Its value first works off what earlier negative values left; nothing is left of it to be paid.",
    "balance-left": "Its negative value is no debt, but later values work it off before they are paid.",
    "below-floor": "Its value for its weight is too small beside the others' to count.",
    "by-weight": "No value was opened in this period, so what was left after costs was divided by weight.",
    "cost-capped": "Its cost is above the policy's cap for one organisation.",
    "cost-pro-rata": "The budget is smaller than all costs together, so each gets the same part of its cost.",
    "declared": "Some of its cost was stated by a person and not measured.",
    "declared-not-paid": "Declared cost is not paid under this policy.",
    "final-by-time": "A peer that should have confirmed its value stayed silent until the time was over.",
    "forfeited": "A fault of it was proven, so what was held back for it is lost.",
    "lied": "It reported a false number about another organisation; the evidence is kept.",
    "merged": "It has one owner with others, and they count as one.",
    "negative-value": "Its updates made the model worse on the evaluation rows.",
    "no-price": "It claimed something that the policy has no price for.",
    "no-room": "Some rounds before a change of the roster are by weight: the bound on openings left no room for them.",
    "not-opened": "No value of it was opened.",
    "nothing-opened": "Nothing was opened in this period: no rows for it, too small a model, or no openings planned.",
    "objected": "It objected to its value.",
    "out-of-reach": "Its opened number is larger than an honest update can give; who is to blame is not known.",
    "over-bound": "It claimed more than the server knows to be possible; the bound was paid.",
    "partly-by-weight": "Some of its rounds could not be opened and are credited by weight.",
    "pool-capped": "Its part of the pool was cut at the policy's cap.",
    "proven-fault": "A fault of it was proven in this period, so it gets nothing.",
    "scaled-down": "A direction was too long for its format and was shortened, so its round's values are smaller.",
    "server-chooses-directions": "Nobody but the server could check along what the values were measured.",
    "set-aside": "Its value is provisional, so base and pool are set aside until it is final.",
    "suspended": "Two settlements in a row had its interval entirely below zero.",
    "took-no-part": "It was in no round of this period.",
    "unsettled": "Too few organisations answered in this period, so its values are by weight.",
    "vouched": "A peer was silent, so its value rests on another organisation's word alone.",
    "voucher": "Its value rests on its own word, so its part of the pool is no more than its weight's, or than before.",
    "window-closed": "The model no longer gained in this period, so there was nothing to contribute to.",
    "within-error": "Its value cannot be told from zero: it is within its own error.",
}
"""What the flags of the money rule and of the settlement of values mean."""

_CUT = ", which is all that can have been spent while the server waited for it"


def explained(found: Settlement, line: Line) -> Iterator[str]:
    """Say how an organisation's line came about, a sentence for each number."""
    policy = found.policy

    def paid(amount: int) -> str:
        return shown_money(amount, policy.digits, policy.currency)

    yield (
        f"Period {found.period} of '{found.federation}', policy version {found.version}"
        f"{_from(found.entries, 'policy')}: "
        f"{paid(found.budget)} to divide, {paid(found.planned)} planned and {paid(found.brought)} brought over."
    )
    yield f"{line.name} ({line.organisation}) was in {_times(line.rounds, 'sum')}{_from(line.entries, 'rounds')}."
    yield from _of_cost(found, line, paid(line.reimbursed))
    yield from _of_value(found, line)
    share = found.share(line)
    if found.is_by_weight and line.base:
        yield f"By weight: {paid(line.base)}, {percent(share)} of what was left after costs."
    elif line.base or line.pool:
        yield f"Base: {paid(line.base)}, an equal part of {percent(1 - policy.lam)} of what was left after costs."
        yield f"Pool: {paid(line.pool)}, by value. Base and pool together are {percent(share)} of all that was paid so."
    for flag in line.flags:
        yield f"{flag}: {REASONS.get(flag, 'See docs/money.md and docs/protocol.md.')}"
    if "fault" in line.entries:
        yield f"Faults of it are proven{_from(line.entries, 'fault')}."
    if line.vesting:
        yield f"Held back until the next settlement: {paid(line.vesting)}."
    if line.set_aside:
        yield f"Set aside until its value is final: {paid(line.set_aside)}."
    if line.released:
        yield f"Due from earlier settlements{_from(line.entries, 'held-back')}: {paid(line.released)}."
    if line.forfeited:
        yield f"Lost of what earlier settlements held back: {paid(line.forfeited)}."
    yield f"Paid now: {paid(line.paid + line.released)}."


def _of_cost(found: Settlement, line: Line, reimbursed: str) -> Iterator[str]:
    if not line.costs:
        yield "It claimed no cost."
        return
    for cost in line.costs:
        kind = "declared" if cost.is_declared else "metered"
        each = Fraction(cost.price, 10**found.policy.digits)
        is_cut = "over-bound" in cost.flags
        yield (
            f"Cost: {cost.claimed} {cost.what} {kind}{_from(line.entries, 'claim')}, {cost.counted} counted"
            f"{_CUT if is_cut else ''}{'' if cost.is_declared else _from(line.entries, 'bound')}, "
            f"at {decimal(each)} {found.policy.currency} each."
        )
    yield f"Reimbursed: {reimbursed}."


def _of_value(found: Settlement, line: Line) -> Iterator[str]:
    if line.value is None:
        yield "No value was opened."
        return
    interval = (
        "no interval" if line.low is None or line.high is None else f"{decimal(line.low)} to {decimal(line.high)}"
    )
    yield f"Value: {decimal(line.value)} ({interval}), {line.standing}{_from(line.entries, 'value')}."
    if line.balance_before:
        yield f"Balance from earlier negative values: {decimal(line.balance_before)}; now {decimal(line.balance)}."
    if not found.is_by_weight:
        inside = "is" if line.owner in found.contributing else "is not"
        yield f"It {inside} among the {len(found.contributing)} that count as contributing."


def _from(entries: dict[str, tuple[int, ...]], what: str) -> str:
    positions = entries.get(what, ())
    if not positions:
        return ""
    few = ", ".join(map(str, positions[:5])) + (f" and {len(positions) - 5} more" if len(positions) > 5 else "")  # noqa: PLR2004
    return f" (entry {few})" if len(positions) == 1 else f" (entries {few})"


def _times(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"
