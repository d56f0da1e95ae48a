"""Write the three tiny gardens of this example from scikit-learn's iris: always the same bytes.

20, 30 and 40 flowers, drawn at random from the 150; the other 60 are left out, to keep the gardens tiny.

    python examples/iris/prepare.py [FOLDER]
"""

import csv
import io
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

from fedgap.counter import key, permutation

SEED = 2024
FLOWERS = (20, 30, 40)
COLUMNS = ("sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm", "species")


def write(folder: Path) -> None:
    """Write garden-1.csv to garden-3.csv: four measurements and the species."""
    source = load_iris()
    species = [str(source.target_names[label]) for label in source.target]
    order = permutation(key(SEED, "gardens"), len(species))[: sum(FLOWERS)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.split(order, np.cumsum(FLOWERS)[:-1]), start=1):
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([*map(repr, source.data[row].tolist()), species[row]] for row in rows)
        (folder / f"garden-{number}.csv").write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
