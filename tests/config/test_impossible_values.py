"""Every impossible value is a problem that names its key, as it is written in the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config import ConfigError, parse_federation

Make = Callable[[], dict[str, Any]]
INF, NAN = float("inf"), float("nan")

VALUES: dict[str, tuple[object, ...]] = {
    "federation.id": ("", "A", "-a", "a" * 64, "a\n", 3),
    "federation.name": ("", " ", "a\nb", "\x1b[2J", 3, "x" * 1001),
    "federation.task": ("", "tabular", "a:b:c", "module:", ":Class", "a..b:C", "a b:C", "1a:B", 3),
    "federation.seed": (-1, 2**63, 1.0, "1", True),
    "federation.policy": ("", "a\0b", 1),
    "task.label": ("", 3, ["a"]),
    "task.delimiter": ("", ",,", '"', "\n", 3),
    "task.model": ("cnn", "", 1),
    "task.activation": ("sigmoid", None),
    "task.dropout": (-0.1, 1, "0.1", NAN),
    "task.statistics": ("pooled", 1),
    "task.drop_missing": (0, "yes"),
    "organisation[1].id": ("", "North", 1, None),
    "organisation[1].data": ("", "a\0b", 1),
    "organisation[1].weight": (0, -3, 2.5, True, "12"),
    "training.rounds": (0, -1, 1.5, "10", True, INF),
    "training.epochs": (0, -1, 0.5),
    "training.steps": (0, -1, 0.5),
    "training.batch_size": (0, -1, 1.5),
    "training.optimizer": ("SGD", "rmsprop", 1),
    "training.lr": (0, -0.1, NAN, INF, "0.1", True, 10**400),
    "training.momentum": (-0.1, 1, NAN),
    "training.beta1": (-0.1, 1),
    "training.beta2": (-0.1, 1),
    "training.epsilon": (0, -1e-8),
    "training.weight_decay": (-1e-9, INF),
    "training.clip_norm": (0, -1, INF),
    "training.prox_mu": (-0.01, NAN),
    "training.patience": (-1, 1.5),
    "training.holdout": (0, 0.5, 1),
    "training.device": ("gpu", "cuda:0"),
    "server.optimizer": ("sgd", "FedAvg"),
    "server.lr": (0, -1, NAN),
    "server.momentum": (1, -0.5),
    "server.beta1": (1, -0.5),
    "server.beta2": (1, -0.5),
    "server.tau": (0, -1),
    "server.weights": ("size", 1),
    "secagg.f": (-1, 0.5, 99),
    "secagg.quorum": (0, 1, 99),
    "secagg.reply_timeout_s": (0, -1, INF),
    "settlement.periods": (-1, 1.5, 99),
    "settlement.confirm_exchanges": (0, -1),
    "settlement.close_days": (0, 0.5),
    "settlement.openings": (0, 3, "1"),
    "evaluation.source": ("server", 1),
    "evaluation.reveal": ("always", True, "never"),
    "evaluation.data": ("", 1),
    "baselines.splits": (0, 1.5),
    "baselines.test_fraction": (0, 1, 40),
    "baselines.train_rows": (0, -1, 0.5),
    "baselines.folds": (1, 0),
    "baselines.epochs": (0,),
    "baselines.tune_federation": (1, "true"),
    "baselines.personal_epochs": (-1,),
    "baselines.bootstrap": (199, 0),
    "baselines.split": ("grouped", 1),
}
DEEPER: list[tuple[str, str, object, str]] = [
    ("task", "hidden", [8, 0], "task.hidden[2]"),
    ("task", "hidden", [1] * 65, "task.hidden"),
    ("task", "features", ["a", 3], "task.features[2]"),
    ("task", "missing", "NA", "task.missing"),
    ("task", "levels", {"sex": "f"}, "task.levels.sex"),
    ("task", "given", {"age": [1, 0]}, "task.given.age[2]"),
    ("task", "given", {"age": [1]}, "task.given.age[2]"),
    ("task", "given", {"blood pressure": 3}, 'task.given."blood pressure"'),
    ("task", "label_map", {"1": 2}, "task.label_map.1"),
    ("baselines", "lrs", [0.1, 0], "baselines.lrs[2]"),
]


def problems(values: dict[str, Any]) -> dict[str, str]:
    """Key to cause and remedy of every problem; there must be one."""
    with pytest.raises(ConfigError) as caught:
        parse_federation(values, base=Path("somewhere"))
    return {problem.key: f"{problem.cause} {problem.remedy}" for problem in caught.value.problems}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in VALUES.items() for value in values])
def test_an_impossible_value_names_its_key_and_no_other(document: Make, key: str, value: object) -> None:
    values = document()
    name, _, last = key.partition(".")
    table = values["organisation"][0] if name == "organisation[1]" else values[name]
    table[last] = value

    found = problems(values)
    assert key in found
    allowed_echo = {"organisation[4].behave"} if key == "organisation[1].id" else set()  # it copied who is gone
    assert found.keys() - allowed_echo == {key}


@pytest.mark.parametrize(("name", "key", "value", "named"), DEEPER)
def test_a_value_inside_a_list_or_table_is_named_with_its_place(
    document: Make, name: str, key: str, value: object, named: str
) -> None:
    values = document()
    values[name][key] = value

    assert problems(values).keys() == {named}


@given(lr=st.floats(max_value=0) | st.just(NAN) | st.just(INF))
def test_no_learning_rate_is_zero_negative_or_not_finite(document: Make, lr: float) -> None:
    values = document()
    values["training"]["lr"] = lr

    assert "Write: number > 0." in problems(values)["training.lr"]


def test_a_problem_says_what_stands_there_and_what_may() -> None:
    from_file = {"federation": {"id": "a", "task": "tabular-clasification"}, "training": {"rounds": "many", "lr": 1}}
    found = problems(from_file)

    assert found["federation.task"] == "There is no such task. Did you mean `tabular-classification`?"
    assert found["training.rounds"] == 'It is the text "many". Write: whole number >= 1.'
    assert found["organisation"].startswith("The file names 0; a federation has at least 2.")


@pytest.mark.parametrize("options", [3, "x", [1], None])
@pytest.mark.parametrize("task", ["meters:Meter", "tabular-regression"])
def test_options_that_are_no_table_are_refused(document: Make, task: str, options: object) -> None:
    values = document() | {"task": options}
    values["federation"]["task"] = task

    assert "not a table" in problems(values)["task"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"a": NAN}, "task.a"),
        ({"a": [1, {"b c": INF}]}, 'task.a[2]."b c"'),
        ({"class": 1}, "task.class"),
        ({"two words": 1}, 'task."two words"'),
        ({"a": object()}, "task.a"),
    ],
)
def test_options_of_a_task_of_ones_own_are_plain_values(document: Make, options: dict[str, Any], key: str) -> None:
    values = document() | {"task": options}
    values["federation"]["task"] = "meters:Meter"

    assert problems(values).keys() == {key}
