"""A report.json as a run writes it, in every size and mood the page has to survive. The numbers are made up."""

import math
from typing import Any, Literal

Kind = Literal["classification", "regression"]
Story = Literal["mixed", "all gain", "none gains"]

HOSTILE_NAMES = (
    "<script>alert('a')</script>",
    '"><img src=x onerror=alert(1)> & "quotes"',
    "A very long name " + "of a very long hospital trust " * 8,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "مستشفى المدينة المركزي",
    "\u202eevil\u202c reversed \u2066x",
    "👩🏽\u200d⚕️ clinic 🏥🏥🏥",
    "\x1b[31mred\x1b[0m\x00\x07 bell\nsecond line\u2028third",
    "二十四時間対応の総合病院と大学附属研究所と地域医療連携室",
    "\u200b\u200b",
    "javascript:alert(1)",
    "]]> --> </style></svg>{{7*7}}",
    "lone \ud800 surrogate \ufffe",
)

SIZES = (20, 24, 30, 40, 41, 80, 131, 200)
VERDICTS: dict[Story, tuple[str, ...]] = {
    "mixed": ("join", "join", "neutral", "stay-out", "neutral", "too-little-data", "join", "neutral"),
    "all gain": ("join",),
    "none gains": ("neutral",),
}
WHY = {
    "join": "The gain on own rows is above 0: 0.061, interval 0.020 to 0.102.",
    "neutral": "The interval of the gain holds 0.",
    "stay-out": "The gain on own rows is below 0.",
    "too-little-data": "Fewer than 5 test rows.",
}
NO_VALUE = "This run made no openings, so no contribution was estimated."
NO_GPU = "No GPU was used."
NO_ENERGY = "The machine does not report its energy."
NO_AUC = "The test rows hold one class only."
NO_LEDGER = "This version keeps no ledger."


def sample(
    organisations: int = 8,
    rounds: int = 15,
    kind: Kind = "classification",
    story: Story = "mixed",
    *,
    hostile: bool = False,
) -> dict[str, Any]:
    """Make a whole report; `hostile` gives the names, notes and settings that an enemy would choose."""
    members = [_organisation(number, kind, story, hostile=hostile) for number in range(organisations)]
    level = {"mixed": 0.947, "all gain": 0.947, "none gains": 0.885}[story]
    mean: dict[str, Any] = {"local": 0.891, "federated": level, "personalised": level + 0.004}
    mean |= {"pooled": 0.953 if story != "none gains" else 0.88}
    mean |= {"gap_closed": 0.9032 if story != "none gains" else None}
    return {
        "fedgap": "0.1.0",
        "federation": {
            "id": "clinics",
            "name": HOSTILE_NAMES[0] if hostile else "Eight clinics",
            "task": "fedgap.learning.tabular:Tabular",
            "kind": kind,
            "seed": 1,
            "organisations": organisations,
            "rows": sum(member["rows"] for member in members),
            "parameters": 62,
            "settings": _settings(hostile=hostile),
        },
        "metric": {"name": "accuracy" if kind == "classification" else "R2", "better": "higher"},
        "utility": {"name": "1 - Brier/2" if kind == "classification" else "R2", "start": 0.5, "end": 0.93},
        "rounds": [_round(number, [member["id"] for member in members]) for number in range(1, rounds + 1)],
        "organisations": members,
        "mean": {**mean, "common": {**mean, "local": 0.8601, "gap_closed": 0.94}},
        "splits": 20,
        "notes": ["2 columns are constant in training rows and were left out", *HOSTILE_NAMES[:2]][
            : 3 if hostile else 1
        ],
        "rule": "Join: the 95 % interval of the gain on own rows lies above 0. Stay out: it lies below 0.",
        "reasons": {
            "ledger_root": NO_LEDGER,
            **({"mean.gap_closed": "Pooled is not above alone."} if story == "none gains" else {}),
        },
        "model_sha256": "3b1f" * 16,
        "ledger_root": None,
        "engine": {"name": "sequential", "why": "the only engine of this version"},
        "protocol": {"name": "full", "why": "the default up to 128 organisations"},
        "seconds": 71.3,
    }


