"""Reading an organisation's CSV file: what is understood, and how everything else is refused."""

import csv
import io
import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.config.task import TabularOptions
from fedgap.learning.faults import NotANumberError, WrongColumnsError
from fedgap.learning.table import Table, level, read_table
from fedgap.learning.task import DataError, Kind

PLAIN = TabularOptions(label="y")
MIXED = TabularOptions(label="y", categorical=("c",))


def read(folder: Path, text: str | bytes, options: TabularOptions = PLAIN, kind: Kind = "classification") -> Table:
    """Write a file and read it."""
    path = folder / "clinic.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, options, kind)


def refused(
    folder: Path, text: str | bytes, options: TabularOptions = PLAIN, kind: Kind = "classification"
) -> DataError:
    """Write a file that cannot be used; its error is one line and names the file."""
    with pytest.raises(DataError) as caught:
        read(folder, text, options, kind)
    assert "clinic.csv" in caught.value.cause
    assert "\n" not in caught.value.line()
    assert caught.value.remedy
    return caught.value


def test_columns_become_numbers_and_names(tmp_path: Path) -> None:
    """Numeric cells are float64, categorical ones text, missing ones NaN and None."""
    table = read(tmp_path, "b,c,y\n1.5, red ,yes\n?,NA,no\n-2e3,blue,yes\n", MIXED)

    np.testing.assert_array_equal(np.array([1.5, np.nan, -2000.0]), table.columns["b"].astype(np.float64))
    assert table.columns["c"].tolist() == ["red", None, "blue"]
    assert table.labels().tolist() == ["yes", "no", "yes"]
    assert f"{tmp_path.name}/clinic.csv" == table.source


def test_the_order_of_columns_in_a_file_does_not_matter(tmp_path: Path) -> None:
    """Two organisations may write the same columns in another order."""
    one = read(tmp_path, "a,b,y\n1,2,u\n3,4,v\n")
    other = read(tmp_path, "y,b,a\nu,2,1\nv,4,3\n")

    assert ["a", "b"] == [*one.columns] == [*other.columns]
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_named_features_are_read_in_their_order_and_others_ignored(tmp_path: Path) -> None:
    """What task.features does not name may hold anything, even no name."""
    options = TabularOptions(label="y", features=("b", "a"))

    table = read(tmp_path, ",a,note,b,y\n0,1,patient left,2,u\n1,3,,4,v\n", options)

    assert [*table.columns] == ["b", "a"]


def test_dropped_columns_are_not_read(tmp_path: Path) -> None:
    """An identifier may be text."""
    table = read(tmp_path, "id,a,y\nx7,1,u\nx8,2,v\n", TabularOptions(label="y", drop=("id",)))

    assert [*table.columns] == ["a"]


def test_a_byte_order_mark_quotes_and_windows_lines_are_read(tmp_path: Path) -> None:
    """What spreadsheets write: a mark, CRLF, quoted cells with the delimiter in them, an empty last line."""
    options = TabularOptions(label="y", categorical=("c",), delimiter=";")

    table = read(tmp_path, b'\xef\xbb\xbf"a";c;y\r\n"1";"x;""z""";u\r\n2;w;v\r\n\r\n', options)

    assert table.columns["a"].tolist() == [1.0, 2.0]
    assert table.columns["c"].tolist() == ['x;"z"', "w"]


def test_a_file_without_a_header_is_read_with_the_columns_named(tmp_path: Path) -> None:
    """task.columns names them in order; the first line is a row."""
    options = TabularOptions(label="num", columns=("age", "cp", "num"), categorical=("cp",), missing=("?",))

    table = read(tmp_path, "63.0,1.0,0\n67,?,2\n", options)

    assert table.columns["age"].tolist() == [63.0, 67.0]
    assert table.columns["cp"].tolist() == ["1", None]
    assert table.labels().tolist() == ["0", "2"]


def test_labels_are_mapped_to_classes(tmp_path: Path) -> None:
    """Several labels may be one class, written as whole numbers or as decimals."""
    options = TabularOptions(label="y", label_map={"0": "healthy", "1": "ill", "2": "ill"})

    assert read(tmp_path, "a,y\n1,0\n2,1.0\n3,2\n", options).labels().tolist() == ["healthy", "ill", "ill"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", "3"), ("3.0", "3"), (" 3. ", "3"), ("-1.00", "-1"), ("3.5", "3.5"), ("01234", "01234"), ("1e3", "1e3")],
)
def test_a_whole_number_written_as_a_decimal_is_the_same_level(text: str, expected: str) -> None:
    """3.0 is 3, but a postcode keeps its zero and a long identifier its digits."""
    assert expected == level(text)


def test_large_identifiers_stay_different_levels() -> None:
    """Levels are never rounded."""
    assert level("123456789012345678.0") != level("123456789012345679")


