"""Write the six practices of this example from scikit-learn's diabetes set: always the same bytes.

442 patients in their own units, dealt out at random to six practices of unequal size. `progression` is the measure of
the disease a year later that the set was collected for.

    python examples/prices/prepare.py [FOLDER]
"""

import csv
import io
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

from fedgap.counter import key, permutation

SEED = 2024
PATIENTS = (30, 45, 60, 80, 107, 120)
"""Patients of each practice; together the 442 of the set."""


def write(folder: Path) -> None:
    """Write practice-1.csv to practice-6.csv: ten measurements and the progression."""
    source = load_diabetes(scaled=False)
    order = permutation(key(SEED, "practices"), len(source.target))
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.split(order, np.cumsum(PATIENTS)[:-1]), start=1):
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*source.feature_names, "progression"])
        table.writerows(map(repr, [*source.data[row].tolist(), float(source.target[row])]) for row in rows)
        (folder / f"practice-{number}.csv").write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