def _organisation(number: int, kind: Kind, story: Story, *, hostile: bool) -> dict[str, Any]:
    verdict = VERDICTS[story][number % len(VERDICTS[story])]
    rows = SIZES[number % len(SIZES)] + number // len(SIZES)
    width = 0.5 / math.sqrt(rows)
    base = 0.82 + 0.016 * (number % 8) - (0.75 if kind == "regression" and number == 0 else 0.0)
    models = {
        model: _model(base + more, width, kind, one_class=number == 2)
        for model, more in (("local", 0.0), ("federated", 0.05), ("personalised", 0.055), ("pooled", 0.06))
    }
    models["personalised"]["accepted"] = 0.35
    reasons = {"value": NO_VALUE, "share": NO_VALUE, "metered.gpu_seconds": NO_GPU, "metered.energy_joules": NO_ENERGY}
    if number == 2:
        reasons |= {"auc": NO_AUC, "gap_closed": "Pooled is not above alone."}
    return {
        "id": f"clinic-{number + 1}",
        "name": HOSTILE_NAMES[number % len(HOSTILE_NAMES)] if hostile else f"Clinic {number + 1}",
        "rows": rows,
        "train_rows": rows * 3 // 5,
        "test_rows": rows - rows * 3 // 5,
        "behave": "noise:0.4" if number == 3 else "honest",
        **models,
        "gap": 0.06,
        "gap_closed": None if number == 2 else 0.83,
        "gain": {
            "own": {"mean": 0.055, "ci95": [0.055 - width, 0.055 + width]},
            "common": {"mean": -0.011, "ci95": [-0.04, 0.018]},
        },
        "verdict": verdict,
        "verdict_reason": WHY[verdict],
        "recommended": {"join": "personalised", "neutral": "federated"}.get(verdict, "alone"),
        "value": None,
        "value_ci95": None,
        "share": None,
        "baselines": {"size": 0.06, "equal": 0.125},
        "metered": {
            "gpu_seconds": None,
            "cpu_seconds": 3.21 * (number + 1),
            "wall_seconds": 3.4,
            "peak_bytes": 254_000_000,
            "energy_joules": None,
        },
        "chosen": {
            "local": {"lr": 0.03, "epochs": 40},
            "federated": {"lr": 0.1, "rounds": 15},
            "personalised": {"lr": 0.01, "epochs": 5},
            "pooled": {"lr": 0.03, "epochs": 25},
        },
        "notes": ["3 missing cells were filled with the mean"] if number == 1 else [],
        "reasons": reasons,
    }


def _model(metric: float, width: float, kind: Kind, *, one_class: bool) -> dict[str, Any]:
    own = _scores(metric, width, kind, one_class=one_class)
    return {**own, "common": _scores(metric - 0.02, width / 2, kind, one_class=False)}


def _scores(metric: float, width: float, kind: Kind, *, one_class: bool) -> dict[str, Any]:
    others: dict[str, float | None] = {"mae": 44.1, "rmse": 57.25}
    if kind == "classification":
        auc = None if one_class else min(1.0, metric + 0.04)
        others = {"balanced_accuracy": metric - 0.01, "auc": auc, "brier": 0.11, "calibration_error": 0.04}
    return {"metric": metric, "ci95": [metric - width, min(1.0, metric + width)], "metrics": others}


def _round(number: int, participants: list[str]) -> dict[str, Any]:
    return {
        "round": number,
        "participants": participants,
        "utility": 0.93 - 0.43 * math.exp(-number / 4),
        "loss": 0.12 + 0.57 * math.exp(-number / 3),
        "seconds": 0.42,
        "bytes_up": 248 * len(participants),
        "bytes_down": 1_254_000,
    }


def _settings(*, hostile: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "training.rounds": 15,
        "training.lr": 0.1,
        "training.clip_norm": None,
        "server.optimizer": "sgd",
        "baselines.lr_grid": [0.001, 0.01, 0.1],
        "evaluation.repeat": True,
    }
    return settings | ({name: name for name in HOSTILE_NAMES[:3]} if hostile else {})
