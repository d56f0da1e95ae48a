"""A settlement as JSON and as CSV, byte for byte the same on every machine.

The digest of the JSON document stands in the ledger, in an entry that the server signed: that is the statement's
signature, and `fedgap funding statement` makes the same document again from the ledger alone.
"""

import csv
import io
import json
from fractions import Fraction
from typing import Any

from fedgap.crypto import digest
from fedgap.funding.amounts import decimal, money
from fedgap.funding.lines import Line, Settlement

FORMAT = "fedgap/1/funding-statement"

MEANING = (
    "The value is the part of the model's gain on the evaluation rows that is due to the organisation's updates.",
    "It is no market price of its data, and says nothing about other models or other rows.",
    "An update that pulls towards a model known to be good cannot be told from a contribution by model evidence.",
    "Organisations that hold copies of the same data are each paid.",
    "Weights are attested by the organisations and public; declared costs are stated by a person and not measured.",
    "Where re-use of health or public-sector data is regulated by fees, payments from the pool may need legal advice.",
)
"""What the numbers do not mean (docs/money.md)."""

COLUMNS = (
    "period",
    "organisation",
    "name",
    "owner",
    "currency",
    "reimbursed",
    "base",
    "pool",
    "released",
    "paid_now",
    "vesting",
    "set_aside",
    "forfeited",
    "value",
    "value_low",
    "value_high",
    "share",
    "share_by_weight",
    "share_equal",
    "standing",
    "rounds",
    "metered_cost",
    "declared_cost",
    "balance",
    "flags",
    "entries",
)


def document(found: Settlement) -> dict[str, Any]:
    """Give a settlement as JSON can hold it: amounts in minor units, fractions as text, exact."""
    policy = found.policy
    return {
        "format": FORMAT,
        "federation": found.federation,
        "manifest": found.origin.hex(),
        "period": found.period,
        "last": found.is_last,
        "by_weight": found.is_by_weight,
        "currency": policy.currency,
        "minor_digits": policy.digits,
        "policy": {
            "version": found.version,
            "digest": policy.digest.hex(),
            "entries": list(found.entries["policy"]),
            "value_part": str(policy.lam),
            "floor": str(policy.floor),
            "cap_weight_multiple": str(policy.multiple),
            "cap_pool_part": str(policy.most),
            "paid_now": str(policy.paid_now),
            "cost_cap": policy.cost_cap,
            "prices": {price.what: str(price.each) for price in policy.prices},
        },
        "budget": {"planned": found.planned, "brought": found.brought, "total": found.budget},
        "lines": [_line(found, line) for line in found.lines],
        "carried": found.carried,
        "returned": found.returned,
        "contributing": list(found.contributing),
        "meaning": list(MEANING),
    }


def as_json(found: Settlement) -> bytes:
    """Write the document; UTF-8, keys in the order above, a line end at the end."""
    return (json.dumps(document(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def statement_digest(found: Settlement) -> bytes:
    """32 bytes that name the statement in the ledger."""
    return digest("funding-statement", as_json(found))


def as_csv(found: Settlement) -> bytes:
    """Write a line for every organisation, amounts in the currency's unit; UTF-8, comma, CRLF (RFC 4180)."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for line in found.lines:
        writer.writerow(_row(found, line))
    return out.getvalue().encode()


def _line(found: Settlement, line: Line) -> dict[str, Any]:
    return {
        "organisation": line.organisation,
        "name": line.name,
        "owner": line.owner,
        "reimbursed": line.reimbursed,
        "base": line.base,
        "pool": line.pool,
        "paid_now": line.paid + line.released,
        "released": line.released,
        "vesting": line.vesting,
        "set_aside": line.set_aside,
        "forfeited": line.forfeited,
        "value": _exact(line.value),
        "value_ci95": None if line.low is None or line.high is None else [_exact(line.low), _exact(line.high)],
        "share": str(found.share(line)),
        "baselines": {"weight": str(Fraction(line.weight, found.weight)), "equal": str(Fraction(1, len(found.lines)))},
        "standing": line.standing,
        "rounds": line.rounds,
        "costs": [
            {
                "what": cost.what,
                "claimed": cost.claimed,
                "counted": cost.counted,
                "price": str(cost.price),
                "declared": cost.is_declared,
                "flags": list(cost.flags),
            }
            for cost in line.costs
        ],
        "balance": {"before": str(line.balance_before), "after": str(line.balance)},
        "flags": list(line.flags),
        "entries": {what: list(positions) for what, positions in line.entries.items()},
    }


def _exact(value: Fraction | None) -> dict[str, str] | None:
    return None if value is None else {"exact": str(value), "decimal": decimal(value)}


def _row(found: Settlement, line: Line) -> dict[str, str]:
    digits = found.policy.digits
    metered = sum((cost.amount for cost in line.costs if not cost.is_declared), Fraction(0))
    declared = sum((cost.amount for cost in line.costs if cost.is_declared), Fraction(0))
    unit = 10**digits
    entries = (f"{what}:{'+'.join(map(str, positions))}" for what, positions in line.entries.items())
    return {
        "period": str(found.period),
        "organisation": line.organisation,
        "name": _cell(line.name),
        "owner": _cell(line.owner),
        "currency": found.policy.currency,
        **{
            name: money(amount, digits)
            for name, amount in (
                ("reimbursed", line.reimbursed),
                ("base", line.base),
                ("pool", line.pool),
                ("released", line.released),
                ("paid_now", line.paid + line.released),
                ("vesting", line.vesting),
                ("set_aside", line.set_aside),
                ("forfeited", line.forfeited),
            )
        },
        "value": "" if line.value is None else decimal(line.value),
        "value_low": "" if line.low is None else decimal(line.low),
        "value_high": "" if line.high is None else decimal(line.high),
        "share": decimal(found.share(line)),
        "share_by_weight": decimal(Fraction(line.weight, found.weight)),
        "share_equal": decimal(Fraction(1, len(found.lines))),
        "standing": line.standing,
        "rounds": str(line.rounds),
        "metered_cost": decimal(metered / unit),
        "declared_cost": decimal(declared / unit),
        "balance": decimal(line.balance),
        "flags": " ".join(line.flags),
        "entries": " ".join(entries),
    }


def _cell(text: str) -> str:
    """Keep a name from being read as a formula by a spreadsheet."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
