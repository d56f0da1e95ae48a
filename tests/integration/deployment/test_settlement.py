"""Settlement over real processes: the simulation's values, a whole ledger, money to the cent, through every crash."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployment.processes import ROOT, Deployment, environment, fedgap
from tests.simulation.opened import POLICY, wide

ORGS = ("ash", "birch", "cedar", "elm", "fir")
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "federation": {"policy": "policy.toml"},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}

pytestmark = pytest.mark.slow


def deployment(folder: Path, orgs: tuple[str, ...], rounds: int, *, features: int = 10, periods: int = 1) -> Deployment:
    """A federation that measures contributions and has a policy."""
    files = {name: wide(20 + 8 * seed, seed, features) for seed, name in enumerate(orgs)}
    sections = {**SECTIONS, "training": {"rounds": rounds, "lr": 0.2}, "settlement": {"periods": periods}}
    policy = POLICY + '[[period]]\nbudget = "10.00"\n' * (periods - 1)
    deployed = Deployment(folder, rounds=rounds, files=files, sections=sections)
    for place in (folder / "simulated", deployed.server):
        (place / "evaluation.csv").write_text(wide(80 * periods, 99, features))
        (place / "policy.toml").write_text(policy)
    return deployed


def test_five_organisations_are_credited_and_paid_as_in_the_simulation(tmp_path: Path) -> None:
    with deployment(tmp_path, ORGS, rounds=4) as deployed:
        deployed.start_all()
        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in ORGS] == [0] * len(ORGS)
        assert deployed.model_sha256() == deployed.simulated_sha256()
        ledger, simulated = deployed.server / "ledger.sqlite", tmp_path / "simulated" / "out" / "ledger.sqlite"

        assert values(simulated) == values(ledger)
        assert fedgap("ledger", "verify", ledger)["exit"] == 0
        second = [sys.executable, str(ROOT / "tests" / "second_verifier.py"), str(ledger)]
        assert subprocess.run(second, check=False, env=environment()).returncode == 0
        key = deployed.server / "keys" / "server.key"
        assert fedgap("funding", "settle", "--ledger", ledger, "--key", key)["exit"] == 0
        (statement,) = fedgap("funding", "statement", "--ledger", ledger)["statements"]
        spent = sum(line["paid_now"] + line["vesting"] + line["set_aside"] for line in statement["lines"])
        assert statement["budget"]["total"] == spent + statement["carried"] + statement["returned"]
        (expected,) = fedgap("funding", "statement", "--ledger", simulated)["statements"]
        assert [line["share"] for line in expected["lines"]] == [line["share"] for line in statement["lines"]]
        assert fedgap("ledger", "verify", ledger)["exit"] == 0
        again = fedgap("server", "run", deployed.server, "--wait", "1")
        assert (again["exit"], again["rounds"]) == (0, 4)


@pytest.mark.parametrize("purpose", ["close", "reveal", "statement"])
def test_a_client_killed_while_it_is_settled_with_comes_back_and_the_values_are_the_same(
    tmp_path: Path, purpose: str
) -> None:
    """Killed with -9 as soon as it is asked; its supervisor starts it again, and it answers with the same bytes."""
    with deployment(tmp_path, ORGS[:3], rounds=2) as deployed:
        deployed.start_all()
        log = tmp_path / "birch" / "fedgap-site" / "egress.jsonl"
        before = {"close": "certificate", "reveal": "agenda", "statement": "reveal"}[purpose]
        wanted = 2 if purpose == "close" else 1
        deployed.until(lambda: log.exists() and log.read_text().count(f'"{before}"') >= wanted)
        os.kill(child(deployed.running["birch"].pid), signal.SIGKILL)

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        deployed.simulated_sha256()
        assert values(tmp_path / "simulated" / "out" / "ledger.sqlite") == values(deployed.server / "ledger.sqlite")
        assert fedgap("ledger", "verify", deployed.server / "ledger.sqlite")["exit"] == 0


def test_a_server_killed_between_closing_and_statement_goes_on_to_the_same_values(tmp_path: Path) -> None:
    with deployment(tmp_path, ORGS[:3], rounds=2) as deployed:
        deployed.start_all()
        deployed.until(lambda: deployed.sums() >= 1)
        deployed.kill("server")
        deployed.start_server()
        kept = deployed.server / "state" / "journal"
        for name in ("settlement-close.bin", "settlement-agenda-1.bin", "settlement-reveal-1.bin"):
            deployed.until(lambda path=kept / name: path.exists())  # type: ignore[misc]
            deployed.kill("server")
            deployed.start_server()

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        deployed.simulated_sha256()
        assert values(tmp_path / "simulated" / "out" / "ledger.sqlite") == values(deployed.server / "ledger.sqlite")
        assert fedgap("ledger", "verify", deployed.server / "ledger.sqlite")["exit"] == 0
        assert within_bounds(deployed.server / "ledger.sqlite")


def within_bounds(ledger: Path) -> bool:
    """Whether the server, which forgot nothing of how long it waited, bounds every honest claim from above."""
    entries = fedgap("ledger", "show", ledger)["entries"]
    claimed, bounded = (
        {
            (one["record"]["organisation"], quantity["what"]): quantity["amount"]
            for one in entries
            if one["kind"] == kind
            for quantity in one["record"][key]
        }
        for kind, key in (("CostClaimed", "metered"), ("CostBounded", "bounds"))
    )
    return bool(claimed) and all(amount <= bounded[key] for key, amount in claimed.items())


def test_two_periods_are_settled_though_the_server_is_killed_in_and_between_them(tmp_path: Path) -> None:
    """Killed with -9 while the first is opened, and when the second begins. One on the way: tests/flower."""
    with deployment(tmp_path, ORGS[:3], rounds=11, features=41, periods=2) as deployed:
        deployed.start_all()
        kept = deployed.server / "state" / "journal"
        for name in ("settlement-reveal-1.bin", "settlement-agenda-2.bin"):
            deployed.until(lambda path=kept / name: path.exists())  # type: ignore[misc]
            deployed.kill("server")
            deployed.start_server()

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        assert deployed.model_sha256() == deployed.simulated_sha256()
        ledger, simulated = deployed.server / "ledger.sqlite", tmp_path / "simulated" / "out" / "ledger.sqlite"
        for period in (1, 2):
            assert values(simulated, period) == values(ledger, period)
        opens = [e["record"]["round"] for e in entries(ledger) if e["kind"] == "RoundOpened"]
        assert opens == list(range(1, 12))
        assert fedgap("ledger", "verify", ledger)["exit"] == 0


def entries(ledger: Path) -> list[dict[str, Any]]:
    """What a ledger holds."""
    found: list[dict[str, Any]] = fedgap("ledger", "show", ledger, "--count", 100_000)["entries"]
    return found


def values(ledger: Path, period: int = 1) -> dict[str, tuple[Fraction, str]]:
    """Value and standing of each organisation in a period, as the ledger has them."""
    records = [entry["record"] for entry in entries(ledger) if entry["kind"] == "ContributionEstimated"]
    records = [record for record in records if record["period"] == period]
    return {one["organisation"]: (Fraction(one["value"]), one["standing"]) for one in records}


def child(pid: int) -> int:
    """The process that works for a client."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell the children of a process")
    return int(children.read_text().split()[0])
