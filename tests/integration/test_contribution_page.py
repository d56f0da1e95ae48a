"""The worked example of docs/contribution.md is what the command says."""

import re
import tomllib
from pathlib import Path

import pytest

from fedgap.config import parse_federation
from fedgap.simulation.study import simulate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contribution.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (clinic-\d) \| ([\d.]+) \| ([\d.]+)\.\.([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE
)
LITTLE = {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 0, "bootstrap": 200}
"""The comparison with other models has no part in contributions, so it may be short."""


def test_the_worked_example_comes_out_of_the_command() -> None:
    plan = ROOT / "examples" / "clinics" / "federation.toml"
    document = tomllib.loads(plan.read_text(encoding="utf-8"))
    document["baselines"] = document.get("baselines", {}) | LITTLE
    config = parse_federation(document, base=plan.parent, data_base=None)
    report = simulate(config, workers=1, engine="auto", protocol="sum", progress=lambda _: None).report
    printed = {name: [float(number) for number in numbers] for name, *numbers in ROW.findall(PAGE)}

    assert set(printed) == {entry["id"] for entry in report["organisations"]}
    for entry in report["organisations"]:
        shares = [entry["share"], entry["baselines"]["size"], entry["baselines"]["equal"]]
        hundredths = [entry["value"], *entry["value_ci95"], *shares]
        assert [100 * number for number in hundredths] == pytest.approx(printed[entry["id"]], abs=0.0501)
    gain = report["contribution"]["gain"]
    assert f"the *gain* is {gain:.4f}" in PAGE
    assert f"0.5 / 8 + 0.5 * {printed['clinic-8'][0]} / {100 * gain:.2f}" in PAGE
