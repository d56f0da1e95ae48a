"""What can be wrong with an organisation's data: one error a fault, each with a stable code and what to do.

A cause names files, columns, lines and counts; never what a cell holds.
"""

from fedgap.learning.task import DataError


class MissingFileError(DataError):
    """There is no such file."""

    code = "data.missing-file"
    remedy = "Correct organisation.data, or put the file there."


class UnreadableFileError(DataError):
    """The file cannot be opened."""

    code = "data.unreadable"
    remedy = "Name a file that this user may read."


class EmptyFileError(DataError):
    """The file has no content."""

    code = "data.empty"
    remedy = "Write the file again; an interrupted export leaves an empty one."


class NoRowsError(DataError):
    """The file has column names and nothing else."""

    code = "data.no-rows"
    remedy = "Write the file again with its rows, or leave this organisation out."


class NotUtf8Error(DataError):
    """The file holds bytes that are no UTF-8 text."""

    code = "data.not-utf8"
    remedy = 'Save it as "CSV UTF-8".'


class NotATableError(DataError):
    """The lines do not make a table."""

    code = "data.not-a-table"
    remedy = "Put cells that hold the delimiter or a line break into double quotes, or correct task.delimiter."


class WrongColumnsError(DataError):
    """The columns are not those that the task names."""

    code = "data.wrong-columns"
    remedy = "Correct the names in the file's first line or in [task]."


class OneColumnError(DataError):
    """No column is left to predict from."""

    code = "data.one-column"
    remedy = "Correct task.delimiter, or add columns to predict from."


class NotANumberError(DataError):
    """A cell of a numeric column holds no number."""

    code = "data.not-a-number"

    def __init__(self, *, file: str, column: str, line: int, remedy: str) -> None:
        super().__init__(f"{file}, line {line}: the cell in column {column} is not a number.", remedy=remedy)


class InfiniteNumberError(DataError):
    """A cell holds an infinite number, or one too large to compute with."""

    code = "data.infinite"
    remedy = "Correct the cell, or leave it empty if there is no value."


class MissingLabelError(DataError):
    """Rows do not say what is to be predicted."""

    code = "data.missing-label"
    remedy = "Fill in the label, or remove these rows from the file."


class UnknownLabelError(DataError):
    """Rows have a label that the task does not name."""

    code = "data.unknown-label"
    remedy = "Correct the label in the file, or add it to task.label_map and task.classes."


class DifferentColumnsError(DataError):
    """Two organisations' files do not have the same columns, or images of the same shape."""

    code = "data.different-columns"
    remedy = "Agree on the columns: list those to use in task.features, or those to ignore in task.drop."


class NothingToLearnError(DataError):
    """All organisations' rows together have the same label."""

    code = "data.one-class"
    remedy = "Check task.label, and the files; a federation needs rows of at least two kinds."


class NotAnArchiveError(DataError):
    """The file is no npz archive of plain arrays."""

    code = "data.not-npz"
    remedy = "Write it with numpy.savez, with arrays of numbers; an interrupted copy must be copied again."


class MissingArrayError(DataError):
    """The archive has no array of this name."""

    code = "data.missing-array"
    remedy = "Correct task.images or task.labels, or the names in the file."


class WrongArrayError(DataError):
    """An array does not have the shape or the type that images or labels have."""

    code = "data.wrong-array"
    remedy = "Images: numbers of shape (n, h, w) or (n, c, h, w), c 1 or 3; labels: integers of shape (n,) or (n, 1)."


class DifferentShapesError(DataError):
    """Two organisations' images do not have the same shape."""

    code = "data.different-shapes"
    remedy = "Bring all images to one size and one number of channels."
