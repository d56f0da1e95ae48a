"""The page: whole, self-contained, and safe whatever the names are."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from fedgap.report import page
from fedgap.report.fields import VERDICTS
from fedgap.report.markup import clean
from fedgap.report.reasons import UNEXPLAINED
from tests.report.sample import HOSTILE_NAMES, NO_AUC, NO_ENERGY, NO_GPU, NO_LEDGER, NO_VALUE, WHY, sample

SIZES: dict[str, dict[str, Any]] = {
    "eight": sample(),
    "two in one round": sample(2, 1, "regression"),
    "none gains": sample(5, 3, story="none gains"),
    "forty hostile ones in 500 rounds": sample(40, 500, hostile=True),
    "no round": sample(2, 0),
}


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed in order; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that closes itself."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the words, not the style sheet."""
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(report: dict[str, Any]) -> Reader:
    reader = Reader()
    reader.feed(page(report))
    reader.close()
    return reader


@pytest.mark.parametrize("report", SIZES.values(), ids=SIZES)
def test_every_element_is_closed_and_every_picture_is_well_formed(report: dict[str, Any]) -> None:
    assert read(report).open == []
    pictures = re.findall(r'<svg class="chart.*?</svg>(?=</div>)', page(report), re.DOTALL)
    assert 4 - (not report["rounds"]) == len(pictures)
    assert all(ET.fromstring(picture).get("aria-label") for picture in pictures)  # noqa: S314 - our own output


@pytest.mark.parametrize("report", SIZES.values(), ids=SIZES)
def test_nothing_is_loaded_and_nothing_runs(report: dict[str, Any]) -> None:
    """No script, no handler, no address but footnotes of the page itself."""
    reader = read(report)

    assert not reader.tags & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "use"}
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in {"src", "style", "srcset"}]
    assert all(value.startswith("#reason-") for name, value in reader.attributes if "href" in name)
    assert not re.search(r"url\(|@import|https?://", page(report))


def test_hostile_names_are_shown_as_they_are_written() -> None:
    """Each is there as text, cleaned and in full, in the table of verdicts."""
    words = "".join(read(sample(len(HOSTILE_NAMES), hostile=True)).words)

    for name in HOSTILE_NAMES:
        assert clean(name).strip() in words
    assert "<script>" not in page(sample(len(HOSTILE_NAMES), hostile=True))


@pytest.mark.parametrize("field", ["name", "id", "verdict", "verdict_reason", "recommended", "behave"])
def test_every_text_of_an_organisation_is_escaped(field: str) -> None:
    report = sample(2)
    report["organisations"][1][field] = '"><script>alert(1)</script>'

    assert "script" not in read(report).tags


def test_every_text_of_the_federation_is_escaped() -> None:
    """Names, rule, notes, settings and reasons all come from files."""
    evil = '"><script>alert(1)</script>'
    report = sample(2)
    report |= {"rule": evil, "notes": [evil], "model_sha256": evil, "fedgap": evil}
    report["engine"] = report["protocol"] = {"name": evil, "why": evil}
    report["metric"]["name"] = report["utility"]["name"] = evil
    report["federation"] |= {"name": evil, "task": evil, "kind": evil, "id": evil, "settings": {evil: evil}}
    report["reasons"][evil] = evil
    report["organisations"][0]["chosen"] = {"local": {evil: evil}}
    report["organisations"][0]["local"]["metrics"] = {evil: 0.5}
    report["organisations"][0]["notes"] = [evil]
    reader = read(report)

    assert "script" not in reader.tags
    assert sum(word.count(evil) for word in reader.words) > 15


@pytest.mark.parametrize("report", SIZES.values(), ids=SIZES)
def test_a_null_is_never_shown_as_a_word_of_the_machine(report: dict[str, Any]) -> None:
    assert not re.search(r"\b(None|nan|NaN|inf|null|True|False)\b", " ".join(read(report).words))


def test_every_null_has_its_reason_below() -> None:
    """Each dash leads to a footnote that exists, and no dash is unexplained."""
    reader = read(sample())
    words = "".join(reader.words)
    targets = {value.removeprefix("#") for name, value in reader.attributes if name == "href"}

    assert targets
    assert targets <= {value for name, value in reader.attributes if name == "id"}
    assert {True} == {reason in words for reason in (NO_VALUE, NO_GPU, NO_ENERGY, NO_AUC, NO_LEDGER)}
    assert UNEXPLAINED not in words


