"""A file becomes a configuration or the list of all its problems, and never anything else."""

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config import (
    ConfigError,
    CustomOptions,
    FederationConfig,
    ImageOptions,
    NotTomlError,
    TabularOptions,
    UnreadableConfigError,
    load_federation,
    parse_federation,
)
from fedgap.config.load import TABLES
from fedgap.config.reference import EXAMPLE
from fedgap.ids import OrgId

Make = Callable[[], dict[str, Any]]
HERE = Path("somewhere")

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
KEYS = (
    "id",
    "task",
    "seed",
    "label",
    "given",
    "levels",
    "data",
    "behave",
    "rounds",
    "lr",
    "steps",
    "f",
    "quorum",
    "lrs",
)


def keys_of(document: dict[str, Any]) -> list[str]:
    """The keys of all problems; the file must have at least one."""
    with pytest.raises(ConfigError) as caught:
        parse_federation(document, base=HERE)
    return [problem.key for problem in caught.value.problems]


def wrong(path: Path, error: type[ConfigError]) -> ConfigError:
    """The error that loading this file ends with: exactly of this class, and one line."""
    with pytest.raises(ConfigError) as caught:
        load_federation(path)
    assert type(caught.value) is error
    assert caught.value.line().isprintable()
    assert caught.value.exit_status == 2
    assert caught.value.problems
    return caught.value


