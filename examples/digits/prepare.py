"""Write the twelve schools of this example from scikit-learn's digits: always the same bytes.

1,797 images of 8 x 8 pixels with values 0 to 16, dealt out at random, so that every school has the same mixture of
digits and only too few of them.

    python examples/digits/prepare.py [FOLDER]
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fedgap.counter import key, permutation

SEED = 2024
SCHOOLS = 12


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays as `np.savez` does, but without the time of day and without a compressor's version in the bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, wherever this runs
            body = io.BytesIO()
            np.save(body, array, allow_pickle=False)
            archive.writestr(entry, body.getvalue())
    return content.getvalue()


def write(folder: Path) -> None:
    """Write school-01.npz to school-12.npz: `images` uint8 (n, 8, 8) and `labels` uint8 (n,)."""
    source = load_digits()
    images, labels = source.images.astype(np.uint8), source.target.astype(np.uint8)
    order = permutation(key(SEED, "schools"), len(labels))
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.array_split(order, SCHOOLS), start=1):
        content = packed({"images": images[rows], "labels": labels[rows]})
        (folder / f"school-{number:02}.npz").write_bytes(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
