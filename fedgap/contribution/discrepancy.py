"""How far a share lies from the one that retraining every coalition would give: a band shipped from the benchmark.

A sampling interval says what other validation rows would have said of the same run. It says nothing of how well the
path value stands for a Shapley value by retraining, which nobody can compute under secure aggregation. For that the
benchmark computes both on many small federations and ships a quantile of the difference (split conformal prediction:
Vovk et al., Algorithmic Learning in a Random World, 2005). It is as good as those federations resemble the one at hand.
"""

import math
from collections.abc import Sequence

COVERAGE = 0.9
BAND = 0.07
"""q90 of |share - share by retraining| over the scenarios sizes, mixed, noise and poison: `fedgap bench contribution`,
its `discrepancy_q90`; 8 organisations, 50 rounds."""


def conformal(errors: Sequence[float], coverage: float) -> float:
    """The smallest band that covers at least this part of the errors and of one more like them.

    Returns:
        infinity where there are too few errors to say.
    """
    rank = math.ceil((len(errors) + 1) * coverage)
    return sorted(errors)[rank - 1] if rank <= len(errors) else math.inf


def band(share: float) -> tuple[float, float]:
    """Where the share by retraining lies with 90 % confidence, if this federation is like those of the benchmark."""
    return max(0.0, share - BAND), min(1.0, share + BAND)
