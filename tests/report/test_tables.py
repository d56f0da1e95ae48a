"""Tables: headings, spans and labels that a screen reader and a narrow screen need."""

from xml.etree import ElementTree as ET

import pytest

from fedgap.report.tables import Column, table

COLUMNS = [Column("organisation", numeric=False), Column("model", numeric=False), Column("score")]


def parsed(html: str) -> ET.Element:
    return ET.fromstring(html)  # noqa: S314 - our own output


def test_a_group_has_one_heading_that_spans_its_rows() -> None:
    found = parsed(table("Scores", COLUMNS, [[["Clinic <1>", "alone", "0.8"], ["pooled", "0.9"]]]))
    (heading,) = found.findall(".//tbody/tr/th")

    assert (heading.text, heading.get("rowspan"), heading.get("scope")) == ("Clinic <1>", "2", "rowgroup")
    assert [cell.text for cell in found.iter("td")] == ["alone", "0.8", "pooled", "0.9"]


def test_every_cell_carries_its_heading_for_narrow_screens() -> None:
    found = parsed(table("Scores", COLUMNS, [[["Clinic", "alone", "0.8"]]], stacked=True))

    assert found.tag == "table"
    assert [cell.get("data-label") for cell in found.iter("td")] == ["model", "score"]


def test_a_table_that_does_not_stack_scrolls_in_a_box_that_keys_can_reach() -> None:
    box = parsed(table("Scores", COLUMNS, [[["Clinic", "alone", "0.8"]]]))

    assert (box.tag, box.get("tabindex"), box.get("aria-label")) == ("div", "0", "Scores")


def test_a_row_of_the_wrong_length_is_refused() -> None:
    """A value can never slip under another column's heading."""
    with pytest.raises(ValueError, match="zip"):
        table("Scores", COLUMNS, [[["Clinic", "alone"]]])
