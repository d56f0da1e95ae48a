"""What a simulated organisation claims to have spent: a counted meter, so that the ledger replays byte for byte.

Processor time is counted, not measured: one number for each row, step and parameter, at a stated rate. What was really
measured goes to report.json only. Rows are declared once, in the first period: they are curated once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedgap.ids import OrgId
from fedgap.learning.engine import Update
from fedgap.records import CostClaimed, Quantity

COUNTED_RATE = 10**5
"""Products of rows in a step and parameters that one counted millisecond of a processor stands for."""


@dataclass(slots=True)
class Meter:
    """Counts the local training of each organisation, period by period.

    Attributes:
        batches: rows of one step of each.
        parameters: d.
        rows: attested rows of each, declared with the first claim.
    """

    batches: Mapping[OrgId, int]
    parameters: int
    rows: Mapping[OrgId, int]
    _counted: dict[tuple[int, OrgId], int] = field(default_factory=dict)

    def add(self, period: int, updates: Iterable[Update]) -> None:
        """Count one round's trainings."""
        for update in updates:
            key, work = (period, update.org), update.steps * self.batches[update.org] * self.parameters
            self._counted[key] = self._counted.get(key, 0) + work

    def claims(self, period: int) -> list[CostClaimed]:
        """What each organisation claims for a period, in name order."""
        return [
            CostClaimed(
                period=period,
                organisation=org,
                metered=(Quantity(what="cpu-ms", amount=-(-self._counted.get((period, org), 0) // COUNTED_RATE)),),
                declared=(Quantity(what="rows", amount=self.rows[org]),) if period == 1 else (),
            )
            for org in sorted(self.rows)
        ]
