"""The manual is complete, true and the page in docs/."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from fedgap.config import parse_federation
from fedgap.config.phrases import allowed
from fedgap.config.reference import EXAMPLE, FILES, MODELS, as_document, as_page, reference
from fedgap.config.summary import summary
from fedgap.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
WITH_UNITS = {"reply_timeout_s": "s", "close_days": "days", "batch_size": "rows", "weight": "rows"}


def test_every_key_is_explained_with_what_it_may_hold() -> None:
    explained = [(section, key) for section in reference() for key in section.keys]

    assert sum(len(model.model_fields) for *_, model in MODELS) == len(explained)
    for section, key in explained:
        assert key.meaning, f"{section.header} {key.key}"
        assert key.default
        assert "any value" not in key.allowed


def test_units_are_given_where_a_name_has_one() -> None:
    units = {key.key: key.unit for section in reference() for key in section.keys}

    assert WITH_UNITS.items() <= units.items()


def test_the_page_in_docs_is_the_one_the_command_prints() -> None:
    assert as_page() + "\n" == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_the_example_of_the_page_is_a_whole_configuration() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", as_page(), flags=re.DOTALL)
    config = parse_federation(tomllib.loads(example), base=Path())

    assert example == EXAMPLE
    assert [organisation.id for organisation in config.organisations] == ["clinic-north", "clinic-south", "clinic-west"]
    assert "50 rounds of 1 epoch each" in " ".join(summary(config))


def test_the_keys_of_each_file_can_be_asked_for_alone() -> None:
    headers = {file: [section.header for section in reference(file)] for file in FILES}

    assert headers["site.toml"] == ["[site]", "[limits]"]
    assert headers["server.toml"] == ["[server]"]
    assert headers["policy.toml"][0] == "[policy]"
    assert headers["federation.toml"][0] == "[federation]"
    assert sum(map(len, headers.values())) == len(reference())


def test_site_toml_is_explained_as_it_is_checked() -> None:
    """What must be there is marked so; every other key has its default."""
    keys = {key.key: key for section in reference("site.toml") for key in section.keys}

    assert {name for name, key in keys.items() if key.default == "required"} == {
        *("organisation", "server", "data"),
        *("tasks", "rounds", "minimum_cohort"),
    }
    assert (keys["minimum_cohort"].allowed, keys["memory_gib"].unit) == ("whole number >= 3", "GiB")
    assert (keys["roster_changes"].default, keys["hours"].default) == ('"ask"', "always")


def test_one_section_or_one_key_can_be_asked_for() -> None:
    assert [section.header for section in reference("[training]")] == ["[training]"]
    ((key,),) = (section.keys for section in reference("training.lr"))
    assert (key.key, key.allowed, key.default) == ("lr", "number > 0", "required")
    assert [section.tasks for section in reference("task.dropout")] == [
        "tabular-classification, tabular-regression",
        "image-classification",
    ]


@pytest.mark.parametrize(
    ("wanted", "remedy"), [("trainnig", "`training`"), ("training.rl", "`training.lr`"), ("x", "lists all")]
)
def test_what_is_not_there_is_answered_with_what_is(wanted: str, remedy: str) -> None:
    with pytest.raises(UsageError, match="no section or key") as caught:
        reference(wanted)
    assert remedy in caught.value.remedy


def test_the_reference_is_plain_json() -> None:
    document = json.loads(json.dumps(as_document(reference("secagg"))))

    assert [key["key"] for key in document["sections"][0]["keys"]] == [
        "f",
        "quorum",
        "reply_timeout_s",
        "clip_start",
        "clip_low",
        "clip_high",
    ]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "whole number >= 1"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, "number > 0 and < 0.5"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "true or false"),
        ({"enum": ["a", "b", "c"]}, '"a", "b" or "c"'),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 9}, "list of at most 9 texts"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]}, "[number, text]"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "table of name = text"),
        ({"type": "string", "allowed": "a colour"}, "a colour"),
    ],
)
def test_a_schema_is_said_in_words(schema: dict[str, object], words: str) -> None:
    assert words == allowed(schema)
