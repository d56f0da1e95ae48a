"""Directions of a simulated federation: as the server computes them, and as members recompute them when they settle.

Both are one function of public numbers: the models before and after a round, its sum, and evaluation rows. A member
reads the rows from what it was shown. In one process all members would compute the same bits, so it is done once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.openings import Divisible, directions, openings
from fedgap.learning.parameters import Vector
from fedgap.learning.rows import Rows
from fedgap.secagg.certificates import Listing
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.evaluation import Row
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.plain import mean_of
from fedgap.simulation.shards import Shards, read_rows

Array = NDArray[np.float64]
UtilityOn = Callable[[Rows], Divisible]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moved:
    """What a round did to the common model.

    Attributes:
        before: w.
        after: w'.
        step: s, element by element.
    """

    before: Vector
    after: Vector
    step: float | Array


def _unknown(round_: int) -> bytes:
    raise LookupError(f"the sum of round {round_} is not known")


@dataclass(slots=True, kw_only=True)
class Assessor:
    """A member's own view of the directions (see `fedgap.secagg.inspection.Assessor`).

    Attributes:
        manifest: says how sums are read, and how many openings there are.
        utility_on: what the task makes of rows.
        seed: of the halves.
        shards: the evaluation rows, for sources whose rows everybody has.
        moved: by round; a deployed member derives the same from w_0 and the sums.
        is_asked: whether members recompute at all, so that `moved` is worth its memory.
        total_of: sum of a round, uint32.
    """

    manifest: Manifest
    utility_on: UtilityOn
    seed: int
    shards: Shards
    total_of: Callable[[int], bytes] = _unknown
    moved: dict[int, Moved] = field(default_factory=dict)
    is_asked: bool = False
    _known: dict[bytes, list[Unrounded]] = field(default_factory=dict)
    _utilities: tuple[Sequence[Row], list[Divisible]] | None = None

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """Recompute a round's unrounded directions."""
        round_, name = listing.plan.round, listing.agreed
        if name not in self._known:
            total = np.frombuffer(self.total_of(round_), dtype="<u4")
            mean = mean_of(self.manifest, total, seats=listing.seats, clip=listing.plan.clip).update
            moved = self.moved[round_]
            found = directions(self._on(rows), moved.before, moved.after, mean, moved.step)
            self._known[name] = [one.unrounded for one in found]
        return self._known[name]

    def forget(self) -> None:
        """Drop what a settled period needed."""
        self._known.clear()
        self._utilities = None

    def _on(self, rows: Sequence[Row]) -> list[Divisible]:
        if self._utilities is None or self._utilities[0] is not rows:
            given = read_rows(rows) if rows else self.shards.of(1)
            self._utilities = (rows, openings(self.utility_on(given), self.manifest.openings, self.seed))
        return self._utilities[1]
