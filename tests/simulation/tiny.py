"""Tiny federations in a folder: three organisations with a few dozen generated rows, done in a fraction of a second."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedgap.config import FederationConfig, load_federation
from fedgap.simulation.study import Study, simulate

SIZES = {"ash": 12, "birch": 20, "cedar": 30}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "federation": {"id": "tiny", "task": "tabular-classification", "seed": 1},
    "task": {"label": "y", "model": "linear"},
    "training": {"rounds": 2, "lr": 0.1, "device": "cpu"},
    "server": {},
    "baselines": {"splits": 2, "folds": 2, "epochs": 3, "personal_epochs": 2, "bootstrap": 200},
}
REGRESSION: Mapping[str, Any] = {"federation": {"task": "tabular-regression"}}


def csv(rows: int, seed: int, *, kind: str = "classification", distance: float = 0.0) -> str:
    """Rows of three numbers and a label that depends on two of them.

    Args:
        rows: how many.
        seed: of the numbers.
        kind: classification (yes or no) or regression.
        distance: how far this organisation's numbers lie from 0.
    """
    rng = np.random.default_rng(seed)
    lines = ["a,b,c,y"]
    for a, b, c in (rng.normal(size=(rows, 3)) + distance).tolist():
        score = 2 * a - b - distance + 0.5 * rng.normal()
        label = f"{score:.4f}" if kind == "regression" else ("yes" if score > 0 else "no")
        lines.append(f"{a:.4f},{b:.4f},{c:.4f},{label}")
    return "\n".join(lines) + "\n"


def write(
    folder: Path,
    files: Mapping[str, str | bytes] | None = None,
    behave: Mapping[str, str] | None = None,
    **sections: Mapping[str, Any],
) -> Path:
    """Write a federation.toml with its organisations' files.

    Args:
        folder: where.
        files: content of each organisation's file; by default `SIZES` rows each.
        behave: what an organisation does, if not honest.
        sections: keys in place of, or beside, those of `SMALL`; None removes a key.

    Returns:
        the path of the federation.toml.
    """
    regression = sections.get("federation", {}).get("task") == "tabular-regression"
    kind = "regression" if regression else "classification"
    if files is None:
        files = {name: csv(n, seed, kind=kind) for seed, (name, n) in enumerate(SIZES.items())}
    lines = []
    for section in dict.fromkeys([*SMALL, *sections]):
        keys = {**SMALL.get(section, {}), **sections.get(section, {})}
        lines += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None)]
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        lines += ["[[organisation]]", f'id = "{name}"', f'data = "{name}.csv"']
        if name in (behave or {}):
            lines.append(f'behave = "{(behave or {})[name]}"')
    for name in set(behave or {}) - set(files):
        lines += ["[[organisation]]", f'id = "{name}"', f'behave = "{(behave or {})[name]}"']
    path = folder / "federation.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: object) -> str:
    return json.dumps(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else json.dumps(value)


def config(folder: Path, **wanted: Any) -> FederationConfig:  # noqa: ANN401 - passed on to `write`
    """Write a federation and read it."""
    return load_federation(write(folder, **wanted))


def study(folder: Path, workers: int = 1, protocol: str = "sum", **wanted: Any) -> Study:  # noqa: ANN401 - passed on to `write`
    """Simulate a tiny federation."""
    found = config(folder, **wanted)
    return simulate(found, workers=workers, engine="auto", protocol=protocol, progress=lambda _: None)


def nulls(value: object, path: str = "") -> list[str]:
    """Every path at which something is null; positions in lists are left out."""
    if value is None:
        return [path]
    if isinstance(value, Mapping):
        return [p for key, item in value.items() for p in nulls(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple):
        return [p for item in value for p in nulls(item, path)]
    return []


def unexplained(report: Mapping[str, Any]) -> list[str]:
    """Every null of a report that has no reason beside it.

    An organisation's reasons stand in its own entry and count from there.
    """
    rest = {key: value for key, value in report.items() if key != "organisations"}
    missing = [path for path in nulls(rest) if path not in report["reasons"]]
    for entry in report["organisations"]:
        missing += [f"{entry['id']}: {path}" for path in nulls(entry) if path not in entry["reasons"]]
    return missing


def needless(report: Mapping[str, Any]) -> list[str]:
    """Every reason that stands beside nothing null."""
    rest = {key: value for key, value in report.items() if key != "organisations"}
    found = [reason for reason in report["reasons"] if reason not in nulls(rest)]
    for entry in report["organisations"]:
        found += [f"{entry['id']}: {reason}" for reason in entry["reasons"] if reason not in nulls(entry)]
    return found
