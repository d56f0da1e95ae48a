"""An identifier is safe wherever it is written."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import is_id


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True))
def test_lower_case_letters_digits_and_hyphens_make_an_identifier(text: str) -> None:
    assert is_id(text)
    assert PurePosixPath(text).name == text
    assert text.isascii()


@pytest.mark.parametrize("text", ["", "-a", "A", "a b", "a/b", "a.b", "a\n", "ä", "a" * 64, "a_b", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    assert not is_id(text)
