"""How much a settlement may move, and what is said about one that would not fit a message."""

from pathlib import Path
from typing import Any

import pytest

from fedgap.config import FederationConfig
from fedgap.contribution.steps import ServerStep
from fedgap.simulation.terms import MOST_SHOWN_BYTES, TooLargeSettlementError, shown_in_one, terms_of
from tests.simulation import tiny

LARGE = 10**8
ROUNDS = 50


def planned(folder: Path, **settlement: Any) -> FederationConfig:  # noqa: ANN401 - settings
    """Fifty rounds; [settlement] only if something stands in it."""
    folder.mkdir(exist_ok=True)
    sections: dict[str, Any] = {"settlement": settlement} if settlement else {}
    return tiny.config(folder, training={"rounds": ROUNDS}, **sections)


def test_a_settlement_that_fits_says_what_it_moves(tmp_path: Path) -> None:
    terms = terms_of(planned(tmp_path, periods=5, openings=2), ServerStep(), rounds=ROUNDS, parameters=10**6)

    assert terms.shown_bytes == 2 * 10**6 * 2 * 10
    assert not terms.nothing


def test_one_that_does_not_fit_a_message_is_refused_with_the_number_of_periods_that_does(tmp_path: Path) -> None:
    """At 100 million parameters ten rounds fit; fifty would be ten gigabytes."""
    with pytest.raises(TooLargeSettlementError, match=r"50 rounds .* 10\.0 GB at once; 2\.1 GB") as refused:
        terms_of(planned(tmp_path, periods=1), ServerStep(), rounds=ROUNDS, parameters=LARGE)
    assert refused.value.remedy == "Write settlement.periods = 5, or more."
    assert refused.value.exit_status == 2

    terms = terms_of(planned(tmp_path / "five", periods=5), ServerStep(), rounds=ROUNDS, parameters=LARGE)
    assert (terms.periods, terms.shown_bytes) == (5, 2 * LARGE * 10)
    assert terms.shown_bytes <= MOST_SHOWN_BYTES


def test_where_no_number_of_periods_does_the_remedy_says_so(tmp_path: Path) -> None:
    with pytest.raises(TooLargeSettlementError) as refused:
        terms_of(planned(tmp_path, openings=2), ServerStep(), rounds=ROUNDS, parameters=LARGE)

    assert "no number of periods does" in refused.value.remedy
    assert shown_in_one(rounds=ROUNDS, periods=5, parameters=LARGE, openings=2) > MOST_SHOWN_BYTES


def test_without_a_wish_for_one_nothing_is_opened_and_the_reason_is_kept(tmp_path: Path) -> None:
    terms = terms_of(planned(tmp_path), ServerStep(), rounds=ROUNDS, parameters=LARGE)

    assert (terms.periods, terms.shown_bytes) == (0, 0)
    assert "10.0 GB at once" in terms.nothing


def test_a_report_says_what_a_large_settlement_moves(tmp_path: Path) -> None:
    few, many = (
        terms_of(planned(tmp_path / str(size), periods=1), ServerStep(), rounds=ROUNDS, parameters=size)
        for size in (10**5, 10**7)
    )

    assert few.size_note == ()
    assert many.size_note == (
        "In a deployment settling a period shows every organisation 1.0 GB at once, held several times.",
    )
