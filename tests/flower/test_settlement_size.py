"""What people are told about the size of a settlement before anybody trains."""

from pathlib import Path

from fedgap.config.summary import settlement_size
from fedgap.flower.measuring import settlement_in_words
from tests.simulation import tiny

TRAINING = {"rounds": 50}


def test_the_plan_and_the_server_say_what_moves_or_why_nothing_does(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,outcome\n1,2\n")
    config = tiny.config(tmp_path, training=TRAINING, evaluation={"data": "rows.csv"})

    assert settlement_size(config) == (
        "Settling a period shows every organisation 100 bytes a parameter at once: 100 MB a million.",
    )
    assert "organisation 100.0 MB at once (1000000 parameters)" in (settlement_in_words(config, 10**6) or "")
    unopened = "no contribution will be opened, values are by weight: "
    assert (settlement_in_words(config, 10**8) or "").startswith(unopened + "Settling 50 rounds")
    assert (settlement_in_words(config, 12) or "").startswith(unopened + "a model of 12 parameters is too small")


def test_where_nothing_is_measured_nothing_is_said(tmp_path: Path) -> None:
    config = tiny.config(tmp_path, training=TRAINING)

    assert settlement_size(config) == ()
    assert settlement_in_words(config, 10**8) is None
