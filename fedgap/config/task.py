"""The `[task]` section: what the columns or images mean, and which model learns from them.

The two built-in kinds of task have their options here; the options of a task of your own are passed on as they are.
"""

from collections.abc import Iterator, Mapping
from keyword import iskeyword
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field

from fedgap.config.section import Frozen, FrozenMapping, Problem, Section, Text, key_path

Width = Annotated[int, Field(ge=1)]
Deviation = Annotated[float, Field(gt=0)]
Statistics = Literal["federated", "local", "given"]
MOST_HIDDEN, DEFAULT_HIDDEN = 64, (32,)
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null")

_STATISTICS = (
    "whose mean and standard deviation scale the inputs: all organisations' together, each its own, or those written "
    "here"
)
_DROPOUT = "share of hidden units left out in each training step"


class TabularOptions(Section):
    """Options of `tabular-classification` and `tabular-regression`: one CSV file for each organisation."""

    label: Text = Field(description="column to predict")
    features: tuple[Text, ...] = Field(
        default=(),
        description="columns to predict from",
        json_schema_extra={"default_text": "every column but `label` and `drop`"},
    )
    drop: tuple[Text, ...] = Field(default=(), description="columns to ignore, such as an identifier")
    columns: tuple[Text, ...] = Field(
        default=(),
        description="names of the columns, in order, for files without a header line",
        json_schema_extra={"default_text": "the first line has them"},
    )
    categorical: tuple[Text, ...] = Field(
        default=(), description="columns that hold names instead of numbers; each level becomes an input of 0 or 1"
    )
    levels: Frozen[tuple[Text, ...]] = Field(
        default_factory=FrozenMapping,
        description="levels of a categorical column",
        json_schema_extra={"default_text": "those in all training rows"},
    )
    classes: tuple[Text, ...] = Field(
        default=(),
        description="class names, classification only",
        json_schema_extra={"default_text": "those in all training rows"},
    )
    label_map: Frozen[Text] = Field(
        default_factory=FrozenMapping,
        description="class name for each label as the files write it, classification only",
        json_schema_extra={"default_text": "labels as they are"},
    )
    missing: tuple[str, ...] = Field(default=MISSING, description="cell texts that mean: no value")
    drop_missing: bool = Field(
        default=False, description="leave out rows with a missing input instead of filling in the mean"
    )
    delimiter: str = Field(default=",", description="the one character between two cells")
    model: Literal["linear", "mlp"] = Field(default="linear", description="linear model, or layers of hidden units")
    hidden: tuple[Width, ...] = Field(
        default=DEFAULT_HIDDEN,
        max_length=MOST_HIDDEN,
        description="width of each hidden layer of an mlp",
        json_schema_extra={"unit": "hidden units"},
    )
    activation: Literal["relu", "gelu", "tanh"] = Field(default="relu", description="what follows each hidden layer")
    dropout: float = Field(default=0.0, ge=0, lt=1, description=_DROPOUT + "; of an mlp only")
    statistics: Statistics = Field(default="federated", description=_STATISTICS)
    given: Frozen[tuple[float, Deviation]] = Field(
        default_factory=FrozenMapping,
        description='[mean, standard deviation] of each numeric column, with `statistics = "given"`',
        json_schema_extra={"unit": "the column's own"},
    )

    def broken_rules(self) -> Iterator[Problem]:
        """Columns are named once and in one role, classes are at least two, and every choice has what it needs."""
        for key in ("features", "drop", "columns", "categorical", "classes"):
            yield from _repeated(key, getattr(self, key))
        yield from self._misplaced_columns()
        yield from self._wrong_levels()
        yield from self._wrong_statistics()
        yield from _wrong_model(self.model, self.hidden, self.dropout)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            yield Problem(
                "delimiter",
                "It must be one character, and neither a quotation mark nor the end of a line.",
                'Write delimiter = ";" for instance, or "\\t" for a tab.',
            )

    def _misplaced_columns(self) -> Iterator[Problem]:
        for key in ("features", "drop", "categorical"):
            for column in _unique(getattr(self, key)):
                if column == self.label:
                    yield Problem(key, f"It names the label, {column}.", "Remove it here, or correct task.label.")
                elif self.columns and column not in self.columns:
                    yield Problem(key, f"It names {column}, which is not in columns.", "Correct one of the two.")
        if self.columns and self.label not in self.columns:
            yield Problem("label", f"{self.label} is not in columns.", "Name every column of the files, in order.")
        for key in ("features", "categorical"):
            for column in sorted({*getattr(self, key)} & {*self.drop}):
                yield Problem(key, f"It names {column}, which is also in drop.", "Keep it in one of the two.")
        if self.features:
            for column in sorted({*self.categorical} - {*self.features, *self.drop, self.label}):
                yield Problem("categorical", f"It names {column}, which is not in features.", "Add it there too.")

    def _wrong_levels(self) -> Iterator[Problem]:
        for column, levels in sorted(self.levels.items()):
            key = key_path("levels", column)
            if column not in self.categorical:
                yield Problem(key, f"{column} is not in categorical.", "Add it there, or remove its levels.")
            if not levels:
                yield Problem(
                    key, "It names no level.", "Name the levels, or remove the key to take those of the data."
                )
            yield from _repeated(key, levels)
        if len(self.classes) == 1:
            yield Problem("classes", "There must be at least 2 classes.", "Name all classes, or remove the key.")
        if len({*self.label_map.values()}) == 1:
            yield Problem("label_map", "It maps every label to one class.", "Map to at least 2, or remove the key.")
        for raw, name in sorted(self.label_map.items()):
            if self.classes and name not in self.classes:
                yield Problem(key_path("label_map", raw), f"{name} is not in classes.", "Correct one of the two.")

    def _wrong_statistics(self) -> Iterator[Problem]:
        if self.statistics != "given":
            if self.given:
                yield Problem("given", f'It is not used with statistics = "{self.statistics}".', _GIVEN_OR_NOT)
            return
        numeric = [column for column in self.features if column not in self.categorical]
        if not self.given and (numeric or not self.features):
            yield Problem("given", 'It is missing, and statistics = "given" needs it.', _GIVEN_OR_NOT)
            return
        for column in numeric:
            if column not in self.given:
                yield Problem("given", f"The numeric column {column} is missing.", _GIVEN_OR_NOT)
        for column in sorted(self.given):
            if column in {*self.categorical, *self.drop, self.label} or (self.features and column not in self.features):
                yield Problem(key_path("given", column), f"{column} is not a numeric input.", "Remove it.")


