"""Numbers as people read them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.report import figures


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (figures.score, 0.95349, "0.953"),
        (figures.score, -0.0001, "0.000"),
        (figures.score, 12_345_678.9, "1.235e+07"),
        (figures.signed, 0.056, "+0.056"),
        (figures.signed, -0.056, "-0.056"),
        (figures.signed, 0.0, "0.000"),
        (figures.between, [0.91, 0.98], "0.910 to 0.980"),
        (figures.between_signed, [-0.01, 0.08], "-0.010 to +0.080"),
        (figures.finely_signed, 0.00351, "+0.0035"),
        (figures.finely_signed, -0.00001, "0.0000"),
        (figures.between_finely_signed, [-0.0021, 0.0049], "-0.0021 to +0.0049"),
        (figures.percent, 0.916, "92 %"),
        (figures.percent, -0.001, "0 %"),
        (figures.fine_percent, 0.125, "12.5 %"),
        (figures.count, 12345, "12,345"),
        (figures.seconds, 0.421, "0.42 s"),
        (figures.seconds, 42.2, "42 s"),
        (figures.seconds, 59.6, "1 min 00 s"),
        (figures.seconds, 125, "2 min 05 s"),
        (figures.seconds, 3780, "1 h 03 min"),
        (figures.size, 992, "992 B"),
        (figures.size, 999_960, "1.0 MB"),
        (figures.size, 34_500_000, "34.5 MB"),
        (figures.size, 5e15, "5,000.0 TB"),
        (figures.joules, 5.0, "5.0 J"),
        (figures.joules, 1234.0, "1.2 kJ"),
        (figures.setting, None, "not set"),
        (figures.setting, True, "yes"),
        (figures.setting, [0.001, 0.1], "0.001, 0.1"),
        (figures.setting, [], "none"),
    ],
)
def test_a_number_is_shown_with_its_unit(form: Callable[[object], str], value: object, shown: str) -> None:
    assert shown == form(value)


@given(st.floats(-1e9, 1e9))
def test_a_shown_score_is_the_score_to_three_decimals(value: float) -> None:
    """What a person reads is never further from the value than the last digit shown."""
    assert float(figures.score(value)) == pytest.approx(value, rel=1e-3, abs=5.1e-4)
    assert float(figures.signed(value)) == float(figures.score(value))


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), float("inf"), [1.0]])
def test_what_is_not_a_finite_number_is_not_shown_as_one(value: object) -> None:
    """No null, no text and no infinity slips into a column of numbers."""
    assert not figures.is_number(value)
