"""Options of the built-in tasks: columns have one role each, and every choice has what it needs."""

import pytest
from pydantic import ValidationError

from fedgap.config.problems import read_section
from fedgap.config.section import freeze
from fedgap.config.task import ImageOptions, TabularOptions


def keys_of(model: type[TabularOptions | ImageOptions], options: dict[str, object]) -> set[str]:
    """The keys of all problems of these options."""
    return {problem.key for problem in read_section(model, freeze(options), "task")[1]}


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"features": ["a", "b", "a"]}, {"task.features"}),
        ({"columns": ["a", "y", "a"]}, {"task.columns"}),
        ({"features": ["a", "y"]}, {"task.features"}),
        ({"drop": ["y"]}, {"task.drop"}),
        ({"categorical": ["y"]}, {"task.categorical"}),
        ({"features": ["a"], "drop": ["a"]}, {"task.features"}),
        ({"categorical": ["a"], "drop": ["a"]}, {"task.categorical"}),
        ({"features": ["a"], "categorical": ["b"]}, {"task.categorical"}),
        ({"columns": ["a", "b"]}, {"task.label"}),
        ({"columns": ["a", "y"], "features": ["b"], "drop": ["c"]}, {"task.features", "task.drop"}),
        ({"levels": {"a": ["x", "z"]}}, {"task.levels.a"}),
        ({"categorical": ["a"], "levels": {"a": []}}, {"task.levels.a"}),
        ({"categorical": ["a"], "levels": {"a": ["x", "x"]}}, {"task.levels.a"}),
        ({"classes": ["yes"]}, {"task.classes"}),
        ({"classes": ["yes", "yes"]}, {"task.classes"}),
        ({"classes": ["yes", "no"], "label_map": {"1": "yes", "0": "nein"}}, {"task.label_map.0"}),
        ({"label_map": {"1": "yes", "2": "yes"}}, {"task.label_map"}),
        ({"statistics": "given"}, {"task.given"}),
        ({"given": {"a": [0, 1]}}, {"task.given"}),
        ({"statistics": "given", "features": ["a", "b"], "given": {"a": [0, 1]}}, {"task.given"}),
        ({"statistics": "given", "features": ["a"], "given": {"a": [0, 1], "b": [0, 1]}}, {"task.given.b"}),
        ({"statistics": "given", "given": {"a": [0, 1], "y": [0, 1]}}, {"task.given.y"}),
        ({"model": "mlp", "hidden": []}, {"task.hidden"}),
        ({"dropout": 0.5}, {"task.dropout"}),
        ({"delimiter": "", "dropout": 0.5, "drop": ["y"]}, {"task.delimiter", "task.dropout", "task.drop"}),
    ],
)
def test_contradicting_options_of_a_table_are_all_named(options: dict[str, object], keys: set[str]) -> None:
    assert keys == keys_of(TabularOptions, {"label": "y"} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ["a", "b", "y"], "features": ["b"], "drop": ["a"]},
        {"categorical": ["a"], "levels": {"a": ["x"]}, "classes": ["yes", "no"], "label_map": {"1": "yes", "0": "no"}},
        {"statistics": "given", "features": ["a", "b"], "categorical": ["b"], "given": {"a": [0, 1]}},
        {"statistics": "given", "features": ["b"], "categorical": ["b"]},
        {"model": "mlp", "dropout": 0.5, "delimiter": "\t", "missing": []},
    ],
)
def test_options_that_agree_are_taken(options: dict[str, object]) -> None:
    assert keys_of(TabularOptions, {"label": "y"} | options) == set()


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"images": "x", "labels": "x"}, {"task.labels"}),
        ({"model": "mlp"}, {"task.hidden"}),
        ({"model": "linear", "dropout": 0.1}, {"task.dropout"}),
        ({"statistics": "local", "mean": 1, "std": 2}, {"task.mean", "task.std"}),
        ({"classes": 1}, {"task.classes"}),
        ({"channels": []}, {"task.channels"}),
        ({"scale": 0}, {"task.scale"}),
        ({"std": 0}, {"task.std"}),
        ({"model": "mlp", "hidden": [64]}, set()),
        ({"mean": 0.5, "std": 0.5, "scale": 16, "classes": 10, "dropout": 0.1}, set()),
    ],
)
def test_contradicting_options_of_images_are_all_named(options: dict[str, object], keys: set[str]) -> None:
    assert keys == keys_of(ImageOptions, options)


def test_options_made_in_code_keep_the_same_rules() -> None:
    options = TabularOptions(label="y", categorical=("a",), levels={"a": ("x", "z")})
    assert options.levels["a"] == ("x", "z")

    with pytest.raises(ValidationError, match="hidden layer"):
        TabularOptions(label="y", model="mlp", hidden=())
