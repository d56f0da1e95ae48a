"""Write the eight clinics of this example from scikit-learn's breast cancer set: always the same bytes.

Each clinic sees tumours of its own size range. It stands at a quantile of the mean radius and draws rows with a
probability that falls with their distance from it (in quantile ranks), the smallest clinic first. The 569 rows have
room for 566.

    python examples/clinics/prepare.py [FOLDER]
"""

import csv
import io
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from fedgap.counter import key, uniform

SEED = 2024
WIDTH = 0.24
"""Distance in quantile ranks at which a row is drawn e**0.5 times less often than at the centre."""

CLINICS = ((20, 0.82), (23, 0.30), (30, 0.72), (40, 0.35), (40, 0.85), (80, 0.60), (133, 0.40), (200, 0.50))
"""Rows of each clinic and the quantile of the mean radius at which it stands."""


def partition(radius: np.ndarray) -> list[np.ndarray]:
    """Deal the rows out to the clinics.

    Args:
        radius: mean radius of each tumour, shape (n,).

    Returns:
        For each clinic the positions of its rows, in the order of the source; no row twice.
    """
    rank = np.argsort(np.argsort(radius, kind="stable"), kind="stable") / (len(radius) - 1)
    free = np.ones(len(radius), dtype=bool)
    dealt = []
    for number, (rows, centre) in enumerate(CLINICS, start=1):
        weight = np.exp(-0.5 * ((rank - centre) / WIDTH) ** 2)
        # Rows arrive after exponential times at rates `weight`; the clinic takes the first to arrive.
        waiting = -np.log1p(-uniform(key(SEED, "clinic", number), len(radius))) / weight
        chosen = np.sort(np.argsort(np.where(free, waiting, np.inf), kind="stable")[:rows])
        free[chosen] = False
        dealt.append(chosen)
    return dealt


def write(folder: Path) -> None:
    """Write clinic-1.csv to clinic-8.csv: 30 features and the diagnosis."""
    source = load_breast_cancer()
    columns = [name.replace(" ", "_") for name in source.feature_names]
    diagnoses = [str(source.target_names[label]) for label in source.target]
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(partition(source.data[:, columns.index("mean_radius")]), start=1):
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*columns, "diagnosis"])
        table.writerows([*map(repr, source.data[row].tolist()), diagnoses[row]] for row in rows)
        (folder / f"clinic-{number}.csv").write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
