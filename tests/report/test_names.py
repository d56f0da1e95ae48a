"""Names: readable, distinct, and unable to disturb the text around them."""

from hypothesis import given
from hypothesis import strategies as st

from fedgap.report.markup import clean
from fedgap.report.names import display_names, isolated, shortened


def test_a_name_without_a_visible_character_is_replaced_by_the_id() -> None:
    """An organisation is never nameless."""
    assert display_names([{"id": "clinic-1", "name": "\u200b \u200d\n"}]) == {"clinic-1": "clinic-1"}


def test_a_name_that_occurs_twice_gets_the_id_in_front() -> None:
    """Two organisations of one name can be told apart, also when the name is cut."""
    twins = [{"id": "a", "name": "Clinic"}, {"id": "b", "name": "Clinic\x00"}, {"id": "c", "name": "Other"}]

    assert display_names(twins) == {"a": "a: Clinic", "b": "b: Clinic", "c": "Other"}


def test_a_right_to_left_name_is_isolated_and_stays_so_when_cut() -> None:
    """The commas and numbers behind it keep their place."""
    assert isolated("مستشفى") == "\u2068مستشفى\u2069"
    assert shortened(isolated("مستشفى المدينة"), 5) == "\u2068مستش\u2026\u2069"
    assert isolated("Clinic") == "Clinic"


def test_a_wide_character_takes_two_columns_and_an_accent_none() -> None:
    """Names of every script are cut at the same width."""
    assert shortened("二十四時間", 6) == "二十\u2026"
    assert shortened("e\u0301e\u0301", 2) == "e\u0301e\u0301"


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_short_name_is_kept_and_a_long_one_is_cut(name: str, columns: int) -> None:
    """Never longer than asked for, isolates aside, and unchanged when it fits in any script."""
    shown = shortened(isolated(clean(name)), columns)

    assert len([c for c in clean(shown) if c not in "\u2068\u2069\u200c\u200d"]) <= max(columns, len(clean(name)))
    if 2 * len(name) <= columns:
        assert isolated(clean(name)) == shown