def test_rows_are_taken_by_position(tmp_path: Path) -> None:
    """`take` keeps the given rows in the given order, in every column."""
    table = read(tmp_path, "a,c,y\n1,p,u\n2,q,v\n3,r,w\n", MIXED).take(np.array([2, 0]))

    assert len(table) == 2
    assert (
        table.columns["a"].tolist(),
        table.columns["c"].tolist(),
        table.labels().tolist(),
    ) == ([3.0, 1.0], ["r", "p"], ["w", "u"])


def test_one_row_is_enough_to_read(tmp_path: Path) -> None:
    """Whether one row is enough to learn from is not the reader's business."""
    assert len(read(tmp_path, "a,y\n1,u\n")) == 1


def test_rows_with_a_missing_input_are_left_out_and_counted(tmp_path: Path) -> None:
    """Only with task.drop_missing, and only for inputs that are used."""
    options = TabularOptions(label="y", categorical=("c",), drop=("z",), drop_missing=True)

    table = read(tmp_path, "a,c,z,y\n1,p,,u\n,q,1,v\n3,?,1,w\n4,r,?,u\n", options)

    assert (table.columns["a"].tolist(), table.left_out) == ([1.0, 4.0], 2)


CASES: dict[str, tuple[str | bytes, str, str]] = {
    "an empty file": (b"", "data.empty", "empty"),
    "blank lines only": (b"\n\n \n", "data.empty", "empty"),
    "a mark only": (b"\xef\xbb\xbf", "data.empty", "empty"),
    "a header only": ("a,y\n", "data.no-rows", "no row"),
    "latin-1 text": ("a,y\n1,u\n2,caf\xe9\n".encode("latin-1"), "data.not-utf8", "line 3"),
    "utf-16 text": ("a,y\n1,u\n".encode("utf-16"), "data.not-utf8", "line 1"),
    "a line with too few cells": ("a,b,y\n1,2,u\n1,v\n", "data.not-a-table", "line 3: 2 cells instead of 3"),
    "a line with too many cells": ("a,y\n1,u\n1,2,v\n", "data.not-a-table", "line 3: 3 cells instead of 2"),
    "a quote that never ends": ('a,y\n"1,u\n2,v\n', "data.not-a-table", "quotes"),
    "text after a quote": ('a,y\n"1"2,u\n', "data.not-a-table", "line 2"),
    "one column": ("y\nu\nv\n", "data.one-column", "single column"),
    "no column but the label": ("y,y2\nu,1\n", "data.one-column", "task.drop"),
    "the wrong delimiter": ("a;y\n1;u\n", "data.one-column", "single column"),
    "no label column": ("a,Y\n1,u\n", "data.wrong-columns", "no column y"),
    "a duplicated header": ("a,a,y\n1,2,u\n", "data.wrong-columns", "more than one column a"),
    "a column without a name": ("a,,y\n1,2,u\n", "data.wrong-columns", "number 2"),
    "no header": ("17.5,2,u\n3,4,v\n", "data.wrong-columns", "begins with numbers"),
    "text in a numeric column": ("a,y\n1,u\nsecret,v\n", "data.not-a-number", "line 3: the cell in column a"),
    "a decimal comma": ('a,y\n"1,5",u\n', "data.not-a-number", "line 2"),
    "an underscore in a number": ("a,y\n1_000,u\n", "data.not-a-number", "line 2"),
    "NaN that is not declared missing": ("a,y\nNAN,u\n", "data.not-a-number", "line 2"),
    "an infinite number": ("a,y\n1,u\n-inf,v\n", "data.infinite", "line 3"),
    "a number beyond float64": ("a,y\n1e999,u\n", "data.infinite", "line 2"),
    "a number that overflows when squared": ("a,y\n1e200,u\n", "data.infinite", "line 2"),
    "missing labels": ("a,y\n1,u\n2,\n3,NaN\n", "data.missing-label", "2 of 3 rows have no label"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_used_is_refused_with_where_and_why(case: str, tmp_path: Path) -> None:
    """Each fault has its code, and its cause says in which line or column."""
    text, code, cause = CASES[case]
    options = TabularOptions(label="y", drop=("y2",)) if "y2" in str(text) else PLAIN

    error = refused(tmp_path, text, options)

    assert code == error.code
    assert cause in error.cause


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("inf", "data.infinite"),
        ("high", "data.not-a-number"),
        ("nan", "data.missing-label"),
        ("NAN", "data.not-a-number"),
    ],
)
def test_a_regressions_label_must_be_a_finite_number(cell: str, code: str, tmp_path: Path) -> None:
    """No NaN or infinity reaches a loss."""
    assert code == refused(tmp_path, f"a,y\n1,2\n2,{cell}\n", PLAIN, "regression").code


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not found is told apart from not readable."""
    with pytest.raises(DataError, match=r"There is no file .*nowhere\.csv") as caught:
        read_table(tmp_path / "nowhere.csv", PLAIN, "classification")
    assert caught.value.code == "data.missing-file"


def test_a_folder_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Nobody waits for what a pipe may bring one day."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DataError, match="and no file") as caught:
            read_table(path, PLAIN, "classification")
        assert caught.value.code == "data.unreadable"


def test_what_the_system_says_is_passed_on(tmp_path: Path) -> None:
    """A file that leads to itself is there and cannot be opened, by nobody."""
    (tmp_path / "round.csv").symlink_to("round.csv")
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_table(tmp_path / "round.csv", PLAIN, "classification")
    assert caught.value.code == "data.unreadable"


def test_the_remedy_fits_a_table_from_a_country_with_decimal_commas(tmp_path: Path) -> None:
    """There, tables are written with semicolons, and a number is no name of a category."""
    assert refused(tmp_path, "a;y\n1,5;u\n", PLAIN).remedy == 'Write delimiter = ";" into [task].'
    told = refused(tmp_path, "a;y\n1,5;u\n", TabularOptions(label="y", delimiter=";")).remedy
    assert told == "Write the numbers of this file with a decimal point instead of a comma."
    assert "task.categorical" in refused(tmp_path, "a,y\nhigh,u\n", PLAIN).remedy


def test_a_table_is_named_by_its_folder_and_name_as_far_as_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ash.csv").write_text("a,y\n1,u\n")
    monkeypatch.chdir(tmp_path)

    assert read_table(Path("ash.csv"), PLAIN, "classification").source == "ash.csv"
    assert read_table(tmp_path / "ash.csv", PLAIN, "classification").source == f"{tmp_path.name}/ash.csv"


def test_a_misspelt_column_is_suggested(tmp_path: Path) -> None:
    """The nearest name of the file is shown, and no other."""
    with pytest.raises(WrongColumnsError, match=r"no column diagnosed\. Did you mean diagnosis\?"):
        read(tmp_path, "age,diagnosis\n1,u\n", TabularOptions(label="diagnosed"))


def test_every_missing_column_is_named(tmp_path: Path) -> None:
    """Label, features, dropped and categorical columns must all be there: a misspelt drop would be an input."""
    options = TabularOptions(label="y", drop=("patient",), categorical=("ward",))

    assert "no column patient, ward" in refused(tmp_path, "a,y\n1,u\n", options).cause


def test_no_rows_without_a_missing_input_is_refused(tmp_path: Path) -> None:
    """task.drop_missing must leave something."""
    options = TabularOptions(label="y", drop_missing=True)

    assert refused(tmp_path, "a,y\n?,u\n,v\n", options).code == "data.no-rows"


@pytest.mark.parametrize("options", [{"label_map": {"u": "x", "v": "y"}}, {"classes": ("u", "v")}])
def test_a_label_that_the_task_does_not_name_is_refused(options: dict[str, object], tmp_path: Path) -> None:
    """With classes or a label map, anything else is a mistake and not one more class."""
    error = refused(tmp_path, "a,y\n1,u\n2,secret\n3,v\n", TabularOptions.model_validate({"label": "y", **options}))

    assert error.code == "data.unknown-label"
    assert "1 of 3" in error.cause
    assert "line 3" in error.cause


@given(secret=st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=8, max_size=12))
@settings(deadline=None, max_examples=30)
def test_no_error_shows_a_cell(secret: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A row is private: not in a bad cell, not in a first line taken for a header."""
    folder = tmp_path_factory.mktemp("private")
    texts = [f"a,y\n{secret},u\n", f"a,y\n1,{secret}\n", f"{secret},3.5,2\n{secret},1,1\n"]
    options = [PLAIN, TabularOptions(label="y", classes=("u", "v")), PLAIN]
    for text, chosen in zip(texts, options, strict=True):
        assert secret not in refused(folder, text, chosen).line()


