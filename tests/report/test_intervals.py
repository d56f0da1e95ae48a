"""The dot-and-interval chart: what is drawn is what the report says."""

from xml.etree import ElementTree as ET

import pytest

from fedgap.report import intervals
from fedgap.report.fields import MODELS
from fedgap.report.names import display_names
from fedgap.report.reasons import Reasons
from tests.report.sample import sample


def drawn(organisations: list[dict[str, object]]) -> tuple[ET.Element, Reasons]:
    """The chart of own rows, parsed, and its footnotes."""
    reasons = Reasons({})
    axis = intervals.shared_scale(organisations)
    chart = intervals.draw(organisations, display_names(organisations), "own", axis, "accuracy", reasons)
    return ET.fromstring(chart), reasons  # noqa: S314 - our own output


def test_a_dot_stands_where_its_score_is() -> None:
    """A score half-way along the axis is drawn half-way along the plot."""
    org = sample(1)["organisations"][0]
    for model, value in zip(MODELS, (0.0, 0.25, 0.5, 1.0), strict=True):
        org[model] = {"metric": value, "ci95": [value, value], "metrics": {}}
    chart, _ = drawn([org])

    places = [float(str(mark.get("x")).rstrip("%")) for mark in chart.findall(".//svg")]
    low, quarter, half, high = places
    assert quarter - low == pytest.approx((high - low) / 4)
    assert half - low == pytest.approx((high - low) / 2)


def test_every_row_says_in_words_what_it_draws() -> None:
    """A pointer over the row, and a screen reader, get name, model, score and interval."""
    titles = [title.text for title in drawn(sample(1)["organisations"])[0].iter("title")]

    assert "Clinic 1" in titles
    assert "Clinic 1, alone: 0.820 (95 % interval 0.708 to 0.932)" in titles
    assert len(MODELS) + 1 == len(titles)


def test_only_what_serves_best_is_bold() -> None:
    """Label and number of the recommended model carry the class, no others do."""
    chart, _ = drawn(sample(1)["organisations"])

    assert [t.text for t in chart.iter("text") if "chosen" in str(t.get("class"))] == ["personalised", "0.875"]


def test_a_null_score_is_a_dash_with_its_reason_and_no_dot() -> None:
    org = sample(1)["organisations"][0]
    org["pooled"] = None
    org["reasons"] = {"pooled": "No two organisations have the same columns."}
    chart, reasons = drawn([org])

    assert len(MODELS) - 1 == len(chart.findall(".//svg"))
    assert "\u2014" in [t.text for t in chart.iter("text")]
    assert "No two organisations" in reasons.listed()


def test_a_score_without_an_interval_is_a_dot_alone() -> None:
    org = sample(1)["organisations"][0]
    org["local"]["ci95"] = None
    chart, _ = drawn([org])

    assert len(MODELS) - 1 == len([line for line in chart.iter("line") if line.get("class") == "interval"])
    assert "Clinic 1, alone: 0.820 (no interval)" in [title.text for title in chart.iter("title")]


def test_a_score_below_the_axis_is_an_arrow_at_its_edge() -> None:
    """It keeps its number; it does not press the others together."""
    org = sample(1)["organisations"][0]
    org["local"]["metric"] = -20.3
    org["local"]["ci95"] = [-30.0, -1.5]
    chart, _ = drawn([org])
    marks = chart.findall(".//svg")

    assert [next(iter(mark)).tag for mark in marks[:2]] == ["path", "circle"]
    assert marks[0].get("x") == min((str(mark.get("x")) for mark in marks), key=lambda x: float(x.rstrip("%")))
    assert "-20.300" in [t.text for t in chart.iter("text")]
