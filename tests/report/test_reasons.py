"""Footnotes: every dash leads to a reason, and no reason stays hidden."""

import pytest

from fedgap.report.figures import score
from fedgap.report.reasons import UNEXPLAINED, Reasons, find_reason


@pytest.mark.parametrize(
    "key", ["local.common.metrics.auc", "common.metrics.auc", "metrics.auc", "auc", "local.common", "local"]
)
def test_a_reason_is_found_under_the_field_its_endings_and_what_contains_it(key: str) -> None:
    """Whoever writes a reason may name the field as precisely as it holds."""
    assert find_reason("local.common.metrics.auc", {"brier": "other", key: "one class"}) == "one class"


def test_the_reason_for_a_value_is_also_that_for_its_interval() -> None:
    """A null value has a null interval; one reason serves both."""
    assert find_reason("value_ci95", {"value": "no openings"}) == "no openings"
    assert find_reason("value", {"gap": "other"}) is None


def test_the_most_precise_reason_wins_and_the_organisation_comes_first() -> None:
    """A general reason does not hide a particular one."""
    reasons = Reasons({"gap": "general"})
    reasons.number({"reasons": {"gap": "ours", "local": "wide", "local.metric": "narrow"}}, "gap")
    reasons.number({"reasons": {"local": "wide", "local.metric": "narrow"}}, "local.metric")

    shown = reasons.listed()
    assert "ours" in shown
    assert "narrow" in shown
    assert "general" not in shown
    assert "wide" not in shown


def test_the_same_reason_gets_the_same_number() -> None:
    """Forty organisations without a GPU make one footnote."""
    reasons = Reasons({"gpu": "no GPU"})

    assert [reasons.number({}, "gpu"), reasons.number({}, "gpu"), reasons.number({}, "other")] == [1, 1, 2]


def test_a_null_without_a_reason_is_called_a_defect() -> None:
    """It is never passed over in silence."""
    reasons = Reasons({})

    assert 'href="#reason-1"' in reasons.dash({}, "gap")
    assert UNEXPLAINED in reasons.listed()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), [0.1, None], [], "text"])
def test_what_is_no_number_becomes_a_dash(value: object) -> None:
    """A number that is not finite never reaches the reader as `nan`."""
    shown = Reasons({"gap": "because"}).show({"gap": value}, "gap", score)

    assert shown.startswith("<span>\u2014<sup>")


def test_reasons_nothing_led_to_are_listed_with_their_field() -> None:
    """A used reason is not listed a second time."""
    reasons = Reasons({})
    reasons.number({"reasons": {"gap": "used"}}, "gap")
    reasons.add_unused({"gap": "used", "seed": "unused"}, "Clinic, ")

    assert '<li id="reason-2">Clinic, seed: unused</li>' in reasons.listed()
    assert len(reasons) == 2
