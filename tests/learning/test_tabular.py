"""Tables become inputs: scaled by everyone's, one's own or given statistics, and always finite."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.config.task import TabularOptions
from fedgap.learning.moments import Numbers
from fedgap.learning.rows import Rows
from fedgap.learning.table import Table
from fedgap.learning.table_statistics import TableStatistics
from fedgap.learning.tabular import TabularTask
from fedgap.learning.task import DataError, Kind

CLASSES = TabularOptions(label="y", categorical=("c",))
REGRESSION = TabularOptions(label="y")


def task(options: TabularOptions = CLASSES, kind: Kind = "classification", **changed: Any) -> TabularTask:  # noqa: ANN401 - any option of the task
    """Make a task, with some options changed."""
    return TabularTask(TabularOptions.model_validate({**options.model_dump(exclude_unset=True), **changed}), kind)


def table(label: str, name: str = "data/x.csv", /, **columns: Sequence[float] | Sequence[str | None]) -> Table:
    """Make rows: a column named `c` is categorical; the label is one letter a row."""
    kept = {key: np.array(cells, dtype=object if key == "c" else np.float64) for key, cells in sorted(columns.items())}
    return Table(name, kept, np.array([*label], dtype=np.str_))


def targets(values: list[float], **columns: list[float]) -> Table:
    """Make rows of a regression."""
    return Table("data/x.csv", {key: np.array(cells) for key, cells in columns.items()}, np.array(values))


def merged(made: TabularTask, *tables: Table) -> TableStatistics:
    """Everyone's statistics."""
    return made.merge([made.statistics(one) for one in tables])


def prepared(made: TabularTask, data: Table, *everyone: Table) -> Rows:
    """Prepare rows with everyone's and, as their own, their statistics."""
    return made.prepare(data, merged(made, *(everyone or (data,))), made.statistics(data))


ONE = table("uv", a=[1.0, 3.0], c=["p", "q"])
TWO = table("vw", a=[5.0, 7.0], c=["q", "r"])


def test_federated_statistics_scale_as_if_rows_were_pooled() -> None:
    """Each organisation's rows come out as they would from one big table."""
    made = task()
    whole = prepared(made, table("uvvw", a=[1.0, 3.0, 5.0, 7.0], c=["p", "q", "q", "r"]))

    parts = [prepared(made, one, ONE, TWO) for one in (ONE, TWO)]

    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), whole.x)
    assert np.concatenate([part.y for part in parts]).tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(whole.x[:, 0], np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)


def test_local_statistics_scale_by_the_organisations_own_rows() -> None:
    """Mean 0 and deviation 1 at each; levels and classes are still everyone's."""
    rows = prepared(task(statistics="local"), TWO, ONE, TWO)

    assert rows.x.tolist() == [[-1, 0, 1, 0], [1, 0, 0, 1]]
    assert rows.y.tolist() == [1, 2]


def test_given_statistics_are_used_as_given() -> None:
    """Nothing of the data enters the scaling."""
    rows = prepared(task(statistics="given", given={"a": (1.0, 4.0)}), ONE, ONE, TWO)

    assert rows.x[:, 0].tolist() == [0.0, 0.5]


def test_an_organisation_alone_scales_by_itself_and_knows_everyones_classes() -> None:
    """What "alone" is compared with must have the same inputs and outputs."""
    made = task()
    shared, own = merged(made, ONE, TWO), made.statistics(TWO)

    rows = made.prepare(TWO, made.alone(shared, own), own)

    assert rows.x.tolist() == [[-1, 0, 1, 0], [1, 0, 0, 1]]
    assert rows.y.tolist() == [1, 2]


def test_missing_cells_become_zero_and_are_counted() -> None:
    """A missing number is the mean, a missing name no level."""
    made, data = task(), table("uv", a=[np.nan, 3.0], c=[None, "q"])
    shared = merged(made, ONE, TWO)

    rows = made.prepare(data, shared, made.statistics(data))
    notes = made.notes(data, shared, made.statistics(data))

    assert rows.x[0].tolist() == [0, 0, 0, 0]
    assert "1 missing numbers count as the mean: a (1)." in notes
    assert "1 missing names count as no level: c (1)." in notes


