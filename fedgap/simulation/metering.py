"""What a simulated organisation claims to have spent: a counted meter, so that the ledger replays byte for byte.

Processor time is counted, not measured: one number for each row, step and parameter, at a stated rate. What was really
measured goes to report.json only. The driver bounds each claim by the time that it counted itself. Rows are declared
once, in the first period: they are curated once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedgap.funding.bound import Devices, bounded
from fedgap.ids import OrgId
from fedgap.learning.engine import Update
from fedgap.records import CostBounded, CostClaimed, Quantity

COUNTED_RATE = 10**5
"""Products of rows in a step and parameters that one counted millisecond of a processor stands for."""


@dataclass(slots=True)
class Meter:
    """Counts the local training of each organisation, period by period.

    Attributes:
        batches: rows of one step of each.
        parameters: d.
        rows: attested rows of each, declared with the first claim.
        devices: what each may work with at once, if it is more than one of each.
    """

    batches: Mapping[OrgId, int]
    parameters: int
    rows: Mapping[OrgId, int]
    devices: Mapping[OrgId, Devices] = field(default_factory=dict)
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
                metered=(Quantity(what="cpu-ms", amount=self._counted_ms(period, org)),),
                declared=(Quantity(what="rows", amount=self.rows[org]),) if period == 1 else (),
            )
            for org in sorted(self.rows)
        ]

    def bounds(self, claims: Iterable[CostClaimed]) -> list[CostBounded]:
        """What each can at most have spent, by the driver's own count of what it did."""
        found = (
            bounded(
                claim,
                waited_ms=self._counted_ms(claim.period, claim.organisation),
                devices=self.devices.get(claim.organisation, Devices()),
            )
            for claim in claims
        )
        return [bound for bound in found if bound is not None]

    def _counted_ms(self, period: int, org: OrgId) -> int:
        """Counted milliseconds of one processor, rounded up."""
        return -(-self._counted.get((period, org), 0) // COUNTED_RATE)
