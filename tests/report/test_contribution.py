"""The words beside the values: the numbers of the run, and nothing where there are none."""

from typing import Any

import pytest

from fedgap.report.contribution import contribution_words

BAND = {"plus_minus": 0.07, "coverage": 0.9}


def report(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    found = {"gain": 0.1879, "gap": 0.0, "last_round": 20, "rows": 226, "share_band": BAND}
    return {"contribution": found | changed}


def test_the_words_hold_the_numbers_of_the_run() -> None:
    value, share, limits = contribution_words(report())

    assert "+0.188 up to round 20, on 226 rows" in value
    assert "90 %" in share
    assert "within 7 points" in share
    assert "does not say" in limits


def test_without_a_band_none_is_claimed() -> None:
    assert "points" not in contribution_words(report(share_band=None))[1]


@pytest.mark.parametrize("nothing", [{}, {"contribution": None}, report(gain=None, last_round=None)])
def test_without_values_there_is_nothing_to_say(nothing: dict[str, Any]) -> None:
    assert contribution_words(nothing) == []
