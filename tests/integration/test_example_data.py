"""The examples' data are what their `prepare.py` writes, byte for byte, and the built-in tasks can use them."""

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from fedgap.config.task import ImageOptions, TabularOptions
from fedgap.learning.images import ImageTask
from fedgap.learning.table import Table
from fedgap.learning.tabular import TabularTask
from fedgap.learning.task import Kind, Task

EXAMPLES = Path(__file__).parents[2] / "examples"

SIZES = {
    "clinics": [20, 23, 30, 40, 40, 80, 133, 200],
    "digits": [150] * 9 + [149] * 3,
    "iris": [20, 30, 40],
    "prices": [30, 45, 60, 80, 107, 120],
}


def script(example: str) -> ModuleType:
    """Load an example's `prepare.py`."""
    spec = importlib.util.spec_from_file_location(f"prepare_{example}", EXAMPLES / example / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(example: str) -> list[Path]:
    """List an example's committed files; those of the funded clinics stand in a folder of their own."""
    return sorted(file for file in (EXAMPLES / example / "data").iterdir() if file.is_file())


def tables(example: str, label: str, kind: Kind = "classification") -> list[Table]:
    """Load an example's tables."""
    task = TabularTask(TabularOptions(label=label), kind)
    return [task.load(file) for file in files(example)]


def task_of(example: str) -> Task:
    """Make the task that an example's data are for."""
    if example == "digits":
        return ImageTask(ImageOptions(scale=16.0))
    label = {"clinics": "diagnosis", "iris": "species", "prices": "progression"}[example]
    return TabularTask(TabularOptions(label=label), "regression" if example == "prices" else "classification")


@pytest.mark.parametrize("example", SIZES)
def test_the_data_are_what_prepare_writes(example: str, tmp_path: Path) -> None:
    """Run again, each `prepare.py` writes the committed files and no other, byte for byte."""
    script(example).write(tmp_path / "data")

    written, committed = (
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.csv")}
        for folder in (tmp_path / "data", EXAMPLES / example / "data")
    )
    assert written == committed


@pytest.mark.parametrize("example", SIZES)
def test_the_built_in_task_prepares_them(example: str) -> None:
    """Every organisation has the rows it should, finite inputs and, with federated scaling, mean 0 over all."""
    task = task_of(example)
    data = [task.load(file) for file in files(example)]
    own = [task.statistics(one) for one in data]
    shared = task.merge(own)

    ready = [task.prepare(one, shared, its) for one, its in zip(data, own, strict=True)]

    assert [len(rows) for rows in ready] == SIZES[example]
    x = np.concatenate([rows.x.reshape(len(rows), -1) for rows in ready])
    assert np.isfinite(x).all()
    if example != "digits":
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-4)


def test_no_patient_is_in_two_clinics_and_every_clinic_sees_both_diagnoses() -> None:
    """566 of the 569 patients, each once, unchanged; at least five of either diagnosis in a clinic."""
    clinics = tables("clinics", "diagnosis")
    source = load_breast_cancer()
    columns = [*clinics[0].columns]
    there = sorted(range(30), key=lambda number: source.feature_names[number].replace(" ", "_"))

    rows = Counter(
        (*(float(clinic.columns[name][row]) for name in columns), str(clinic.label[row]))
        for clinic in clinics
        for row in range(len(clinic))
    )
    known = Counter(
        (*source.data[row, there].tolist(), str(source.target_names[source.target[row]])) for row in range(569)
    )

    assert rows.total() == 566
    assert not rows - known
    for clinic in clinics:
        assert min(Counter(clinic.labels().tolist()).values()) >= 5
        assert len(set(clinic.labels().tolist())) == 2


def test_clinics_see_tumours_of_different_sizes() -> None:
    """The clinic at the highest quantile has clearly larger tumours than the one at the lowest."""
    prepare = script("clinics")
    radius = [float(np.mean(clinic.columns["mean_radius"].astype(float))) for clinic in tables("clinics", "diagnosis")]
    centre = [quantile for _number, _rows, quantile in prepare.CLINICS]

    assert radius[centre.index(max(centre))] > 1.25 * radius[centre.index(min(centre))]


def test_every_digit_is_in_one_school() -> None:
    """All 1,797 images, dealt out at random: every school has every digit."""
    task = ImageTask(ImageOptions(scale=16.0))
    schools = [task.load(file) for file in files("digits")]
    source = load_digits()

    dealt = Counter(
        (school.pixels[row].tobytes(), int(school.classes[row])) for school in schools for row in range(len(school))
    )

    assert dealt == Counter(
        (image.astype(np.uint8).tobytes(), int(label))
        for image, label in zip(source.images, source.target, strict=True)
    )
    assert {len(set(school.classes.tolist())) for school in schools} == {10}


def test_every_patient_is_in_one_practice() -> None:
    """All 442 progressions of the source, in its own units."""
    practices = tables("prices", "progression", "regression")

    values = sorted(value for practice in practices for value in practice.label.tolist())
    assert values == sorted(load_diabetes(scaled=False).target.tolist())


def test_every_garden_has_every_species() -> None:
    """Tiny, and yet nobody lacks a class."""
    assert [len(set(garden.label.tolist())) for garden in tables("iris", "species")] == [3, 3, 3]