def test_a_level_that_no_training_row_has_becomes_zero_and_is_counted() -> None:
    """Test rows may hold anything; the note counts and does not show the cell."""
    made, test = task(), table("uv", a=[1.0, 1.0], c=["secret", "p"])
    shared, own = merged(made, ONE, TWO), made.statistics(ONE)

    rows = made.prepare(test, shared, own)

    assert rows.x[:, 1:].tolist() == [[0, 0, 0], [1, 0, 0]]
    notes = made.notes(test, shared, own)
    assert "1 names without an input of their own count as no level: c (1)." in notes
    assert "secret" not in " ".join(notes)


def test_levels_that_are_given_decide_the_inputs() -> None:
    """Given p and z, q and r have no input; 1.0 is the level 1."""
    assert prepared(task(levels={"c": ("z", "p")}), ONE, ONE, TWO).x[:, 1:].tolist() == [[0, 1], [0, 0]]
    data = table("uv", a=[1.0, 2.0], c=["1", "2"])
    assert prepared(task(levels={"c": ("2.0", "1.0")}), data).x[:, 1:].tolist() == [[0, 1], [1, 0]]


def test_classes_that_are_given_keep_their_order() -> None:
    """The second class named is number 1, whatever the data hold."""
    made = task(classes=("w", "v", "u"))

    assert prepared(made, ONE, ONE, TWO).y.tolist() == [2, 1]
    assert made.describe(merged(made, ONE, TWO), made.statistics(ONE))["classes"] == ["w", "v", "u"]


def test_a_class_in_test_rows_that_nobody_trained_on_is_always_wrong_and_noted() -> None:
    """It has the number -1, which no model answers."""
    made, test = task(), table("ux", a=[1.0, 1.0], c=["p", "p"])
    shared = merged(made, ONE, TWO)

    assert made.prepare(test, shared, made.statistics(ONE)).y.tolist() == [0, -1]
    assert "1 rows have a class that no training row has; any answer on them is wrong." in made.notes(
        test, shared, made.statistics(ONE)
    )


def test_a_class_missing_at_an_organisation_is_noted() -> None:
    """It is no error: others have it."""
    made = task()

    assert "No training row here has the class w." in made.notes(ONE, merged(made, ONE, TWO), made.statistics(ONE))


def test_one_class_over_all_organisations_is_refused() -> None:
    """There is nothing to learn; a single organisation with one class is fine."""
    made = task()
    same = table("uu", a=[1.0, 2.0], c=["p", "q"])

    with pytest.raises(DataError, match="All 4 training rows of all organisations have the same class") as caught:
        merged(made, same, same)
    assert caught.value.code == "data.one-class"
    assert merged(made, same).classes == ("u",)
    assert merged(made, same, ONE).classes == ("u", "v")


def test_one_target_over_all_organisations_is_refused() -> None:
    """The same for a regression, whose score would divide by zero."""
    made = task(REGRESSION, "regression")

    with pytest.raises(DataError, match="the same target"):
        merged(made, targets([0.1, 0.1], a=[1.0, 2.0]), targets([0.1], a=[3.0]))


def test_other_columns_at_an_organisation_are_named() -> None:
    """Both directions, with the file; listing features would avoid it."""
    made = task()
    other = table("uv", "data/y.csv", b=[1.0, 2.0], c=["p", "q"])

    with pytest.raises(DataError, match=r"data/y\.csv lacks a and has b besides; data/x\.csv differs") as caught:
        merged(made, ONE, other)
    assert caught.value.code == "data.different-columns"
    assert "task.features" in caught.value.remedy


@pytest.mark.parametrize("statistics", ["federated", "local"])
def test_a_constant_column_becomes_zero_and_is_noted(statistics: str) -> None:
    """It is divided by one, not by a deviation of zero or of rounding."""
    made = task(statistics=statistics)
    data = table("uv", a=[0.1, 0.1], b=[1.0, 2.0], c=["p", "q"])

    rows = prepared(made, data)

    assert rows.x[:, 0].tolist() == [0, 0]
    assert "The same number in every training row: a." in made.notes(data, merged(made, data), made.statistics(data))


@pytest.mark.parametrize("statistics", ["federated", "local"])
def test_one_row_is_prepared_to_finite_numbers(statistics: str) -> None:
    """Every column is constant then; nothing is divided by zero."""
    data = table("u", a=[4.0], c=["p"])

    rows = prepared(task(statistics=statistics), data)

    assert (rows.x.tolist(), rows.y.tolist()) == ([[0, 1]], [0])


