"""The line over the rounds: one point a round, gaps stay gaps."""

from xml.etree import ElementTree as ET

import pytest

from fedgap.report import trend


def drawn(points: list[trend.Point]) -> ET.Element:
    return ET.fromstring(trend.draw(points, "Utility"))  # noqa: S314 - our own output


def test_few_rounds_have_a_dot_each_and_many_only_the_ends() -> None:
    """500 rounds stay a light page."""
    assert len(list(drawn([(at, at / 15) for at in range(16)]).iter("circle"))) == 16
    assert len(list(drawn([(at, at / 500) for at in range(501)]).iter("circle"))) == 2


def test_the_line_runs_from_the_first_to_the_last_round() -> None:
    """Upwards on the page is up in the number."""
    (line,) = drawn([(0, 0.0), (1, 0.5), (4, 1.0)]).iter("polyline")

    assert line.get("points") == "0.0,1000.0 250.0,500.0 1000.0,0.0"


def test_a_missing_round_interrupts_the_line() -> None:
    """Nothing is drawn where nothing was measured."""
    lines = list(drawn([(0, 0.1), (1, 0.2), (2, None), (3, 0.3), (4, 0.4), (5, float("nan"))]).iter("polyline"))

    assert len(lines) == 2


@pytest.mark.parametrize("points", [[(1, 0.5)], [(1, None)], [(1, None), (2, None)]])
def test_one_round_or_no_number_still_makes_a_chart(points: list[trend.Point]) -> None:
    """A single round is a dot; no number at all is an empty frame."""
    chart = drawn(points)

    assert not list(chart.iter("polyline"))
    assert len([value for _, value in points if value is not None]) == len(list(chart.iter("circle")))


def test_the_label_tells_start_and_end() -> None:
    """A screen reader gets the gist of the picture."""
    assert (
        drawn([(0, 0.5), (1, 0.8), (2, 0.9)]).get("aria-label")
        == "Utility by round: 0.500 in round 0, 0.900 in round 2"
    )
