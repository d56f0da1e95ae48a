"""What each organisation contributed to the reported federation, from the very integers that were summed.

A simulation sees single updates, so it divides every server step, momentum included, and resamples the validation rows.
What settlement opens under secure aggregation is the same number, but for the rounding of directions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.config import FederationConfig
from fedgap.contribution.direction import Direction, Utility, direction, path_slopes
from fedgap.contribution.discrepancy import BAND, COVERAGE
from fedgap.contribution.interval import Interval, bootstrap, one_opening
from fedgap.contribution.share import Claim, Share, shares
from fedgap.contribution.steps import Momentum, ServerStep, elementwise_step
from fedgap.contribution.value import Account, Attribution
from fedgap.errors import FedgapError
from fedgap.ids import OrgId
from fedgap.learning.parameters import Vector
from fedgap.learning.server import ServerRule
from fedgap.learning.weights import weights
from fedgap.simulation.contenders import Split
from fedgap.simulation.federate import RoundDone
from fedgap.simulation.openings import Openings
from fedgap.simulation.terms import NEVER

Array = NDArray[np.float64]

MOST_NUMBERS = 2**24
"""So many numbers of updates are held at once for intervals; above, values have none."""

TOO_LARGE = "the updates of all organisations together are too large to be held for an interval"
ONE_ROW = "there is one evaluation row only"
FLAGS = {
    "negative-value": "its updates lowered the utility: no share, and the loss is worked off before anything is paid",
    "below-floor": "its value is at most a fifth of what is usual for its weight: no share",
    "within-error": "its value is within one standard error of nothing: no share",
}
NOBODY = "no organisation has a positive value: there is no gain to share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What a report says of contributions.

    Attributes:
        intervals: value and interval of each organisation, in utility units; empty where they cannot be given.
        shares: of the pool, by the default share rule.
        reasons: by `value`, `value_ci95` and `share`, why something cannot be given; for everybody.
        gain, gap: of the utility over the rounds that count, and what of it is given to nobody.
        last_round: the last round that counts.
        rows: evaluation rows it was measured on.
    """

    intervals: Mapping[OrgId, Interval] = field(default_factory=dict)
    shares: Mapping[OrgId, Share] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    gain: float | None = None
    gap: float | None = None
    last_round: int | None = None
    rows: int = 0


