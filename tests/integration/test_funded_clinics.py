"""The funded clinics: 100,000.00 EUR over two periods, to the cent, and the statement that the README shows."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import parse_federation
from fedgap.funding.amounts import money
from fedgap.ledger import Trust
from fedgap.ledger.reading import verify_file
from fedgap.simulation.ledger_of import write_ledger
from fedgap.simulation.study import Study, simulate
from tests.cli.command import Run, command

EXAMPLE = Path(__file__).parents[2] / "examples" / "clinics"
LITTLE = {"splits": 1, "folds": 2, "epochs": 2, "personal_epochs": 1, "bootstrap": 200}
"""What organisations are compared with is not in the ledger, so the ledger is the example's own all the same."""

CENTS = 10_000_000


@pytest.fixture(scope="module")
def study() -> Study:
    document = tomllib.loads((EXAMPLE / "funded.toml").read_text(encoding="utf-8"))
    document["baselines"] |= LITTLE
    config = parse_federation(document, base=EXAMPLE)
    return simulate(config, workers=1, engine="auto", protocol=None, progress=lambda _: None)


@pytest.fixture(scope="module")
def ledger(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("funded") / "ledger.sqlite"
    assert study.facts is not None
    path.write_bytes(write_ledger(path, study.facts))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return command(monkeypatch, capsys, tmp_path)


@pytest.fixture
def statements(run: Run, ledger: Path) -> list[dict[str, Any]]:
    ended = run("funding", "statement", "--ledger", ledger, "--json")
    assert ended.status == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)["statements"]
    return found


def lines(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {line["organisation"]: line for line in statement["lines"]}


def shown(statement: Mapping[str, Any]) -> list[str]:
    """The rows of the README's table of a period."""
    amounts = ("reimbursed", "base", "pool", "vesting", "paid_now")
    return [
        f"| {line['organisation']} | {line['value']['decimal'][:-4]} | "
        + " | ".join(money(line[name], 2) for name in amounts)
        + f" | {', '.join(line['flags'])} |"
        for line in statement["lines"]
    ]


def test_every_cent_is_accounted_for(statements: list[dict[str, Any]]) -> None:
    first, last = statements
    paid = sum(line["paid_now"] for statement in statements for line in statement["lines"])

    assert paid + last["returned"] == CENTS
    assert first["carried"] == last["carried"] == 0
    held = sum(line["vesting"] + line["set_aside"] for line in last["lines"])
    assert held == 0
    for statement in statements:
        parts = sum(line["reimbursed"] + line["base"] + line["pool"] for line in statement["lines"])
        assert parts + statement["carried"] + statement["returned"] == statement["budget"]["total"]


def test_the_free_rider_gets_nothing_for_its_updates_and_duplicates_get_the_same(
    statements: list[dict[str, Any]],
) -> None:
    got = {
        org: sum(lines(statement)[org]["base"] + lines(statement)[org]["pool"] for statement in statements)
        for org in lines(statements[0])
    }

    assert got["clinic-6"] == 0
    assert got["clinic-3"] == 0
    assert got["clinic-4"] == pytest.approx(got["clinic-5"], rel=0.01)
    assert all(line["value_ci95"] is None for statement in statements for line in statement["lines"])


def test_the_ledger_is_whole_and_the_report_names_it(study: Study, ledger: Path) -> None:
    found = verify_file(ledger, Trust())

    assert found.fault is None
    assert found.root.hex() == study.report["ledger_root"]
    assert "one opening a period" in study.report["organisations"][0]["reasons"]["value_ci95"]


def test_statements_are_the_same_bytes_twice(run: Run, ledger: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        assert run("funding", "statement", "--ledger", ledger, "--out", tmp_path / place).status == 0
    written = [{file.name: file.read_bytes() for file in (tmp_path / place).iterdir()} for place in ("one", "two")]

    assert written[0] == written[1]
    assert {"statement-1.json", "statement-1.csv", "statement-2.json", "statement-2.csv"} <= set(written[0])


def test_the_readme_shows_the_statement(statements: list[dict[str, Any]]) -> None:
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8").splitlines()

    assert [row for row in page if row in {line for s in statements for line in shown(s)}] == [
        line for statement in statements for line in shown(statement)
    ]