def nulled(value: object, path: str, target: str) -> object:
    """A copy of a report in which every number or interval below an organisation's `target` is null."""
    if path == target:
        return None
    if isinstance(value, dict):
        return {key: nulled(inner, f"{path}.{key}" if path else key, target) for key, inner in value.items()}
    return value


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"{model}{place}"
            for model in ("local", "federated", "pooled")
            for place in ("", ".common", ".metric", ".ci95")
        ),
        *("personalised", "personalised.accepted", "gap", "gain.own", "gain.common.ci95", "metered", "baselines.size"),
    ],
)
def test_any_field_of_an_organisation_may_be_null(path: str) -> None:
    """The page appears, and says why."""
    report = sample(3)
    first = nulled(report["organisations"][0], "", path)
    assert isinstance(first, dict)
    first["reasons"][path] = f"the reason for {path}"
    report["organisations"][0] = first

    assert f"the reason for {path}" in "".join(read(report).words)


@pytest.mark.parametrize("field", ["local", "federated", "personalised", "pooled", "gap_closed", "common"])
def test_any_mean_may_be_null(field: str) -> None:
    report = sample(3)
    report["mean"][field] = None
    report["reasons"][f"mean.{field}"] = "the reason for this mean"

    assert "the reason for this mean" in "".join(read(report).words)


def test_a_utility_that_nobody_could_observe_is_a_dash_in_every_round() -> None:
    report = sample(3, 2)
    report["utility"] |= {"start": None, "end": None}
    for step in report["rounds"]:
        step["utility"] = None
    report["reasons"] |= dict.fromkeys(("utility.start", "utility.end", "rounds.utility"), "No test rows.")
    words = "".join(read(report).words)

    assert "No test rows." in words
    assert UNEXPLAINED not in words


def test_a_report_without_a_null_has_no_list_of_reasons() -> None:
    report = sample(2)
    report |= {"ledger_root": "ab" * 32, "reasons": {}}
    for org in report["organisations"]:
        org |= {"value": 0.1, "value_ci95": [0.05, 0.15], "share": 0.5, "reasons": {}}
        org["metered"] |= {"gpu_seconds": 1.0, "energy_joules": 2.0}
    words = "".join(read(report).words)

    assert "\u2014" not in words
    assert "Reasons for what is not given" not in words


def test_a_number_that_is_not_finite_is_a_dash() -> None:
    """The reader is told that this is a defect."""
    report = sample(3)
    report["organisations"][0]["gap"] = float("nan")
    report["rounds"][0]["utility"] = float("inf")

    assert UNEXPLAINED in "".join(read(report).words)


def test_every_verdict_appears_in_words_with_its_reason() -> None:
    words = "".join(read(sample()).words)

    for verdict, said in VERDICTS.items():
        assert said in words
        assert WHY[verdict] in words


def test_organisations_come_with_the_fewest_rows_first() -> None:
    report = sample(3)
    report["organisations"].reverse()
    shown = [word for word in read(report).words if re.fullmatch(r"Clinic \d", word)]

    assert shown[:3] == ["Clinic 1", "Clinic 2", "Clinic 3"]


def test_notes_settings_and_origin_are_there() -> None:
    words = " ".join(read(sample()).words)

    for said in (
        "2 columns are constant in training rows and were left out",
        "3 missing cells were filled with the mean",
        "lr 0.03, epochs 40",
        "baselines.lr_grid",
        "0.001, 0.01, 0.1",
        "not set",
        "accepted in 35 % of splits",
        "simulated as noise:0.4",
        "sequential: the only engine of this version",
        "3b1f" * 16,
    ):
        assert said in words


def test_a_null_setting_with_a_reason_is_a_dash() -> None:
    report = sample(2)
    report["reasons"]["settings.training.clip_norm"] = "Clipping comes with secure aggregation."

    assert "not set" not in " ".join(read(report).words)


def test_forty_organisations_in_500_rounds_are_less_than_a_megabyte() -> None:
    assert len(page(SIZES["forty hostile ones in 500 rounds"]).encode()) < 1_000_000


def test_of_too_many_organisations_some_are_listed_and_all_are_counted() -> None:
    """The fewest rows, the most, and even steps between; the sentence says where the others are."""
    many = read(sample(103, 2))
    listed = {number for word in many.words for number in re.findall(r"^Clinic (\d+)$", word)}
    drawn = {number for word in many.words for number in re.findall(r"^Clinic (\d+), alone: ", word)}
    words = unescape("".join(many.words))
    report = sample(103, 2)
    rows = sorted((org["rows"], org["id"], org["name"]) for org in report["organisations"])

    assert "Listed are 100 of 103 organisations, evenly spaced by their rows; report.json holds all." in words
    assert listed == drawn
    assert len(drawn) == 100
    assert {f"Clinic {number}" for number in drawn} >= {rows[0][2], rows[-1][2]}
    assert "All organisations, by verdict" in words
    for verdict, said in VERDICTS.items():
        number = sum(org["verdict"] == verdict for org in report["organisations"])
        assert f"{said}{number}" in words
    assert "Listed are" not in "".join(read(sample(100)).words)


def test_a_page_about_ten_thousand_organisations_has_the_size_of_one_about_a_hundred() -> None:
    assert len(page(sample(10_000, 2))) < 1.05 * len(page(sample(100, 2)))