_GIVEN_OR_NOT = 'Give [mean, standard deviation] for each numeric column, or write statistics = "federated".'


class ImageOptions(Section):
    """Options of `image-classification`: one npz file for each organisation."""

    classes: int | None = Field(
        default=None,
        ge=2,
        description="number of classes, labelled from 0",
        json_schema_extra={"default_text": "one more than the highest label in all training rows"},
    )
    images: Text = Field(default="images", description="name of the array of images in the npz file")
    labels: Text = Field(default="labels", description="name of the array of labels in the npz file")
    model: Literal["cnn", "mlp", "linear"] = Field(
        default="cnn", description="convolutions, layers of hidden units, or a linear model of the pixels"
    )
    channels: tuple[Width, ...] = Field(
        default=(16, 32),
        min_length=1,
        max_length=MOST_HIDDEN,
        description="width of each convolution of a cnn",
        json_schema_extra={"unit": "channels"},
    )
    hidden: tuple[Width, ...] = Field(
        default=(),
        max_length=MOST_HIDDEN,
        description="width of each hidden layer of an mlp",
        json_schema_extra={"unit": "hidden units"},
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description=_DROPOUT + "; of a cnn or an mlp")
    scale: float = Field(
        default=255.0, gt=0, description="pixels are divided by it first", json_schema_extra={"unit": "pixel values"}
    )
    statistics: Statistics = Field(default="given", description=_STATISTICS)
    mean: float = Field(
        default=0.0,
        description='taken from each pixel, with `statistics = "given"`',
        json_schema_extra={"unit": "pixel values after `scale`"},
    )
    std: float = Field(
        default=1.0,
        gt=0,
        description='each pixel is divided by it, with `statistics = "given"`',
        json_schema_extra={"unit": "pixel values after `scale`"},
    )

    def broken_rules(self) -> Iterator[Problem]:
        """The two arrays differ, and every choice has what it needs."""
        if self.images == self.labels:
            yield Problem("labels", f"It names the array {self.labels}, as images does.", "Name two different arrays.")
        yield from _wrong_model(self.model, self.hidden, self.dropout)
        if self.statistics != "given":
            for key in sorted({"mean", "std"} & self.model_fields_set):
                yield Problem(
                    key, f'It is not used with statistics = "{self.statistics}".', 'Remove it, or write "given" there.'
                )


class CustomOptions(Section):
    """Options of a task of your own; they become the keyword arguments of its class."""

    options: Frozen[Any] = Field(
        default_factory=FrozenMapping,
        description="whatever your class takes: every key of the section is passed to it as a keyword argument",
    )

    def broken_rules(self) -> Iterator[Problem]:
        """Options are what JSON can hold as well, so that everyone can check that they run the same."""
        for name, value in self.options.items():
            if not name.isidentifier() or iskeyword(name):
                yield Problem(key_path(name), "It cannot be the name of an argument.", "Use letters, digits and _.")
            yield from _not_plain(key_path(name), value)


TaskOptions = TabularOptions | ImageOptions | CustomOptions

BUILT_IN: Mapping[str, type[TabularOptions | ImageOptions]] = {
    "tabular-classification": TabularOptions,
    "tabular-regression": TabularOptions,
    "image-classification": ImageOptions,
}
"""The options of each task that comes with fedgap, by its name."""


def _not_plain(key: str, value: object) -> Iterator[Problem]:
    """Find dates, infinities and whatever else is neither text, number, truth value, list nor table."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _not_plain(f"{key}.{key_path(name)}", item)
    elif isinstance(value, tuple | list):
        for position, item in enumerate(value):
            yield from _not_plain(key + key_path(position), item)
    elif isinstance(value, float) and not isfinite(value):
        yield Problem(key, "It is not a finite number.", "Write a finite number, or a text that your task understands.")
    elif not isinstance(value, str | int | float):
        yield Problem(key, f"It is a {type(value).__name__}.", "Write it as a text and read it in your task.")


def _unique(names: tuple[str, ...]) -> list[str]:
    return sorted({*names})


def _repeated(key: str, names: tuple[str, ...]) -> Iterator[Problem]:
    for name in _unique(names):
        if names.count(name) > 1:
            yield Problem(key, f"It names {name} {names.count(name)} times.", "Name it once.")


def _wrong_model(model: str, hidden: tuple[int, ...], dropout: float) -> Iterator[Problem]:
    if model == "mlp" and not hidden:
        yield Problem("hidden", "An mlp needs at least one hidden layer.", 'Write hidden = [32], or model = "linear".')
    if model == "linear" and dropout:
        yield Problem(
            "dropout", "A linear model has no hidden unit to leave out.", "Remove it, or choose another model."
        )
