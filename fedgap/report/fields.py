"""Where things stand in report.json, and what they are called in words."""

from collections.abc import Mapping
from typing import Any, Literal

Place = Literal["own", "common"]
"""Which test rows a score is about: the organisation's own, or those of all organisations."""

PLACES: dict[Place, str] = {"own": "own test rows", "common": "all organisations' test rows"}

MODELS = {"local": "alone", "federated": "federated", "personalised": "personalised", "pooled": "pooled"}
"""The four ways to get a model, in the order in which they are shown."""

MEANINGS = {
    "alone": "trained by the organisation on its own rows only",
    "federated": "the shared model, trained together without moving a row",
    "personalised": "the shared model, fine-tuned by the organisation where its own validation rows say so",
    "pooled": "trained as if all rows lay in one place; the comparison, not an offer",
}

VERDICTS = {
    "join": "joining pays",
    "neutral": "no measurable difference",
    "stay-out": "better to stay out",
    "too-little-data": "too little data to tell",
}

RECOMMENDED = {
    "alone": "its own model",
    "federated": "the federated model",
    "personalised": "the personalised model",
}


def dig(holder: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - report.json holds JSON values of every kind
    """Follow a dotted path such as `local.metrics.auc`; null when any part of it is null or missing."""
    found: Any = holder
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def scores_path(model: str, place: Place) -> str:
    """Where an organisation's scores for one model and one set of test rows stand."""
    return model if place == "own" else f"{model}.common"
