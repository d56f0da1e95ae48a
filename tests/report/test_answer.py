"""The answer in plain words, for every way a federation can end."""

from typing import Any

import pytest

from fedgap.report import summary
from tests.report.sample import HOSTILE_NAMES, sample


def with_means(**means: float | None) -> dict[str, Any]:
    """A report whose means on own rows are these."""
    report = sample()
    report["mean"] |= means
    return report


def test_all_gain() -> None:
    own, common, *verdicts = summary(sample(3, story="all gain"))

    assert own == (
        "Training together raises the mean accuracy of these 3 organisations on their own test rows "
        "from 0.891 to 0.947. "
        "Fine-tuned by each organisation, the shared model reaches 0.951. "
        "Putting all rows in one place would give 0.953; training together closes 90 % of that gap."
    )
    assert common.startswith(
        "Training together raises the mean accuracy of the 3 organisations on the test rows of all "
        "organisations from 0.860"
    )
    assert verdicts == ["Joining pays for Clinic 1, Clinic 2 and Clinic 3."]


def test_none_gains() -> None:
    own, _, *verdicts = summary(sample(2, story="none gains"))

    assert "lowers the mean accuracy" in own
    assert own.endswith("would give 0.880, no more than each alone: there is no gap to close here.")
    assert verdicts == [
        "Joining measurably pays for nobody.",
        "It makes no measurable difference for Clinic 1 and Clinic 2.",
    ]


def test_mixed() -> None:
    assert summary(sample())[2:] == [
        "Joining pays for Clinic 1, Clinic 2 and Clinic 7.",
        "It makes no measurable difference for Clinic 3, Clinic 5 and Clinic 8.",
        "1 should stay out: Clinic 4.",
        "There is too little data to tell for Clinic 6.",
    ]


def test_regression_names_its_metric() -> None:
    assert "the mean R2 of these 2 organisations" in summary(sample(2, kind="regression"))[0]


def test_as_few_digits_as_show_the_difference() -> None:
    """Two where they suffice; no sentence says that something rises from 0.89 to 0.89."""
    coarse = with_means(local=0.801, federated=0.852, personalised=0.84, pooled=0.901)
    fine = with_means(local=0.891, federated=0.894, personalised=0.8, pooled=0.95)

    assert "from 0.80 to 0.85. Putting all rows in one place would give 0.90;" in summary(coarse)[0]
    assert (
        "raises the mean accuracy of these 8 organisations on their own test rows from 0.891 to 0.894"
        in summary(fine)[0]
    )


def test_no_visible_change_is_called_none() -> None:
    same = with_means(local=-0.0001, federated=0.0001, personalised=0.0, pooled=0.0)

    assert summary(same)[0] == (
        "Training together leaves the mean accuracy of these 8 organisations on their own test rows at 0.000. "
        "Putting all rows in one place would give 0.000, no more than each alone: there is no gap to close here."
    )


@pytest.mark.parametrize(
    ("closed", "words"), [(-0.2, "closes nothing of that gap."), (1.07, "closes 107 % of that gap.")]
)
def test_a_gap_that_is_not_closed_is_said_so(closed: float, words: str) -> None:
    assert summary(with_means(gap_closed=closed))[0].endswith(words)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("local", "The mean accuracy of these 8 organisations on their own test rows cannot be given: Because."),
        ("federated", "The mean accuracy of these 8 organisations on their own test rows cannot be given: Because."),
        ("pooled", "What pooling all rows would give cannot be said: Because."),
        ("gap_closed", "how much of that gap is closed cannot be said: Because."),
    ],
)
def test_what_is_null_is_replaced_by_its_reason(field: str, words: str) -> None:
    report = with_means(**{field: None})
    report["reasons"][f"mean.{field}"] = "Because"

    assert summary(report)[0].endswith(words)


def test_many_names_are_counted() -> None:
    report = sample(40, story="all gain")
    report["organisations"][39]["verdict"] = "stay-out"

    assert summary(report)[2].endswith("Clinic 6, Clinic 7 and 32 others.")
    assert summary(report)[3] == "1 should stay out: Clinic 40."


def test_everyone_is_called_everyone() -> None:
    """No list with `and 33 others` where there is nobody else."""
    assert summary(sample(40, story="all gain"))[2:] == ["Joining pays for all 40 organisations."]
    assert summary(sample(40, story="none gains"))[3] == (
        "It makes no measurable difference for any of the 40 organisations."
    )


def test_hostile_names_cannot_disturb_a_terminal() -> None:
    """No control character, no line break, no reversed direction; long names are cut."""
    lines = summary(sample(len(HOSTILE_NAMES), hostile=True))

    assert not [line for line in lines for character in line if ord(character) < 32 or character in "\x7f\u2028\u202e"]
    assert "\u2068مستشفى المدينة المركزي\u2069" in " ".join(lines)
    assert all(len(line) < 400 for line in lines)
    assert " ".join(lines).encode("utf-8")