def test_more_inputs_than_rows_is_noted() -> None:
    """It is allowed: that is what data-poor means."""
    made = task()

    assert "4 inputs and 2 training rows: more inputs than rows." in made.notes(
        ONE, merged(made, ONE, TWO), made.statistics(ONE)
    )


def test_rows_without_surprises_have_no_notes() -> None:
    """Notes are for what is unusual."""
    made, data = task(REGRESSION), table("uvuv", a=[1.0, 2.0, 3.0, 4.0])

    assert made.notes(data, merged(made, data), made.statistics(data)) == []


def test_rows_that_were_left_out_are_noted(tmp_path: Path) -> None:
    """How many task.drop_missing left out."""
    path = tmp_path / "x.csv"
    path.write_text("a,y\n1,u\n,v\n3,v\n")
    made = task(REGRESSION, drop_missing=True)
    data = made.load(path)

    assert "1 rows with a missing input are left out." in made.notes(data, merged(made, data), made.statistics(data))


def test_a_long_list_of_columns_is_cut_in_a_note() -> None:
    """A note stays a sentence with hundreds of columns."""
    made = task(REGRESSION)
    data = table("uv", **{f"x{number}": [1.0, 1.0] for number in range(9)})

    assert "The same number in every training row: x0, x1, x2, x3, x4 and 4 more." in made.notes(
        data, merged(made, data), made.statistics(data)
    )


def test_a_column_without_any_value_becomes_zero() -> None:
    """At one organisation or everywhere, scaled by its own statistics or by everyone's."""
    empty = table("uv", a=[np.nan, np.nan], c=["p", "q"])

    for statistics in ("federated", "local"):
        assert prepared(task(statistics=statistics), empty, ONE, empty).x[:, 0].tolist() == [0, 0]
    assert prepared(task(), empty, empty).x[:, 0].tolist() == [0, 0]


def test_no_input_at_all_is_refused() -> None:
    """Only categorical columns, and every cell missing."""
    with pytest.raises(DataError, match="every cell to predict from is missing"):
        prepared(task(), table("uv", c=[None, None]))


def test_a_number_too_large_for_the_model_is_refused() -> None:
    """With given statistics, a cell may overflow the model's float32; the column is named."""
    with pytest.raises(DataError, match="in column a is too large") as caught:
        prepared(task(REGRESSION, statistics="given", given={"a": (0.0, 1e-30)}), table("uv", a=[1.0, 1e10]))
    assert caught.value.code == "data.infinite"


def test_a_label_beyond_every_sensible_number_is_refused() -> None:
    """In a test row it can be any number of deviations away; its square would not fit where scores are kept."""
    made = task(REGRESSION, "regression")
    known = made.statistics(targets([1.0, 2.0], a=[1.0, 2.0]))
    for label in (1e20, -1e99):
        with pytest.raises(DataError, match="a label is too large once it is scaled") as caught:
            made.prepare(targets([label], a=[1.0]), known, known)
        assert caught.value.code == "data.infinite"


def test_a_numeric_column_without_given_statistics_is_refused(tmp_path: Path) -> None:
    """Every column must be given, or none."""
    path = tmp_path / "x.csv"
    path.write_text("a,b,y\n1,2,u\n")

    with pytest.raises(DataError, match=r"no mean and standard deviation for b"):
        task(REGRESSION, statistics="given", given={"a": (0.0, 1.0)}).load(path)


def test_targets_are_standardised_and_can_be_turned_back() -> None:
    """The prediction times scale plus mean is the target again, with everyone's statistics or one's own."""
    one, two = targets([10.0, 20.0], a=[1.0, 2.0]), targets([30.0, 60.0, 90.0], a=[3.0, 4.0, 5.0])
    for statistics in ("federated", "local"):
        made = task(REGRESSION, "regression", statistics=statistics)
        shared, own = merged(made, one, two), made.statistics(two)

        rows = made.prepare(two, shared, own)
        mean, scale = made.target_scale(shared, own)

        assert rows.y.dtype == np.float32
        np.testing.assert_allclose(rows.y.astype(np.float64) * scale + mean, two.label.astype(np.float64), rtol=1e-6)
        assert mean == pytest.approx(42.0 if statistics == "federated" else 60.0)


