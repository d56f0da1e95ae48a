"""A federation end to end: the commands as they are typed, the same model as in the simulation, through every crash."""

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployment.processes import ROOT, Deployment, fedgap

EXCHANGES = ("invite", "adverts", "relay", "survivors", "certificate")


def test_a_deployed_federation_gives_the_model_of_the_simulation(tmp_path: Path) -> None:
    """Three organisations, two rounds, real processes, TLS: bit for bit the same model."""
    with Deployment(tmp_path) as deployed:
        deployed.start_all()

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        assert deployed.model_sha256() == deployed.simulated_sha256()
        rounds = deployed.status()["rounds"]
        assert [line["organisations"] for line in rounds] == [deployed.names] * 2
        assert set(rounds[0]["exchanges"]) == set(EXCHANGES)


@pytest.mark.slow
def test_a_server_killed_in_every_exchange_goes_on_to_the_same_model(tmp_path: Path) -> None:
    """Killed with -9 after each of the five exchanges began and before the next one did; then between two rounds.

    An exchange takes a fraction of a second, so a kill may come too late: then it is tried again in a later round.
    """
    with Deployment(tmp_path, rounds=12) as deployed:
        deployed.start_all()
        left, seen = list(EXCHANGES), 0
        while left:
            deployed.until(lambda since=seen: _is_begun(deployed, left, since))  # type: ignore[misc]
            deployed.kill("server")
            time.sleep(0.5)  # what is written down lags behind what was asked
            hit = next(asked for asked in deployed.asked("ash")[seen:] if asked[2] in left)
            later = EXCHANGES[EXCHANGES.index(hit[2]) + 1 :]
            if not any(one[:2] == hit[:2] and one[2] in later for org in deployed.names for one in deployed.asked(org)):
                left.remove(hit[2])
            seen = len(deployed.asked("ash"))
            deployed.start_server()
        done = deployed.sums()
        deployed.until(lambda: deployed.sums() > done)
        deployed.kill("server")
        deployed.start_server()

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in deployed.names] == [0, 0, 0]
        assert deployed.model_sha256() == deployed.simulated_sha256()


def _is_begun(deployed: Deployment, exchanges: list[str], since: int) -> bool:
    """Tell whether a site was asked for one of these exchanges since then; the run must not be over."""
    assert deployed.running["server"].poll() is None, "the run ended before every exchange was met"
    return any(asked[2] in exchanges for asked in deployed.asked("ash")[since:])


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_ends_with_3_and_goes_on_later(tmp_path: Path) -> None:
    with Deployment(tmp_path, rounds=3) as deployed:
        deployed.start_all()
        deployed.until(lambda: deployed.sums() >= 1)
        deployed.running["server"].send_signal(signal.SIGTERM)
        assert deployed.wait_for("server") == 3
        assert "run.interrupted" in deployed.log("server")
        copy = tmp_path / "backup.tar.gz"
        assert fedgap("server", "backup", copy, "--dir", deployed.server)["exit"] == 0
        deployed.server.rename(tmp_path / "lost")
        assert fedgap("server", "restore", copy, deployed.server)["exit"] == 0
        deployed.start_server()

        assert deployed.wait_for("server") == 0
        assert deployed.model_sha256() == deployed.simulated_sha256()
        again = fedgap("server", "run", deployed.server, "--wait", "1")
        assert (again["exit"], again["rounds"]) == (0, 3)


@pytest.mark.slow
def test_five_clinics_give_the_model_of_the_simulation_in_ten_rounds(tmp_path: Path) -> None:
    names = [f"clinic-{number}" for number in range(1, 6)]
    files = {name: (ROOT / "examples" / "clinics" / "data" / f"{name}.csv").read_text() for name in names}
    sections: dict[str, dict[str, Any]] = {
        "task": {"label": "diagnosis"},
        "training": {"rounds": 10, "epochs": 2, "batch_size": 16, "lr": 0.1},
        "secagg": {"reply_timeout_s": 120.0},
        "baselines": {"splits": 1, "test_fraction": 0.4},
    }
    with Deployment(tmp_path, rounds=10, files=files, sections=sections) as deployed:
        deployed.start_all()

        assert deployed.wait_for("server") == 0
        assert [deployed.wait_for(name) for name in names] == [0] * 5
        assert deployed.model_sha256() == deployed.simulated_sha256()
        assert all(line["organisations"] == names for line in deployed.status()["rounds"])


@pytest.mark.slow
def test_an_organisation_is_added_while_the_server_runs(tmp_path: Path) -> None:
    """Three found the federation and train; a fourth joins without a restart, and is in the later rounds.

    A round takes a fraction of a second, to join several: so there are many rounds.
    """
    with Deployment(tmp_path, rounds=150, roster_changes="within-limits") as deployed:
        deployed.start_all()
        deployed.until(lambda: deployed.sums() >= 1)
        data = (tmp_path / "simulated" / "cedar.csv").read_text()
        (tmp_path / "simulated" / "doum.csv").write_text(data)
        federation = deployed.server / "federation.toml"
        federation.write_text(federation.read_text() + '[[organisation]]\nid = "doum"\n')
        assert deployed.join("doum")["exit"] == 0
        deployed.start_client("doum")

        assert deployed.wait_for("server") == 0
        rounds = deployed.status()["rounds"]
        assert rounds[0]["organisations"] == deployed.names
        assert rounds[-1]["organisations"] == [*deployed.names, "doum"]
        assert fedgap("server", "status", deployed.server)["manifest"]["version"] == 2


@pytest.mark.slow
def test_a_server_says_who_is_missing_and_stops_when_patience_is_over(tmp_path: Path) -> None:
    with Deployment(tmp_path, wait_s=3) as deployed:
        deployed.start_server()

        assert deployed.wait_for("server") == 3
        log = deployed.log("server")
        assert "server.missing-organisations" in log
        assert re.search(r"ash \(is not invited.*birch \(is not invited.*cedar", log, re.DOTALL)
