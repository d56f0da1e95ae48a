"""Rules between sections and between organisations: each names the key at fault, and says so beside the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config import ConfigError, FederationConfig, Problem, parse_federation
from fedgap.config.protocol import least_quorum, most_colluders

Document = dict[str, Any]
Make = Callable[[], Document]
HERE = Path("somewhere")


def problems(values: Document, base: Path = HERE) -> dict[str, Problem]:
    """Every problem by its key; none if the configuration is right."""
    try:
        assert isinstance(parse_federation(values, base=base), FederationConfig)
    except ConfigError as error:
        return {problem.key: problem for problem in error.problems}
    return {}


def of_members(count: int, **secagg: int) -> Document:
    """A right configuration of so many organisations, with this secure aggregation."""
    return {
        "federation": {"id": "many", "task": "image-classification"},
        "organisation": [{"id": f"o{number}", "data": f"{number}.npz"} for number in range(count)],
        "training": {"rounds": 1, "lr": 0.1},
        "secagg": secagg,
    }


def test_the_configuration_of_these_tests_is_right(document: Make) -> None:
    assert problems(document()) == {}


def test_two_organisations_of_one_id_are_refused(document: Make) -> None:
    values = document()
    values["organisation"][1]["id"] = "north"

    assert problems(values)["organisation[2].id"].cause == "organisation[1] has the id north already."


def test_two_organisations_of_one_id_are_refused_even_if_one_is_wrong_otherwise(document: Make) -> None:
    values = document()
    values["organisation"][1] |= {"id": "north", "weight": 0}

    assert {"organisation[2].id", "organisation[2].weight"} <= problems(values).keys()


def test_two_organisations_of_one_name_are_refused(document: Make) -> None:
    values = document()
    values["organisation"][0]["name"] = "Clinic West"

    assert problems(values).keys() == {"organisation[3].name"}


@pytest.mark.parametrize("path", ["north.csv", "./north.csv", "sub/../north.csv", "link.csv"])
def test_two_honest_organisations_with_one_file_are_refused(document: Make, tmp_path: Path, path: str) -> None:
    (tmp_path / "north.csv").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.csv").symlink_to("north.csv")
    values = document()
    values["organisation"][1]["data"] = path

    found = problems(values, tmp_path)
    assert found.keys() == {"organisation[2].data"}
    assert 'behave = "copy:north"' in found["organisation[2].data"].remedy


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        ("copy:twin", "copies itself"),
        ("copy:nobody", "no organisation nobody"),
        ("copy:west", "not honest but noise"),
    ],
)
def test_a_copy_needs_an_honest_other(document: Make, behave: str, says: str) -> None:
    values = document()
    values["organisation"][3]["behave"] = behave

    found = problems(values)
    assert found.keys() == {"organisation[4].behave"}
    assert says in found["organisation[4].behave"].cause


def test_a_copy_of_an_organisation_with_a_problem_is_not_blamed(document: Make) -> None:
    values = document()
    values["organisation"][0]["weight"] = 0

    assert problems(values).keys() == {"organisation[1].weight"}


def test_a_copy_may_repeat_the_file_and_name_no_other(document: Make) -> None:
    values = document()
    values["organisation"][3]["data"] = "north.csv"
    assert problems(values) == {}

    values["organisation"][3]["data"] = "south.csv"
    assert problems(values).keys() == {"organisation[4].data"}


def test_who_copies_nobody_needs_a_file(document: Make) -> None:
    values = document()
    del values["organisation"][1]["data"]

    assert problems(values).keys() == {"organisation[2].data"}


def test_weights_are_given_by_all_or_by_none(document: Make) -> None:
    values = document()
    values["organisation"][1]["weight"] = values["organisation"][2]["weight"] = 40

    assert problems(values).keys() == {"organisation[1].weight", "organisation[4].weight"}


@pytest.mark.parametrize("listed", [[], [{"id": "north", "data": "north.csv"}]])
def test_one_organisation_is_no_federation(document: Make, listed: list[object]) -> None:
    assert "at least 2" in problems(document() | {"organisation": listed})["organisation"].cause


def test_one_pair_of_brackets_is_one_too_few(document: Make) -> None:
    found = problems(document() | {"organisation": {"id": "north", "data": "north.csv"}})

    assert "[[organisation]]" in found["organisation"].remedy


@pytest.mark.parametrize(
    ("section", "changes", "key"),
    [
        ("training", {"epochs": 1, "steps": 1}, "training.steps"),
        ("training", {"steps": 9, "patience": 3}, "training.patience"),
        ("baselines", {"test_fraction": 0.3, "train_rows": 20}, "baselines.train_rows"),
        ("baselines", {"lrs": [0.1, 1, 0.1]}, "baselines.lrs"),
        ("evaluation", {"source": "witness", "reveal": "after-settlement"}, "evaluation.reveal"),
        ("evaluation", {"source": "public", "reveal": "never"}, "evaluation.reveal"),
        ("evaluation", {"source": "organisations", "data": "rows.csv"}, "evaluation.data"),
        ("server", {"weights": "rows"}, "server.weights"),
        ("settlement", {"periods": 3}, "settlement.periods"),
    ],
)
def test_keys_that_exclude_each_other_are_reported(
    document: Make, section: str, changes: dict[str, object], key: str
) -> None:
    values = document()
    values[section] |= changes

    assert problems(values).keys() == {key}


def test_rows_may_weigh_freely_without_secure_aggregation(document: Make) -> None:
    values = document()
    values["server"]["weights"] = "rows"
    del values["secagg"]

    assert problems(values) == {}


@pytest.mark.parametrize("source", ["committed", "public", "witness", "organisations", "server_chooses_directions"])
def test_every_source_of_directions_has_a_default_that_is_allowed(document: Make, source: str) -> None:
    values = document() | {"evaluation": {"source": source}}

    assert problems(values) == {}


@pytest.mark.parametrize(
    ("key", "value"), [("classes", ["a", "b"]), ("label_map", {"0": "a", "1": "b"}), ("split", "stratified")]
)
def test_a_regression_has_no_classes(document: Make, key: str, value: object) -> None:
    values = document()
    section = "baselines" if key == "split" else "task"
    values[section][key] = value
    assert problems(values) == {}

    values["federation"]["task"] = "tabular-regression"
    assert problems(values).keys() == {f"{section}.{key}"}


def test_two_organisations_are_too_few_for_secure_aggregation() -> None:
    assert "take its own update off the sum" in problems(of_members(2))["secagg"].cause
    assert problems(of_members(3)) == {}


@given(members=st.integers(3, 40), colluders=st.integers(0, 15))
def test_colluders_are_at_most_a_third_of_the_others(members: int, colluders: int) -> None:
    refused = problems(of_members(members, f=colluders)).keys()

    assert refused == (set() if 3 * colluders <= members - 1 else {"secagg.f"})


@given(members=st.integers(4, 40), quorum=st.integers(2, 45), data=st.data())
def test_two_quorums_share_an_honest_organisation(members: int, quorum: int, data: st.DataObject) -> None:
    colluders = data.draw(st.integers(0, (members - 1) // 3))
    refused = problems(of_members(members, f=colluders, quorum=quorum)).keys()

    overlap, two_thirds = 2 * quorum - members > colluders, 3 * quorum > 2 * members
    assert refused == (set() if overlap and two_thirds and quorum <= members else {"secagg.quorum"})


@pytest.mark.parametrize(("members", "colluders", "quorum"), [(3, 0, 3), (4, 1, 3), (7, 2, 5), (10, 3, 7)])
def test_the_defaults_are_those_of_the_protocol(members: int, colluders: int, quorum: int) -> None:
    assert (colluders, quorum) == (most_colluders(members), least_quorum(members, colluders))


def test_three_organisations_may_forgive_one_silence() -> None:
    assert problems(of_members(3, quorum=2)) == {}
    assert problems(of_members(4, quorum=2)).keys() == {"secagg.quorum"}
