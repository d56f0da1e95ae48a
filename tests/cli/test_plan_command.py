"""`fedgap simulate --plan`: files, table, answer; the same twice; impossible wishes are refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Ended, Run, command
from tests.simulation.opened import POLICY, wide
from tests.simulation.tiny import write

NAMES = ("ash", "birch", "cedar", "elm")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return command(monkeypatch, capsys, tmp_path)


@pytest.fixture
def federation(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(POLICY)
    files = {name: wide(20 + 8 * seed, seed) for seed, name in enumerate(NAMES)}
    return write(tmp_path, files=files, federation={"policy": "policy.toml"}, training={"rounds": 4, "lr": 0.3})


def planned(run: Run, path: Path, *more: object) -> dict[str, Any]:
    ended = run("simulate", "--plan", path, "--json", *more)
    assert ended.status == 0, ended.err
    plan: dict[str, Any] = json.loads(ended.out, parse_constant=pytest.fail)
    return plan


def refusal(ended: Ended) -> str:
    assert ended.out == ""
    assert "Traceback" not in ended.err
    return ended.err.strip().splitlines()[-1]


def test_it_shows_a_table_and_leaves_a_page_and_the_numbers(run: Run, federation: Path, tmp_path: Path) -> None:
    ended = run("simulate", "--plan", federation, "--budget", "60.00")
    plan = json.loads((tmp_path / "out" / "plan.json").read_text(), parse_constant=pytest.fail)
    page = (tmp_path / "out" / "plan.html").read_text()
    assert '<table class="stacked"><caption>Federations that no cheaper one beats' in page
    assert page.count('class="tick end" x="97.00%"') == 1, "the last number of the axis ends where the axis does"

    assert ended.status == 0, ended.err
    assert ended.err.strip().endswith("100 %")
    assert "With a budget of 60.00 EUR" in ended.out
    assert "of what is as good, this costs least" in ended.out
    assert plan["chosen"]["cost_shown"] in ended.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plan.json", "plan.html"}
    assert page.startswith("<!DOCTYPE html>")
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    assert plan["chosen"]["most_cost"] <= 6000


def test_every_cell_is_tried_and_the_same_seed_gives_the_same_plan(run: Run, federation: Path) -> None:
    plan = planned(run, federation)
    cells = {(cell["organisations"], cell["rows_part"], cell["rounds"]) for cell in plan["cells"]}

    assert cells == {(n, part, t) for n in (3, 4) for part in (0.25, 0.5, 0.75, 1.0) for t in (1, 2, 3, 4)}
    assert plan["wanted"]["budget"] == 100000
    assert planned(run, federation) == plan


def test_a_target_costs_more_the_higher_it_is(run: Run, federation: Path) -> None:
    lows = sorted(cell["utility_ci95"][0] for cell in planned(run, federation)["cells"])
    easy, hard = (planned(run, federation, "--target", low)["chosen"] for low in (lows[0], lows[-1]))

    assert easy["cost"] <= hard["cost"]
    assert hard["utility_ci95"][0] >= lows[-1]


def test_labour_is_priced_for_each_organisation(run: Run, federation: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY + '\n[[price]]\nwhat = "labour-minutes"\namount = "2.00"\n')
    plan = planned(run, federation, "--labour-minutes", 10)
    free = planned(run, federation)

    for dear, cheap in zip(plan["cells"], free["cells"], strict=True):
        assert dear["cost"] - cheap["cost"] == 2000 * dear["organisations"]


def test_impossible_wishes_are_refused(run: Run, federation: Path, tmp_path: Path) -> None:
    infeasible = run("simulate", "--plan", federation, "--budget", "0.01")
    assert (infeasible.status, refusal(infeasible)[:16]) == (1, "plan.infeasible:")
    assert "EUR" in refusal(infeasible)
    unreachable = run("simulate", "--plan", federation, "--target", "1.5")
    assert (unreachable.status, refusal(unreachable)[:16]) == (1, "plan.infeasible:")
    assert not (tmp_path / "out" / "plan.json").exists()


def test_federations_whose_numbers_ran_away_are_no_plan(run: Run, federation: Path) -> None:
    federation.write_text(federation.read_text().replace("lr = 0.3", "lr = 1e30").replace("rounds = 4", "rounds = 1"))
    ended = run("simulate", "--plan", federation)

    assert (ended.status, refusal(ended)[:16]) == (1, "plan.infeasible:")
    assert "ran away" in refusal(ended)


def test_wrong_usage_is_refused(run: Run, federation: Path, tmp_path: Path) -> None:
    for more in (("--plan", "--budget", "1", "--target", "1"), ("--plan", "--budget", "1.005"), ("--plan", "--budget", "x"), ("--target", "1"), ("--plan", "--target", "nan"), ("--plan", "--target", "inf")):  # fmt: skip  # noqa: E501 - one wrong call each
        ended = run("simulate", federation, *more)
        assert (ended.status, refusal(ended)[:12]) == (2, "usage.wrong:")
    (tmp_path / "plain").mkdir()
    ended = run("simulate", "--plan", write(tmp_path / "plain"))
    assert ended.status == 2
    assert "names no policy" in refusal(ended)
