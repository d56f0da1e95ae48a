"""policy.toml: what a funder decides before the run. Amounts and ratios are text: no number with a point."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from fedgap.config.load import read_toml
from fedgap.config.problems import ConfigError, read_section, unknown_key
from fedgap.config.section import Problem, Section, freeze, key_path, refuse
from fedgap.config.values import Shown, check_id

DIGITS = {"BHD": 3, "CLP": 0, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3, "OMR": 3, "TND": 3, "UGX": 0, "VND": 0}
"""Digits of the minor unit where they are not 2 (ISO 4217); others may be given as `minor_digits`."""

MOST_MINOR_UNITS = 2**60
"""The largest amount that a record of the ledger holds (`fedgap.records.values.Amount`)."""

_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_RATIO = re.compile(r"[0-9]{1,9}(/[1-9][0-9]{0,8}|\.[0-9]{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WHAT = re.compile(r"[a-z0-9][a-z0-9._:-]{0,63}")


def _check(pattern: re.Pattern[str], cause: str, remedy: str) -> AfterValidator:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise refuse(cause, remedy)
        return text

    return AfterValidator(check)


def _allowed(words: str) -> Any:  # noqa: ANN401 - what pydantic's Field gives
    return Field(json_schema_extra={"allowed": words})


Amount = Annotated[
    str,
    _check(_AMOUNT, "This is no amount.", 'Write digits in quotes: "50000.00".'),
    _allowed('amount in quotes: "50000.00"'),
]
Ratio = Annotated[
    str,
    _check(_RATIO, "This is no ratio.", 'Write it in quotes: "1/2" or "0.5".'),
    _allowed('ratio in quotes: "1/2" or "0.5"'),
]
What = Annotated[
    str,
    _check(_WHAT, "This is no name of a quantity.", "Such as cpu-ms, rows, labour-minutes."),
    _allowed("lower-case letters, digits and . _ : -"),
]
Id = Annotated[str, AfterValidator(check_id)]


class PolicyRule(Section):
    """How a period's budget is divided."""

    currency: Annotated[str, _check(_CURRENCY, "This is no currency.", 'Write its ISO 4217 code: "EUR".')] = Field(
        description="ISO 4217 code"
    )
    minor_digits: int | None = Field(
        default=None,
        ge=0,
        le=6,
        description="digits of the smallest amount that can be paid",
        json_schema_extra={"default_text": "the currency's: 2 for EUR, 0 for JPY"},
    )
    value_part: Ratio = Field(
        default="1/2", description="part of what is left after costs that follows value (lambda); the rest is equal"
    )
    floor: Ratio = Field(
        default="1/5", description="least value for its weight that counts, as a part of the median organisation's"
    )
    cap_weight_multiple: Ratio = Field(
        default="3", description="no owner gets more of the pool than this many times its weight's share of it"
    )
    cap_pool_part: Ratio = Field(default="2/5", description="nor more than this part of the pool")
    paid_now: Ratio = Field(
        default="7/10", description="part of base and pool that is paid at once; the rest after the next settlement"
    )

    def broken_rules(self) -> Iterator[Problem]:
        """Parts are at most 1."""
        for name in ("value_part", "floor", "cap_pool_part", "paid_now"):
            if Fraction(getattr(self, name)) > 1:
                yield Problem(name, "It is a part and above 1.", "Write a ratio from 0 to 1.")

    @property
    def digits(self) -> int:
        """Digits of the minor unit."""
        return DIGITS.get(self.currency, 2) if self.minor_digits is None else self.minor_digits


class Costs(Section):
    """Which costs are reimbursed before anything else is divided."""

    cap: Amount | None = Field(
        default=None,
        description="most that one organisation is reimbursed in a period",
        json_schema_extra={"default_text": "no limit but the budget"},
    )
    declared: bool = Field(default=True, description="whether declared quantities are paid, or only metered ones")


class Period(Section):
    """One settlement period, in the order of the file."""

    budget: Amount = Field(description="what there is to divide")


