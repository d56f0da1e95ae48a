"""The gap report of one organisation and of all: alone, federated, personalised, pooled, and what joining is worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedgap.ids import OrgId
from fedgap.learning.task import Kind
from fedgap.simulation.intervals import Resampling, Sampled, mean_measures, mean_of
from fedgap.simulation.split_run import CONTENDERS, SplitResult
from fedgap.simulation.verdict import Gain, decide

SMALLEST_GAP = 0.01
"""Below one point between pooled and local there is no gap to close, and its closed share would be noise."""

NO_TEST_ROWS = "there are no test rows that could say"
NO_GAP = "pooling all rows gains less than one point over training alone: there is no gap to close"
OPEN_MEASURE = "the test rows of no split show two classes, or there are none"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """One organisation's sampled scores, by contender."""

    own: Mapping[str, Sampled]
    common: Mapping[str, Sampled]


def score_all(results: Sequence[SplitResult], kind: Kind, samples: int, seed: int) -> dict[OrgId, Scored]:
    """Score every contender of every organisation on its own and on everyone's test rows."""
    everyone = Resampling(kind, [r.examined.common_rows for r in results], samples, seed)
    scored = {}
    for org in results[0].examined.answered:
        alone = Resampling(kind, [r.examined.own_rows[org] for r in results], samples, seed)
        scored[org] = Scored(
            own={c: alone.score([r.examined.answered[org][c].own for r in results]) for c in CONTENDERS},
            common={c: everyone.score([r.examined.answered[org][c].common for r in results]) for c in CONTENDERS},
        )
    return scored


def organisation_entry(results: Sequence[SplitResult], org: OrgId, scored: Scored) -> dict[str, Any]:
    """One organisation's part of report.json that concerns the gap; null never stands without a reason."""
    reasons: dict[str, str] = {}
    entry: dict[str, Any] = {}
    for contender in CONTENDERS:
        entry[contender] = _score(scored.own[contender]) | {
            "metrics": mean_measures([r.examined.answered[org][contender].own_measures for r in results]),
            "common": _score(scored.common[contender])
            | {"metrics": mean_measures([r.examined.answered[org][contender].common_measures for r in results])},
        }
        _explain(entry[contender], contender, reasons)
    entry["personalised"]["accepted"] = sum(r.accepted[org] for r in results) / len(results)
    gap, closed = gap_closed(scored.own)
    entry |= {"gap": gap, "gap_closed": closed}
    if closed is None:
        reasons["gap_closed"] = NO_TEST_ROWS if gap is None else NO_GAP
    if gap is None:
        reasons["gap"] = NO_TEST_ROWS
    own = _gain(scored.own)
    common = _gain(scored.common)
    own_rows = len({int(row) for r in results for row in r.examined.own_rows[org].row})
    verdict, why = decide(own, common, own_rows)
    entry["gain"] = {"own": _gain_entry(own), "common": _gain_entry(common)}
    _explain_gain(entry["gain"], reasons)
    recommended = [r.recommended[org] for r in results]
    entry |= {
        "verdict": verdict,
        "verdict_reason": why,
        "recommended": max(("federated", "personalised", "alone"), key=recommended.count),
        "chosen": {c: middle_choice([r.chosen[org][c] for r in results], "epochs") for c in ("local", "personalised")},
        "reasons": reasons,
    }
    return entry


def means(scored: Mapping[OrgId, Scored]) -> tuple[dict[str, Any], dict[str, str]]:
    """The means over organisations, and the reasons for what is null."""
    reasons: dict[str, str] = {}
    own = {c: mean_of([s.own[c] for s in scored.values()]) for c in CONTENDERS}
    common = {c: mean_of([s.common[c] for s in scored.values()]) for c in CONTENDERS}
    entry: dict[str, Any] = {}
    for where, place, prefix in ((own, entry, "mean"), (common, entry.setdefault("common", {}), "mean.common")):
        place |= {c: _number(where[c].mean) for c in CONTENDERS}
        place |= {"ci95": {c: _interval(where[c]) for c in CONTENDERS}}
        gap, place["gap_closed"] = gap_closed(where)
        for name in CONTENDERS:
            if place[name] is None:
                reasons[f"{prefix}.{name}"] = NO_TEST_ROWS
            if place["ci95"][name] is None:
                reasons[f"{prefix}.ci95.{name}"] = NO_TEST_ROWS
        if place["gap_closed"] is None:
            reasons[f"{prefix}.gap_closed"] = NO_TEST_ROWS if gap is None else NO_GAP
    return entry, reasons


def gap_closed(sampled: Mapping[str, Sampled]) -> tuple[float | None, float | None]:
    """Pooled minus local, and the share of it that the federation closes; None where it cannot be said."""
    gap = _number(sampled["pooled"].mean - sampled["local"].mean)
    gained = _number(sampled["federated"].mean - sampled["local"].mean)
    if gap is None or gained is None or gap < SMALLEST_GAP:
        return gap, None
    return gap, gained / gap


def _gain(sampled: Mapping[str, Sampled]) -> Gain:
    difference = sampled["personalised"] - sampled["local"]
    return Gain(mean=_number(difference.mean), interval=difference.interval())


def _gain_entry(gain: Gain) -> dict[str, Any]:
    return {"mean": gain.mean, "ci95": None if gain.interval is None else list(gain.interval)}


def _score(sampled: Sampled) -> dict[str, Any]:
    return {"metric": _number(sampled.mean), "ci95": _interval(sampled)}


def _interval(sampled: Sampled) -> list[float] | None:
    interval = sampled.interval()
    return None if interval is None else list(interval)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _explain(entry: Mapping[str, Any], contender: str, reasons: dict[str, str]) -> None:
    """Put a reason beside every null of a contender's scores."""
    for prefix, part in ((contender, entry), (f"{contender}.common", entry["common"])):
        for key in ("metric", "ci95"):
            if part[key] is None:
                reasons[f"{prefix}.{key}"] = NO_TEST_ROWS
        for name, value in part["metrics"].items():
            if value is None:
                reasons[f"{prefix}.metrics.{name}"] = OPEN_MEASURE


def _explain_gain(gains: Mapping[str, Mapping[str, Any]], reasons: dict[str, str]) -> None:
    for where, gain in gains.items():
        for key, value in gain.items():
            if value is None:
                reasons[f"gain.{where}.{key}"] = NO_TEST_ROWS


def middle_choice(choices: Sequence[tuple[float, int]], unit: str) -> dict[str, Any]:
    """What was chosen over the splits: the middle learning rate, and the middle length under the name of its unit."""
    lrs, lengths = sorted(lr for lr, _ in choices), sorted(length for _, length in choices)
    return {"lr": lrs[len(lrs) // 2], unit: lengths[len(lengths) // 2]}