def test_a_constant_target_at_one_organisation_is_fine() -> None:
    """Its own scale is then one."""
    made = task(REGRESSION, "regression", statistics="local")
    flat, varied = targets([5.0, 5.0], a=[1.0, 2.0]), targets([1.0, 2.0], a=[1.0, 2.0])

    assert made.target_scale(merged(made, flat, varied), made.statistics(flat)) == (5.0, 1.0)
    assert prepared(made, flat, flat, varied).y.tolist() == [0, 0]


def test_a_description_is_plain_json() -> None:
    """It is kept with the trained model."""
    made = task()
    described = made.describe(merged(made, ONE, TWO), made.statistics(ONE))

    assert json.loads(json.dumps(described, allow_nan=False)) == {
        "columns": ["a", "c"],
        "means": {"a": 4.0},
        "sds": {"a": 5**0.5},
        "levels": {"c": ["p", "q", "r"]},
        "classes": ["u", "v", "w"],
    }
    regression = task(REGRESSION, "regression")
    data = targets([1.0, 3.0], a=[1.0, 2.0])
    assert regression.describe(merged(regression, data), regression.statistics(data))["target"] == {
        "mean": 2.0,
        "sd": 1.0,
    }


def test_what_another_task_loaded_is_refused() -> None:
    """A programming mistake, not a fault of the data."""
    with pytest.raises(TypeError, match="not Rows"):
        task().statistics(Rows(np.zeros((1, 1), np.float32), np.zeros(1, np.int64)))


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_the_model_fits_the_rows(model: str) -> None:
    """One output a class, or one target; inputs as prepared."""
    torch = pytest.importorskip("torch")
    rows = prepared(task(), table("uvw", a=[1.0, 2.0, 3.0], c=["p", "q", "p"]))
    assert task(model=model).model(rows)(torch.from_numpy(rows.x)).shape == (3, 3)
    assert task(model=model, classes=("u", "v", "w", "x")).model(rows)(torch.from_numpy(rows.x)).shape == (3, 4)

    made = task(REGRESSION, "regression", model=model)
    rows = prepared(made, targets([1.0, 3.0], a=[1.0, 2.0]))
    assert made.model(rows)(torch.from_numpy(rows.x)).shape == (2, 1)


cells = st.floats(-1e100, 1e100) | st.just(np.nan) | st.sampled_from([0.0, 1.0, 1e9, 5e-324])


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    numbers=st.lists(cells, min_size=20, max_size=20),
    names=st.lists(st.sampled_from([None, "p", "q", "r"]), min_size=20, max_size=20),
    statistics=st.sampled_from(["federated", "local"]),
)
@settings(deadline=None)
def test_prepared_rows_are_always_finite(
    sizes: list[int], numbers: list[float], names: list[str | None], statistics: str
) -> None:
    """Whatever numbers a file may hold, scaled training rows are float32 and finite."""
    made = task(statistics=statistics)
    tables, first = [], 0
    for size in sizes:
        rows = slice(first, first + size)
        tables.append(table("uvuvu"[:size], a=numbers[rows], c=names[rows]))
        first += size
    shared = made.merge(
        [made.statistics(tables[0]), *(made.statistics(one) for one in tables[1:]), made.statistics(ONE)]
    )
    for one in tables:
        rows_ready = made.prepare(one, shared, made.statistics(one))
        assert rows_ready.x.dtype == np.float32
        assert np.isfinite(rows_ready.x).all()


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 19))
@settings(deadline=None, max_examples=40)
def test_however_rows_are_dealt_out_they_are_prepared_alike(seed: int, cut: int) -> None:
    """Federated preparation does not depend on who has which row."""
    made = task(REGRESSION)
    values: Numbers = np.random.default_rng(seed).normal(1e6, 1.0, size=20)
    whole = table("uv" * 10, a=values.tolist())
    index = np.arange(20)

    together = prepared(made, whole)
    parts = [whole.take(index[:cut]), whole.take(index[cut:])]
    apart = np.concatenate([prepared(made, part, *parts).x for part in parts])

    np.testing.assert_allclose(apart, together.x, rtol=1e-6, atol=1e-7)
