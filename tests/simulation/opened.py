"""Federations whose models are large enough to be opened, and what is in their ledgers; each done in a second."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedgap.ledger import Signed, Trust, Verification
from fedgap.ledger.reading import verify_file
from fedgap.records import Record
from fedgap.simulation.ledger_of import write_ledger
from fedgap.simulation.study import Study
from tests.simulation.tiny import study

ONE_SPLIT = {"splits": 1, "folds": 2, "epochs": 2, "personal_epochs": 1, "bootstrap": 200}
POLICY = """
[policy]
currency = "EUR"

[[period]]
budget = "1000.00"

[[price]]
what = "rows"
amount = "1.00"
"""


def wide(rows: int, seed: int, features: int = 10) -> str:
    """Rows of many numbers, of which the first two tell the label; a linear model has 2 (features + 1) parameters."""
    rng = np.random.default_rng(seed)
    lines = [",".join([*(f"x{k}" for k in range(features)), "y"])]
    for row in rng.normal(size=(rows, features)).tolist():
        label = "yes" if 2 * row[0] - row[1] + 0.3 * rng.normal() > 0 else "no"
        lines.append(",".join([*(f"{number:.4f}" for number in row), label]))
    return "\n".join(lines) + "\n"


def opened(
    folder: Path,
    *,
    protocol: str = "full",
    features: int = 10,
    rounds: int = 3,
    evaluation_rows: int = 0,
    **sections: Any,  # noqa: ANN401 - passed on to `study`
) -> Study:
    """Simulate four organisations.

    Args:
        folder: where its files go.
        protocol: full or sum.
        features: columns.
        rounds: T.
        evaluation_rows: rows of an evaluation file; 0: the organisations' test rows.
        sections: as `tiny.write` takes them.
    """
    files = {name: wide(20 + 8 * seed, seed, features) for seed, name in enumerate(("ash", "birch", "cedar", "elm"))}
    if evaluation_rows:
        (folder / "evaluation.csv").write_text(wide(evaluation_rows, 99, features))
        sections["evaluation"] = {"data": "evaluation.csv"} | sections.get("evaluation", {})
    (folder / "policy.toml").write_text(POLICY)
    training = {"rounds": rounds, "lr": 0.2} | sections.pop("training", {})
    return study(folder, protocol=protocol, files=files, training=training, baselines=ONE_SPLIT, **sections)


def kinds(found: Study) -> Mapping[str, int]:
    """How many records of each kind its ledger has."""
    return Counter(type(record).__name__ for record in records(found))


def records(found: Study) -> list[Record]:
    """What its ledger says."""
    assert found.facts is not None
    facts = (found.facts.founding, *found.facts.rest)
    return [fact.record if isinstance(fact, Signed) else fact for fact in facts]


def verified(found: Study) -> Verification:
    """Write its ledger and have it checked."""
    assert found.facts is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        path.write_bytes(write_ledger(path, found.facts))
        return verify_file(path, Trust())


def file_of(found: Study, folder: Path) -> bytes:
    """The bytes of its ledger's file, made in a folder."""
    assert found.facts is not None
    return write_ledger(folder / "ledger.sqlite", found.facts)