@given(document=st.dictionaries(st.sampled_from(TABLES) | st.text(max_size=5), junk))
def test_tables_of_any_wrong_types_raise_nothing_but_a_config_error(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_federation(document, base=HERE)
    assert caught.value.line().isprintable()


@given(data=st.data())
def test_any_wrong_value_in_any_section_raises_nothing_but_a_config_error(document: Make, data: st.DataObject) -> None:
    broken = document()
    name = data.draw(st.sampled_from(TABLES))
    table = broken[name][0] if name == "organisation" else broken[name]
    table[data.draw(st.sampled_from([*table, *KEYS]))] = data.draw(junk)
    try:
        config = parse_federation(broken, base=HERE)
    except ConfigError as error:
        found = error
    else:
        json.dumps(config.document(), allow_nan=False)
        return
    assert found.line().isprintable()
    assert all(problem.cause and problem.remedy for problem in found.problems)


@given(
    rounds=st.integers(20, 10**6),
    lr=st.floats(1e-9, 1e9),
    seed=st.integers(0, 2**63 - 1),
    epochs=st.integers(1, 99),
    rows=st.none() | st.integers(1, 10**6),
    given=st.dictionaries(st.text("abc", min_size=1), st.tuples(st.floats(-9, 9), st.floats(0.1, 9)), min_size=1),
)
def test_a_right_configuration_is_read_again_from_what_it_says(
    document: Make,
    rounds: int,
    lr: float,
    seed: int,
    epochs: int,
    rows: int | None,
    given: dict[str, tuple[float, float]],
) -> None:
    values = document()
    values["federation"]["seed"] = seed
    values["training"] |= {"rounds": rounds, "lr": lr, "epochs": epochs}
    values["task"] |= {"statistics": "given", "given": given}
    if rows is not None:
        values["baselines"]["train_rows"] = rows
    config = parse_federation(values, base=HERE)

    assert config == parse_federation(json.loads(json.dumps(config.document())), base=HERE)
    assert config == pickle.loads(pickle.dumps(config))  # noqa: S301 - our own bytes
    assert (seed, rounds, lr, epochs) == (
        config.federation.seed,
        config.training.rounds,
        config.training.lr,
        config.training.epochs,
    )
    assert (config.baselines.test_fraction is None) == (rows is not None)


def test_two_wrong_sections_are_both_reported(document: Make) -> None:
    values = document()
    values["training"]["lr"] = 0
    values["server"]["tau"] = "small"
    values["organisation"][1]["weight"] = -1

    assert keys_of(values) == ["organisation[2].weight", "training.lr", "server.tau"]


def test_a_task_is_checked_although_its_federation_is_wrong(document: Make) -> None:
    values = document()
    values["federation"]["seed"] = -1
    values["task"] = {"hidden": [0]}

    assert keys_of(values) == ["federation.seed", "task.label", "task.hidden[1]"]


@pytest.mark.parametrize("name", ["federation", "training"])
def test_a_missing_section_is_named(document: Make, name: str) -> None:
    values = document()
    del values[name]

    assert name in keys_of(values)


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [
        ("training", "bathc_size", "`batch_size`"),
        ("task", "lable", "`label`"),
        ("server", "weight", "`weights`"),
        ("federation", "sead", "`seed`"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(
    document: Make, place: str, key: str, meant: str
) -> None:
    values = document()
    values[place][key] = 1
    with pytest.raises(ConfigError) as caught:
        parse_federation(values, base=HERE)

    (problem,) = caught.value.problems
    assert problem.key == f"{place}.{key}"
    assert problem.remedy == f"Did you mean {meant}?"


def test_an_unknown_section_is_refused_with_the_one_that_was_meant(document: Make) -> None:
    values = document()
    values["trainings"] = values.pop("training")
    with pytest.raises(ConfigError) as caught:
        parse_federation(values, base=HERE)

    assert {problem.key: problem.remedy for problem in caught.value.problems} == {
        "training": "Add [training].",
        "trainings": "Did you mean `training`?",
    }


def test_sections_that_are_left_out_are_none_or_their_defaults(document: Make) -> None:
    values = {name: document()[name] for name in ("federation", "task", "organisation", "training")}
    config = parse_federation(values, base=HERE)

    assert (config.secagg, config.settlement, config.evaluation) == (None, None, None)
    assert (config.server.optimizer, config.server.weights, config.baselines.splits) == ("fedavg", "capped", 10)
    assert (config.training.epochs, config.training.steps, config.training.lr) == (1, None, 1.0)


@pytest.mark.parametrize(
    ("task", "options", "kind"),
    [
        ("tabular-regression", {"label": "price"}, TabularOptions),
        ("image-classification", {"scale": 16}, ImageOptions),
        ("image-classification", None, ImageOptions),
        ("my_company.meters:Meter", {"days": 7, "layers": [{"width": 3}]}, CustomOptions),
        ("meters:Meter", None, CustomOptions),
    ],
)
def test_every_task_has_options_of_its_own(document: Make, task: str, options: object, kind: type) -> None:
    values = document() | {"task": options}
    values["federation"]["task"] = task
    if options is None:
        del values["task"]
    config = parse_federation(values, base=HERE)

    assert isinstance(config.task, kind)
    assert config == parse_federation(config.document(), base=HERE)
    if isinstance(config.task, CustomOptions) and options is not None:
        assert config.task.options["days"] == 7
        assert config.document()["task"] == options


def test_paths_start_from_the_folder_of_the_file_or_from_another(tmp_path: Path) -> None:
    file = tmp_path / "federation.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    here, there = load_federation(file), load_federation(file, tmp_path / "elsewhere")

    assert here.data_of(here.organisations[0]) == tmp_path / "data/clinic-north.csv"
    assert there.data_of(there.organisations[0]) == tmp_path / "elsewhere/data/clinic-north.csv"
    assert (tmp_path, tmp_path) == (here.base, there.base)


def test_a_copy_has_the_file_of_whom_it_copies(document: Make) -> None:
    config = parse_federation(document(), base=HERE)

    assert config.data_of(config.organisation(OrgId("twin"))) == HERE / "north.csv"
    with pytest.raises(KeyError):
        config.organisation(OrgId("nobody"))


def test_another_seed_changes_the_seed_only(document: Make) -> None:
    config = parse_federation(document(), base=HERE)
    other = config.with_seed(8)

    assert other.federation.seed == 8
    assert config != other
    assert config == other.with_seed(7)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_what_is_no_seed_is_refused(document: Make, seed: int) -> None:
    config: FederationConfig = parse_federation(document(), base=HERE)
    with pytest.raises(ConfigError, match=r"federation\.seed"):
        config.with_seed(seed)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_editors_do_to_a_file_does_not_matter(tmp_path: Path, encoding: str, line_end: str) -> None:
    file = tmp_path / "federation.toml"
    file.write_bytes(EXAMPLE.replace("\n", line_end).encode(encoding))

    assert load_federation(file).federation.id == "three-clinics"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"[federation\n", "line 1"),
        (b"a = 1\na = 2\n", "line 2"),
        (b'[federation]\nname = "Caf\xe9"\n', "Byte 25 is not UTF-8"),
        (b"a = " + b"9" * 5000, "digits"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "federation.toml"
    file.write_bytes(content)

    error = wrong(file, NotTomlError)
    assert error.code == "config.not-toml"
    assert says in error.cause
    assert "federation.toml" in error.cause


@pytest.mark.parametrize("part", ["a", '"a b"', "'a.b' ", "\ta"])
@pytest.mark.parametrize("line", ["{} = 1\n", "[{}]\n", "[[{}]]\n"])
def test_a_key_of_very_many_parts_is_refused_before_it_takes_all_memory(tmp_path: Path, part: str, line: str) -> None:
    file = tmp_path / "federation.toml"
    file.write_text(line.format(".".join([part] * 100_000)), encoding="utf-8")

    assert "more than 32 parts" in wrong(file, NotTomlError).cause


@pytest.mark.parametrize("filler", ["a", "-", " ", '"', "'", '"" ', "a\t", "a.", "."])
def test_the_search_for_such_a_key_takes_no_time(tmp_path: Path, filler: str) -> None:
    file = tmp_path / "federation.toml"
    file.write_text("# " + filler * (900_000 // len(filler)), encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError):
        load_federation(file)

    assert time.process_time() - began < 2


def test_tables_that_are_nested_too_deeply_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(50_000):
        nested = {"a": nested}
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_federation(nested, base=HERE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "no file"),
        (lambda path: path.write_bytes(b"#" * (1 << 20) + b"\n"), "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    file = tmp_path / "federation.toml"
    make(file)

    error = wrong(file, UnreadableConfigError)
    assert error.code == "config.unreadable"
    assert says in error.cause
    assert "federation.toml" in error.cause


def test_a_path_that_is_none_is_refused() -> None:
    assert wrong(Path("a\0b"), UnreadableConfigError).code == "config.unreadable"
