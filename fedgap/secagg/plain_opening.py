"""The values that settlement opens, without messages: for simulations with `--protocol sum`, bit for bit the same.

Only the inner products are kept of a round, so memory does not grow with the run. The same rules leave rounds out:
directions that cannot be opened, and survivors that vary too much. There are no certificates here, so none is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from fedgap.secagg.directions import Unrounded, unit
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.evaluation import Evaluation, periods_of
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.opening import RING, centred, product
from fedgap.secagg.overlap import opened_together
from fedgap.secagg.proposals import prepare
from fedgap.secagg.settlement import Bloc, Statement
from fedgap.secagg.valuation import Valued, Weighed, valued


@dataclass(frozen=True, slots=True)
class _Round:
    """The products of a round: by seat, one for each opening."""

    counts: dict[int, list[int]]
    usable: bool


@dataclass(slots=True)
class PlainOpening:
    """Takes the rounds of a run as they come, and gives the values of a period.

    Args:
        manifest: with the weights, the encoding, periods and openings.
        evaluation: the specification that the manifest names.
    """

    manifest: Manifest
    evaluation: Evaluation
    _rounds: dict[int, _Round] = field(default_factory=dict, init=False)
    _scales: dict[int, float] = field(default_factory=dict, init=False)

    def add(self, round_: int, vectors: Mapping[int, Ring], unrounded: Sequence[Unrounded], *, clip: float) -> None:
        """Take the products of a round.

        Args:
            round_: its number, from 1; rounds come in order.
            vectors: the encoded update of every survivor, by seat.
            unrounded: one direction for each opening: utility for each unit of the mean update.
            clip: C of the round.
        """
        periods = periods_of(self.manifest, self.evaluation)
        period = periods.of(round_)
        found = prepare(
            self.manifest,
            vectors,
            unrounded,
            clip=clip,
            round_=round_,
            length=periods.length,
            scale=self._scales.get(period),
        )
        if not found:
            return
        self._scales.setdefault(period, found[0].scale)
        counts = {seat: [product(ready.entries, vector) for ready in found] for seat, vector in vectors.items()}
        self._rounds[round_] = _Round(counts, all(ready.usable for ready in found))

    def values(self, period: int, *, last: int | None = None) -> tuple[Valued, ...]:
        """The values of a period, as a settlement with every answer gives them; rounds after `last` do not count.

        Raises:
            BadMessageError: no round of it has a direction.
        """
        rounds = periods_of(self.manifest, self.evaluation).rounds_of(period)
        known = {round_: self._rounds[round_] for round_ in rounds if round_ in self._rounds}
        known = {round_: one for round_, one in known.items() if last is None or round_ <= last}
        if not known:
            raise BadMessageError(f"No round of period {period} has a direction.")
        survivors = {round_: set(one.counts) for round_, one in known.items() if one.usable}
        opened = opened_together(survivors, f=self.manifest.f)
        totals: dict[int, list[int]] = {}
        for round_ in opened:
            for seat, counts in known[round_].counts.items():
                before = totals.get(seat, [0] * len(counts))
                totals[seat] = [(a + b) % RING for a, b in zip(before, counts, strict=True)]
        weighed = [_weighed(round_, one) for round_, one in known.items() if round_ not in opened]
        unit_: Fraction = unit(self.manifest.encoding, self._scales[period])
        return valued(self.manifest, _stated(totals), (), weighed, unit=unit_, flags={})


def _weighed(round_: int, one: _Round) -> Weighed:
    sums = [centred(sum(counts)) for counts in zip(*one.counts.values(), strict=True)]
    return Weighed(round=round_, seats=frozenset(one.counts), totals=tuple(sums))


def _stated(totals: Mapping[int, Sequence[int]]) -> Statement:
    """What a statement would say."""
    blocs = tuple(Bloc(seats=(seat,), values=tuple(map(centred, totals[seat]))) for seat in sorted(totals))
    return Statement(
        manifest=bytes(32),
        period=1,
        revision=1,
        final=True,
        listed=bytes(32),
        answers=(),
        judged=(),
        bases=(),
        blocs=blocs,
    )