def test_a_wrong_number_tells_what_to_configure(tmp_path: Path) -> None:
    """Both remedies are named: a categorical column, or a text for missing."""
    with pytest.raises(NotANumberError) as caught:
        read(tmp_path, "a,y\nlow,u\n")
    assert re.search(r"task\.categorical.*task\.missing", caught.value.remedy)


cells = st.floats(-1e99, 1e99) | st.none()


@given(rows=st.lists(st.tuples(cells, st.text(max_size=5) | st.none(), st.sampled_from("uv")), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read(
    rows: list[tuple[float | None, str | None, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any number and any text survive a CSV file; missing stays missing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["a", "c", "y"])
    writer.writerows(("" if a is None else repr(a), "" if c is None else c, y) for a, c, y in rows)

    table = read(tmp_path_factory.mktemp("any"), text.getvalue(), MIXED)

    missing = MIXED.missing
    np.testing.assert_array_equal([np.nan if a is None else a for a, _c, _y in rows], table.columns["a"])
    assert [None if c is None or c.strip() in missing else level(c) for _a, c, _y in rows] == table.columns[
        "c"
    ].tolist()


@given(content=st.binary(max_size=80))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing but a table or a DataError comes out of a file."""
    for body in (content, b"a,y\n" + content):
        with suppress(DataError):
            assert len(read(tmp_path_factory.mktemp("bytes"), body)) >= 1
