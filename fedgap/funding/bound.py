"""What an organisation can at most have spent while the server waited for it.

    cpu-ms  time waited x processors      gpu-ms  time waited x GPUs      joules  time waited x WATTS a device

Whatever else is claimed as metered has the bound 0: no client of ours meters it, and a person's figures are declared.
"""

from dataclasses import dataclass

from fedgap.records import CostBounded, CostClaimed, Quantity

WATTS = 1000
"""No processor and no GPU draws more for long; one processor of `Devices` may be a whole machine's worth of cores."""

MOST = 2**60
"""The largest amount that a record holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What an organisation works with at once, as federation.toml says: processors (threads), GPUs."""

    processors: int = 1
    gpus: int = 1


def bounded(claim: CostClaimed, *, waited_ms: int, devices: Devices) -> CostBounded | None:
    """Bound what an organisation claims as metered; None if it claims nothing so.

    Args:
        claim: of a period.
        waited_ms: how long the server waited for it in the rounds of the period.
        devices: what it may have worked with meanwhile.
    """
    most = {
        "cpu-ms": waited_ms * devices.processors,
        "gpu-ms": waited_ms * devices.gpus,
        "joules": -(-waited_ms * WATTS * (devices.processors + devices.gpus) // 1000),
    }
    names = sorted({quantity.what for quantity in claim.metered})
    if not names:
        return None
    bounds = tuple(Quantity(what=what, amount=min(most.get(what, 0), MOST)) for what in names)
    return CostBounded(period=claim.period, organisation=claim.organisation, bounds=bounds)
