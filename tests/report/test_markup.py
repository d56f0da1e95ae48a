"""Markup: text stays text, whatever it holds."""

import html
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.report.markup import clean, element, joined, raw, text


@given(st.text())
def test_any_text_survives_as_text_in_well_formed_xml(value: str) -> None:
    """A parser reads back exactly the cleaned text, in an element and in an attribute: nothing became markup."""
    parsed = ET.fromstring(element("p", value, title=value))  # noqa: S314 - our own output

    assert not list(parsed)
    assert clean(value) == (parsed.text or "")
    assert clean(value) == parsed.get("title")


@given(st.text())
def test_cleaning_twice_changes_nothing(value: str) -> None:
    """What is shown on a page and what is shown in a terminal agree."""
    assert clean(value) == clean(clean(value))


@pytest.mark.parametrize(
    ("dirty", "shown"),
    [
        ("\x1b[31mred\x07", "[31mred"),
        ("one\ntwo\u2028three\tfour", "one two three four"),
        ("\u202eabc\u202c\u2066", "abc"),
        ("\ud800\ufffe\ufdd0", "\ufffd\ufffd\ufffd"),
        ("👩\u200d⚕️", "👩\u200d⚕️"),
    ],
)
def test_control_and_direction_characters_are_dropped(dirty: str, shown: str) -> None:
    """They would move a terminal's cursor, reverse a sentence or break XML; joined emoji stay joined."""
    assert shown == clean(dirty)


def test_markup_is_escaped_once() -> None:
    """Nested elements pass unchanged; text beside them is escaped."""
    assert element("p", element("b", "a & b"), " < c") == "<p><b>a &amp; b</b> &lt; c</p>"
    assert text(text("<")) == "&lt;"


def test_markup_that_was_joined_as_text_is_escaped_again() -> None:
    """Losing the type fails safe: the reader sees the tags, the browser does not obey them."""
    assert html.escape("<b></b>!") == text(element("b") + "!")


def test_empty_shapes_close_themselves_and_other_elements_do_not() -> None:
    """Both a browser and an XML parser read them."""
    assert element("circle", r=4.5) == '<circle r="4.5"/>'
    assert element("td", class_="number") == '<td class="number"></td>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert joined([raw("<b>1</b>"), "<"]) == "<b>1</b>&lt;"
