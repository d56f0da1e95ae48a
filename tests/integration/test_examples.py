"""Every example is whole, loads, and runs to a report, with much less work than it asks for."""

import os
import tomllib
from pathlib import Path

import pytest

from fedgap.config import FederationConfig, load_federation, parse_federation
from fedgap.config.summary import summary
from fedgap.report import page
from fedgap.report import summary as answer
from fedgap.simulation.study import simulate
from tests.simulation.tiny import unexplained

EXAMPLES = Path(__file__).parents[2] / "examples"
PLANS = sorted(plan for plan in EXAMPLES.glob("*/*.toml") if "organisation" in tomllib.loads(plan.read_text("utf-8")))
LITTLE = {"splits": 1, "folds": 2, "epochs": 2, "personal_epochs": 1, "bootstrap": 200, "tune_federation": False}
ELSEWHERE = Path(os.environ.get("FEDGAP_DATA", EXAMPLES.parent.parent / "shared" / "data"))
"""Folder of data that may not be copied into the project: FEDGAP_DATA, else ../shared/data."""

FETCHED = {"hospitals": "heart-disease"}
"""Examples whose files are fetched by the user, and their folder in ELSEWHERE."""


def name_of(plan: Path) -> str:
    """Folder and file."""
    return plan.relative_to(EXAMPLES).as_posix()


def shortened(plan: Path) -> FederationConfig:
    """The example with one split and two rounds, or as few as its settlements need; whatever else it sets stays."""
    document = tomllib.loads(plan.read_text(encoding="utf-8"))
    document["training"] |= {"rounds": max(2, 10 * document.get("settlement", {}).get("periods", 0))}
    document["baselines"] = document.get("baselines", {}) | LITTLE
    folder = FETCHED.get(plan.parent.name)
    data = None if folder is None else ELSEWHERE / folder
    if data is not None and not data.is_dir():
        pytest.skip(f"{plan.parent.name} needs files that are not here (set FEDGAP_DATA)")
    return parse_federation(document, base=plan.parent, data_base=data)


def test_the_five_examples_are_there() -> None:
    found = {plan.parent.name for plan in PLANS if plan.name == "federation.toml"}

    assert found >= {"clinics", "digits", "hospitals", "iris", "prices"}


@pytest.mark.parametrize("folder", sorted({plan.parent for plan in PLANS}), ids=lambda folder: folder.name)
def test_an_example_explains_itself(folder: Path) -> None:
    """Its README names the command that runs it."""
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert f"examples/{folder.name}/federation.toml" in text


@pytest.mark.parametrize("plan", PLANS, ids=name_of)
def test_an_example_is_a_right_configuration(plan: Path) -> None:
    config = load_federation(plan)

    assert summary(config)
    for organisation in config.organisations:
        if plan.parent.name not in FETCHED:
            assert config.data_of(organisation).is_file()


@pytest.mark.parametrize("plan", PLANS, ids=name_of)
def test_an_example_runs_to_a_report(plan: Path) -> None:
    config = shortened(plan)
    report = simulate(config, workers=1, engine="auto", protocol="sum", progress=lambda _: None).report

    assert len(report["organisations"]) == len(config.organisations)
    assert unexplained(report) == []
    assert all(entry["federated"]["common"]["metric"] is not None for entry in report["organisations"])
    assert answer(report)
    assert page(report).startswith("<!")
