"""The opened values of a simulated run: directions are committed to round by round, and each period is opened once.

U_0 .. U_T: utility on all evaluation rows, which decides the window. m: openings. P: periods.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from fedgap.contribution.direction import Direction
from fedgap.contribution.errors import UtilityError
from fedgap.contribution.interval import Interval, half_split, halves
from fedgap.contribution.openings import Divisible, directions, openings
from fedgap.contribution.window import last_round
from fedgap.ids import OrgId
from fedgap.secagg.evaluation import periods_of
from fedgap.secagg.periods import Periods
from fedgap.secagg.valuation import Settlement
from fedgap.simulation.aggregate import Released
from fedgap.simulation.assessing import Array, Assessor, Moved
from fedgap.simulation.opener import Opener
from fedgap.simulation.shards import Shards

Ends = tuple[Fraction, Fraction]


@dataclass(slots=True, kw_only=True)
class Openings:
    """What settlement says of a run, period by period.

    Attributes:
        opener: opens periods.
        shards: evaluation rows.
        assessor: the members' recomputation, which is told what each round did.
        seed: of the halves.
        apart: whether each opening has a model of its own, so that they may be computed at the same time.
        utilities: U before the first round, then after each round.
        gains: of each round, by the period's own rows.
        halves: rows behind each opening, summed over the periods.
        values: of each organisation, one for each opening, summed over the periods so far.
    """

    opener: Opener
    shards: Shards
    assessor: Assessor
    seed: int
    apart: bool = False
    utilities: list[float] = field(default_factory=list)
    gains: dict[int, float] = field(default_factory=dict)
    values: dict[OrgId, list[Fraction]] = field(default_factory=dict)
    halves: list[int] = field(default_factory=list)
    _directed: tuple[int, list[Divisible]] = (0, [])

    @property
    def periods(self) -> Periods:
        """The run, cut."""
        return periods_of(self.assessor.manifest, self.shards.evaluation)

    @property
    def last(self) -> int:
        """The last round that counts, by what is known so far."""
        return self.last_for(self.periods.count)

    def last_for(self, period: int) -> int:
        """The last round that counts, by what is known when a period is settled."""
        periods = self.periods
        ends = [periods.rounds_of(number)[-1] for number in range(1, period + 1) if periods.rounds_of(number)]
        if periods.count > 1 and period == 1:
            return ends[0]
        return last_round(self.utilities[: ends[-1] + 1], ends)

    def add(self, mean: Array, released: Released, moved: Moved, found: Sequence[Direction] | None) -> None:
        """Commit to the directions of a round.

        Args:
            mean: its weighted mean update X.
            released: its sum.
            moved: what it did to the model.
            found: its directions, if they are known already.
        """
        number = released.plan.round
        if self.assessor.is_asked:
            self.assessor.moved[number] = moved
        try:
            if found is None:
                found = directions(self.parts_on(number), moved.before, moved.after, mean, moved.step)
        except UtilityError:
            return  # without a direction the round is left out, which the statement says
        self.gains[number] = math.fsum(one.gain for one in found) / len(found)
        self.opener.propose(released, [one.unrounded for one in found])

    def parts_on(self, round_: int) -> list[Divisible]:
        """The utility that a round's directions are taken of: on its period's rows, or on a half for each opening."""
        period = self.periods.of(round_)
        if self._directed[0] != period:
            utility_on, rows = self.assessor.utility_on, self.shards.of(period)
            if self.apart and self.assessor.manifest.openings > 1:
                made = [utility_on(rows.take(half)) for half in halves(len(rows), self.seed)]
            else:
                made = openings(utility_on(rows), self.assessor.manifest.openings, self.seed)
            self._directed = (period, made)
        return self._directed[1]

    def settle(self, period: int) -> Settlement | None:
        """Open a period; None if the window closed before it.

        Raises:
            NothingToSettleError: no round of it has a direction.
        """
        last, rounds = self.last_for(period), self.periods.rounds_of(period)
        if not rounds or rounds[0] > last:
            return None
        settled = self.opener.settle(period, last=last)
        self.assessor.forget()
        for one in settled.valued:
            self._count(one.organisation, one.values)
        sizes = [utility.rows for utility in self.parts_on(rounds[0])]
        self.halves = [a + b for a, b in zip(self.halves or [0] * len(sizes), sizes, strict=True)]
        return settled

    def credit(self, shares: Mapping[OrgId, Fraction], gain: Fraction) -> None:
        """Count a period that was credited by weight."""
        for org, share in shares.items():
            self._count(org, [share * gain] * self.assessor.manifest.openings)

    def intervals_of(self, settled: Settlement) -> dict[OrgId, Ends]:
        """The 95 % interval of each value of a period, where there are two openings."""
        rounds = self.periods.rounds_of(settled.period)
        return _ends(
            {one.organisation: list(one.values) for one in settled.valued},
            [utility.rows for utility in self.parts_on(rounds[0])],
        )

    def intervals(self) -> dict[OrgId, Interval]:
        """Every value of the whole run, with its interval where there are two openings."""
        ends = _ends(self.values, self.halves)
        error = _split(self.values, self.halves)[0].error if ends else None
        found = {}
        for org, parts in self.values.items():
            value = float(sum(parts, Fraction(0)) / len(parts))
            low, high = (float(end) for end in ends[org]) if org in ends else (None, None)
            found[org] = Interval(value=value, low=low, high=high, error=error)
        return found

    def exact(self) -> dict[OrgId, Fraction]:
        """Every value of the whole run, as the ledger adds it up."""
        return {org: sum(parts, Fraction(0)) / len(parts) for org, parts in self.values.items()}

    def _count(self, org: OrgId, parts: Sequence[Fraction]) -> None:
        before = self.values.get(org, [Fraction(0)] * len(parts))
        self.values[org] = [a + b for a, b in zip(before, parts, strict=True)]


def _split(values: Mapping[OrgId, Sequence[Fraction]], sizes: Sequence[int]) -> list[Interval]:
    first, second = ([float(parts[slot]) for parts in values.values()] for slot in (0, 1))
    return half_split(first, second, (sizes[0], sizes[1]))


def _ends(values: Mapping[OrgId, Sequence[Fraction]], sizes: Sequence[int]) -> dict[OrgId, Ends]:
    """Intervals around the exact values; the width is pooled over the organisations."""
    if len(sizes) == 1 or not values:
        return {}
    found = {}
    for (org, parts), interval in zip(values.items(), _split(values, sizes), strict=True):
        assert interval.low is not None  # noqa: S101 - two halves give one; tells mypy
        value = sum(parts, Fraction(0)) / len(parts)
        width = Fraction(interval.value) - Fraction(interval.low)
        found[org] = (value - width, value + width)
    return found
