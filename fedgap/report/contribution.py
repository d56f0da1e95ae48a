"""What value and share mean, in words, with the numbers of the run."""

from collections.abc import Mapping
from typing import Any

from fedgap.report.fields import dig
from fedgap.report.figures import count, is_number, percent, signed

_LIMITS = (
    "The number says what an organisation's updates did for the common model on these rows; it does not say what its "
    "data would be worth elsewhere, and an organisation that pulls towards a model it already knows to be good cannot "
    "be told from one that contributes."
)


def contribution_words(report: Mapping[str, Any]) -> list[str]:
    """Say what the values are parts of and how the shares were made; nothing if there are no values."""
    found = dig(report, "contribution")
    if not (isinstance(found, Mapping) and is_number(found.get("gain")) and is_number(found.get("last_round"))):
        return []
    counted = f"{signed(found['gain'])} up to round {count(found['last_round'])}, on {count(found['rows'])} rows"
    value = (
        f"Value: the organisation's part of the utility gained ({counted}); the values add up to it. The 95 % "
        "interval says whether other rows would have said the same."
    )
    share = "Share: by the default rule one half goes equally to those who contribute, one half by value."
    band = dig(report, "contribution.share_band")
    if isinstance(band, Mapping):
        share += (
            f" Shapley values by retraining every group of organisations gave {percent(band['coverage'])} of the "
            f"organisations of the benchmark a share within {100 * band['plus_minus']:.0f} points of this one."
        )
    return [value, share, _LIMITS]
