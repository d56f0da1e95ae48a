"""Write the clinics of this example from scikit-learn's breast cancer set: always the same bytes.

Each clinic sees tumours of its own size range. It stands at a quantile of the mean radius and draws rows with a
probability that falls with their distance from it (in quantile ranks), the smallest clinic first. The 569 rows have
room for 566.

The funded federation needs evaluation rows that nobody trains on: 120 of the 569, drawn evenly before anything else, go
to funded/evaluation.csv; its clinics share the other 449 in the same way. One of its clinics copies another's rows and
so has no file.

    python examples/clinics/prepare.py [FOLDER]
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

from fedgap.counter import key, permutation, uniform

SEED = 2024
WIDTH = 0.24
"""Distance in quantile ranks at which a row is drawn e**0.5 times less often than at the centre."""

Clinics = Sequence[tuple[int, int, float]]
"""Number, rows, and the quantile of the mean radius at which it stands."""

CLINICS: Clinics = (
    (1, 20, 0.82),
    (2, 23, 0.30),
    (3, 30, 0.72),
    (4, 40, 0.35),
    (5, 40, 0.85),
    (6, 80, 0.60),
    (7, 133, 0.40),
    (8, 200, 0.50),
)
FUNDED: Clinics = (
    (1, 30, 0.82),
    (2, 40, 0.30),
    (4, 40, 0.35),
    (6, 50, 0.60),
    (3, 60, 0.72),
    (7, 89, 0.40),
    (8, 140, 0.50),
)
EVALUATION = 120


def partition(radius: np.ndarray, clinics: Clinics, free: np.ndarray, stream: str) -> list[np.ndarray]:
    """Deal rows out to clinics.

    Args:
        radius: mean radius of each tumour, shape (n,).
        clinics: smallest first.
        free: which rows may be dealt, shape (n,).
        stream: names the random numbers.

    Returns:
        For each clinic the positions of its rows, in the order of the source; no row twice.
    """
    rank = np.argsort(np.argsort(radius, kind="stable"), kind="stable") / (len(radius) - 1)
    free = free.copy()
    dealt = []
    for number, rows, centre in clinics:
        weight = np.exp(-0.5 * ((rank - centre) / WIDTH) ** 2)
        # Rows arrive after exponential times at rates `weight`; the clinic takes the first to arrive.
        waiting = -np.log1p(-uniform(key(SEED, stream, number), len(radius))) / weight
        chosen = np.sort(np.argsort(np.where(free, waiting, np.inf), kind="stable")[:rows])
        free[chosen] = False
        dealt.append(chosen)
    return dealt


def write(folder: Path) -> None:
    """Write clinic-1.csv to clinic-8.csv and the files of the funded federation: 30 features and the diagnosis."""
    source = load_breast_cancer()
    radius = source.data[:, [name.replace(" ", "_") for name in source.feature_names].index("mean_radius")]
    everything = np.ones(len(radius), dtype=bool)
    for (number, _, _), rows in zip(CLINICS, partition(radius, CLINICS, everything, "clinic"), strict=True):
        write_rows(folder / f"clinic-{number}.csv", source, rows)
    evaluation = np.sort(permutation(key(SEED, "evaluation"), len(radius))[:EVALUATION])
    write_rows(folder / "funded" / "evaluation.csv", source, evaluation)
    everything[evaluation] = False
    for (number, _, _), rows in zip(FUNDED, partition(radius, FUNDED, everything, "funded"), strict=True):
        write_rows(folder / "funded" / f"clinic-{number}.csv", source, rows)


def write_rows(path: Path, source: Any, rows: np.ndarray) -> None:  # noqa: ANN401 - scikit-learn's Bunch
    """Write some rows of the source as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*(name.replace(" ", "_") for name in source.feature_names), "diagnosis"])
    names = [str(source.target_names[label]) for label in source.target]
    table.writerows([*map(repr, source.data[row].tolist()), names[row]] for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
