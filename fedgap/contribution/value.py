"""The value of each organisation: its part of the gain, summed over the rounds that count.

Where single updates may be seen (simulation, plain federations) an `Account` takes the rounds as they come. Under
secure aggregation the same sum is opened as one number; the two agree but for the rounding of directions. What a single
round was worth to one organisation stays inside the account: it would tell a rider what to send next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.direction import Direction
from fedgap.contribution.window import last_round
from fedgap.ids import OrgId

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attribution:
    """The gain of a run, divided.

    Attributes:
        values: of each organisation, in utility units; with `gap` they sum to `gain`.
        gain: of the utility, from the start to the last round that counts.
        gap: the part of it that the quadrature gives to nobody.
        last_round: the last one that counts.
        parts: what each validation row (or block of rows) says of each organisation, shape (R, n), organisations in the
            order of `values`; None if rows were not looked at one by one.
    """

    values: Mapping[OrgId, float]
    gain: float
    gap: float
    last_round: int
    parts: Array | None


@dataclass(slots=True, kw_only=True)
class Account:
    """The rounds of a run so far, in memory only."""

    organisations: tuple[OrgId, ...]
    utilities: list[float] = field(default_factory=list, repr=False)
    _values: list[Array] = field(default_factory=list, repr=False)
    _gaps: list[float] = field(default_factory=list, repr=False)
    _parts: list[Array] = field(default_factory=list, repr=False)

    def add(self, found: Direction, updates: Iterable[tuple[OrgId, Array]], rows: Array | None = None) -> None:
        """Take in the next round.

        Args:
            found: its direction.
            updates: each organisation's part of what moved the model, one by one; who was absent is left out.
            rows: `path_slopes` of the organisations, shape (R, n), in every round or in none.
        """
        if not self.utilities:
            self.utilities.append(found.start)
        self.utilities.append(found.end)
        self._gaps.append(found.gap)
        values = dict.fromkeys(self.organisations, 0.0)
        for org, part in updates:
            values[org] = found.factor * float(part @ found.vector)
        self._values.append(np.array(list(values.values())))
        if rows is not None:
            self._parts.append(found.factor * rows)

    def settle(self, boundaries: Sequence[int] | None = None, *, last: int | None = None) -> Attribution:
        """Sum up the rounds that count.

        Args:
            boundaries: the last round of each settlement period; by default one settlement, after the last round.
            last: the last round that counts, in place of the window.

        Raises:
            ValueError: no round was taken in.
        """
        if not self._values:
            raise ValueError("there is no round to settle")
        if last is None:
            last = last_round(self.utilities, boundaries or (len(self._values),))
        values = np.sum(self._values[:last], axis=0)
        return Attribution(
            values=dict(zip(self.organisations, values.tolist(), strict=True)),
            gain=self.utilities[last] - self.utilities[0],
            gap=float(np.sum(self._gaps[:last])),
            last_round=last,
            parts=np.sum(self._parts[:last], axis=0) if self._parts else None,
        )