class Accounting:
    """Takes in the rounds of the reported federation, and settles at its end.

    Args:
        config: seed, weights and number of periods.
        rule: the server's step.
        start: w_0.
        attested: rows of each organisation, as its weight is counted by.
        utility: what is divided, or the reason why there is none.
    """

    def __init__(
        self,
        config: FederationConfig,
        rule: ServerRule,
        start: Vector,
        attested: Mapping[OrgId, int],
        utility: Utility | str,
    ) -> None:
        self.config, self.attested = config, attested
        self.before = start
        self.step = server_step(rule)
        self.account = Account(organisations=tuple(sorted(attested)))
        self.momentum = Momentum(rule=self.step)
        periods = 1 if config.settlement is None else config.settlement.periods
        self.utility = NEVER if periods == 0 else utility
        self.intervals = start.size * len(attested) <= MOST_NUMBERS

    def add(self, done: RoundDone) -> Direction | None:
        """Take in a round; what fails is a reason in the report, never the end of the simulation.

        Returns:
            its direction, if there is one.
        """
        before, self.before = self.before, done.state.model
        if isinstance(self.utility, str):
            return None
        try:
            return self._add(self.utility, before, done)
        except FedgapError as error:
            self.utility = error.cause.removesuffix(".")
            return None

    def _add(self, utility: Utility, before: Vector, done: RoundDone) -> Direction:
        step = elementwise_step(self.step, done.state.second[:])
        if not self.intervals and self.step.memory[0] == 0:
            found = direction(utility, before, done.state.model, done.added.mean, step)
            self.account.add(found, done.added.parts())
            return found
        parts = self.momentum.add(dict(done.added.parts()))
        moved = np.sum(list(parts.values()), axis=0)
        found = direction(utility, before, done.state.model, moved, step)
        rows = self._rows(utility, before, done.state.model, step, parts) if self.intervals else None
        self.account.add(found, parts.items(), rows)
        return found

    def _rows(
        self, utility: Utility, before: Vector, after: Vector, step: float | Array, parts: Mapping[OrgId, Array]
    ) -> Array:
        nothing = np.zeros(before.size)
        moves = np.stack([step * parts.get(org, nothing) for org in self.account.organisations])
        return path_slopes(utility, before, after, moves)

    def settle(self) -> Contributions:
        """Sum up the rounds that count, and share."""
        if isinstance(self.utility, str):
            return Contributions(reasons=dict.fromkeys(("value", "value_ci95", "share"), self.utility))
        settled = self.account.settle(self._boundaries())
        intervals = self._intervals(settled)
        divided = shares_of(self.config, self.attested, {o: Fraction(i.value) for o, i in intervals.items()}, intervals)
        reasons = {}
        if any(found.low is None for found in intervals.values()):
            reasons["value_ci95"] = ONE_ROW if self.intervals else TOO_LARGE
        if not any(found.contributing for found in divided.values()):
            reasons["share"] = NOBODY
        return Contributions(
            intervals=intervals,
            shares=divided,
            reasons=reasons,
            gain=settled.gain,
            gap=settled.gap,
            last_round=settled.last_round,
            rows=self.utility.rows,
        )

    def _boundaries(self) -> tuple[int, ...]:
        """The last round of each period."""
        rounds = len(self.account.utilities) - 1
        periods = 1 if self.config.settlement is None else self.config.settlement.periods
        length = -(-rounds // periods)
        return tuple(min(rounds, length * number) for number in range(1, -(-rounds // length) + 1))

    def _intervals(self, settled: Attribution) -> dict[OrgId, Interval]:
        values = list(settled.values.values())
        made = one_opening(values)
        if settled.parts is not None:
            made = bootstrap(settled.parts, self.config.federation.seed)
        return {
            org: Interval(value=value, low=found.low, high=found.high, error=found.error)
            for (org, value), found in zip(settled.values.items(), made, strict=True)
        }


def shares_of(
    config: FederationConfig,
    attested: Mapping[OrgId, int],
    values: Mapping[OrgId, Fraction],
    intervals: Mapping[OrgId, Interval],
) -> dict[OrgId, Share]:
    """Divide the pool by the default share rule.

    Args:
        config: says how weights are counted.
        attested: rows of each organisation.
        values: exact.
        intervals: with the standard errors that the rule looks at, if there are any.
    """
    weight = weights(config.server.weights, attested)
    errors = {org: found.error for org, found in intervals.items()}
    claims = {
        org: Claim(value=value, weight=weight[org], error=None if (error := errors[org]) is None else Fraction(error))
        for org, value in values.items()
    }
    return shares(claims)


def opened_contributions(
    config: FederationConfig,
    attested: Mapping[OrgId, int],
    openings: Openings,
    bare: Contributions | None,
    *,
    no_interval: str,
) -> Contributions:
    """Sum up what settlement opened: the very fractions that are in the ledger.

    Args:
        config: of the study.
        attested: rows of each organisation.
        openings: all periods, settled.
        bare: what looking at single updates gives, whose row bootstrap lends its widths; None where the configuration
            says how contributions are settled, so that the report shows what a deployment would.
        no_interval: why openings give no interval.
    """
    intervals, reasons = openings.intervals(), {}
    divided = shares_of(config, attested, openings.exact(), intervals)
    if bare is not None and bare.intervals:
        intervals = {org: _moved(bare.intervals[org], found.value) for org, found in intervals.items()}
        reasons = {key: text for key, text in bare.reasons.items() if key == "value_ci95"}
    elif no_interval:
        reasons["value_ci95"] = no_interval
    if not any(found.contributing for found in divided.values()):
        reasons["share"] = NOBODY
    last = openings.last
    gain = math.fsum(gain for round_, gain in openings.gains.items() if round_ <= last)
    return Contributions(
        intervals=intervals,
        shares=divided,
        reasons=reasons,
        gain=gain,
        gap=gain - math.fsum(found.value for found in intervals.values()),
        last_round=last,
        rows=sum(map(len, openings.shards.rows)),
    )


def _moved(found: Interval, value: float) -> Interval:
    """The same interval around a value that differs by the rounding of directions."""
    if found.low is None or found.high is None:
        return Interval(value=value, low=None, high=None, error=None)
    by = value - found.value
    return Interval(value=value, low=found.low + by, high=found.high + by, error=found.error)


def server_step(rule: ServerRule) -> ServerStep:
    """The server's step, as far as dividing it needs it."""
    return ServerStep(optimizer=rule.optimizer, lr=rule.lr, momentum=rule.momentum, beta1=rule.beta1, tau=rule.tau)


def accounting_for(config: FederationConfig, split: Split, utility: Utility | str) -> Accounting:
    """Open plain books of the reported federation.

    Args:
        config: of the study.
        split: the split that is reported.
        utility: what is divided, or why there is none.
    """
    return Accounting(config, split.plan.rule, split.start, split.attested, utility)


def report_of(found: Contributions) -> dict[str, Any]:
    """What the report says of contributions as a whole: plain JSON values."""
    return {
        "gain": found.gain,
        "gap": found.gap,
        "last_round": found.last_round,
        "rows": found.rows,
        "share_band": {"plus_minus": BAND, "coverage": COVERAGE} if found.shares else None,
    }


def reasons_of(found: Contributions) -> dict[str, str]:
    """Why the report says nothing of contributions as a whole; empty where it does."""
    if found.intervals:
        return {}
    return {f"contribution.{key}": found.reasons["value"] for key in ("gain", "gap", "last_round", "share_band")}


def entry_of(found: Contributions, org: OrgId) -> dict[str, Any]:
    """What the report says of one organisation: plain JSON values, null where a reason is given."""
    interval, share = found.intervals.get(org), found.shares.get(org)
    known = interval is not None and interval.low is not None
    return {
        "value": interval.value if interval else None,
        "value_ci95": [interval.low, interval.high] if interval and known else None,
        "share": float(share.share) if share and "share" not in found.reasons else None,
    }


def notes_of(found: Contributions, org: OrgId) -> list[str]:
    """Why an organisation has no share, in words."""
    flags = found.shares[org].flags if org in found.shares else ()
    return [f"contribution: {FLAGS[flag]}" for flag in flags if flag in FLAGS]