class Price(Section):
    """The public price of something that is metered or declared."""

    what: What = Field(description="name of the quantity, with its unit: cpu-ms, gpu-ms, rows, labour-minutes")
    per: int = Field(default=1, ge=1, le=10**12, description="how many of it the amount buys")
    amount: Amount = Field(description="the price of so many")


class Owner(Section):
    """Organisations that belong together and count as one in the equal base."""

    name: Shown = Field(description="who owns them")
    organisations: Annotated[tuple[Id, ...], Field(min_length=2)] = Field(description="their ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """A whole policy.toml."""

    rule: PolicyRule
    costs: Costs
    periods: tuple[Period, ...]
    prices: tuple[Price, ...]
    owners: tuple[Owner, ...]


TABLES = ("policy", "costs", "period", "price", "owner")


def load_policy(path: Path) -> PolicyConfig:
    """Read and check a policy.toml.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return parse_policy(read_toml(path), name=path.name)


def parse_policy(document: Mapping[str, Any], *, name: str = "The policy") -> PolicyConfig:
    """Check a policy that has been read already.

    Raises:
        ConfigError: it has problems; all of them are listed.
    """
    tables: dict[str, Any] = {str(key): freeze(value) for key, value in document.items()}
    problems = [unknown_key(key_path(key), key, TABLES) for key in tables if key not in TABLES]
    rule, found = read_section(PolicyRule, tables.get("policy", {}), "policy")
    costs, more = read_section(Costs, tables.get("costs", {}), "costs")
    problems += found + more
    lists: dict[str, list[Any]] = {}
    for key, model in (("period", Period), ("price", Price), ("owner", Owner)):
        listed = tables.get(key, ())
        if not isinstance(listed, tuple):
            problems.append(Problem(key, "It is not a list.", f"Begin each with [[{key}]]."))
            listed = ()
        read = [read_section(model, table, key, place) for place, table in enumerate(listed)]
        lists[key] = [section for section, _ in read if section is not None]
        problems += [problem for _, wrong in read for problem in wrong]
    problems += _between(lists)
    if rule is not None and costs is not None:
        problems += _amounts(lists, rule, costs)
    if problems or rule is None or costs is None:
        raise ConfigError(problems, name=name)
    return PolicyConfig(
        rule=rule,
        costs=costs,
        periods=tuple(lists["period"]),
        prices=tuple(lists["price"]),
        owners=tuple(lists["owner"]),
    )


def _between(lists: Mapping[str, list[Any]]) -> Iterator[Problem]:
    """What is wrong between sections that are each right."""
    if not lists["period"]:
        yield Problem("period", "There is no period.", "Add [[period]] with its budget.")
    priced = Counter(price.what for price in lists["price"])
    for what in sorted(what for what, count in priced.items() if count > 1):
        yield Problem("price", f"There are two prices for {what}.", "Keep one.")
    owned = Counter(org for owner in lists["owner"] for org in owner.organisations)
    for org in sorted(org for org, count in owned.items() if count > 1):
        yield Problem("owner", f"{org} is there twice.", "An organisation has one owner.")


def _amounts(lists: Mapping[str, list[Any]], rule: PolicyRule, costs: Costs) -> Iterator[Problem]:
    """Amounts are whole in the smallest unit, and the budgets together fit the ledger."""
    unit = 10**rule.digits
    amounts = {key_path("period", place, "budget"): period.budget for place, period in enumerate(lists["period"])}
    capped = {} if costs.cap is None else {"costs.cap": costs.cap}
    for key, amount in (amounts | capped).items():
        if (Fraction(amount) * unit).denominator != 1:
            cause = f"{rule.currency} has {rule.digits} digits behind the point."
            yield Problem(key, cause, "Write no more digits than that.")
    if max(sum(map(Fraction, amounts.values())), Fraction(costs.cap or 0)) * unit > MOST_MINOR_UNITS:
        cause = f"The budgets, or the cap of costs, are above {MOST_MINOR_UNITS // unit:,} {rule.currency}."
        yield Problem("period", cause, "Write less, or choose fewer minor_digits.")
