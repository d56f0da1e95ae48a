"""A deployed round against Flower's stock FedAvg deployment, on the same rows with the same local training.

    python bench/round.py [--json] [--organisations N] [--rounds T] [--alone] [--accounting]

Both run as real processes on loopback, one after the other: ours with TLS, node keys, secure aggregation in five
exchanges and a journal on disk; Flower's with none of these and one exchange. The model is small, so that what is
measured is everything around the training. `--alone` leaves Flower out. `--accounting` measures schools of
examples/digits instead: which part of a round the ledger and the directions take at the server.

Wall time says little on a loaded machine, so what an exchange costs is told in processor time and in calls over HTTP
too: at the server for all members together, at a member with the training and with all looking for work.
"""

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.contestants.flower_fedavg import Stock
from bench.contestants.schools import Schools
from tests.flower.serving import free_port
from tests.integration.deployment.processes import Deployment
from tests.simulation.tiny import csv

MOST_EXCHANGE_S = 0.5
MOST_ACCOUNTING = 0.05
PATIENCE_S = 900.0
ACCOUNTING = "accounting <= 5 % of a round on examples/digits: use --accounting"


def ours(folder: Path, organisations: int, rounds: int) -> dict[str, Any]:
    """Run our deployment; give what the server noted, and the most memory each process had."""
    names = [f"site-{k:02d}" for k in range(organisations)]
    files = {name: csv(40, seed) for seed, name in enumerate(names)}
    with Deployment(folder, rounds=rounds, files=files, wait_s=600) as deployed:
        deployed.start_all()
        deployed.until(lambda: deployed.sums() >= 1, patience_s=PATIENCE_S)
        first = {name: cpu_seconds(deployed, name) for name in ("server", *names)}
        deployed.until(lambda: deployed.sums() >= rounds, patience_s=PATIENCE_S)
        spent = {name: cpu_seconds(deployed, name) - first[name] for name in first}
        peaks = {name: deployed.peak_bytes(name) for name in ("server", *names)}
        assert deployed.wait_for("server") == 0  # noqa: S101 - a benchmark of something that fails says nothing
        for name in names:
            deployed.wait_for(name)
        lines = deployed.status()["rounds"]
    counted = 5 * (rounds - 1)
    exchanges = [seconds for line in lines for seconds in line["exchanges"].values()]
    return {
        "seconds_a_round": statistics.median(line["seconds"] for line in lines),
        "exchange_seconds": statistics.median(exchanges),
        "exchanges": {
            purpose: statistics.median(line["exchanges"][purpose] for line in lines)
            for purpose in lines[0]["exchanges"]
        },
        "server_cpu_ms_an_exchange": 1000 * spent["server"] / counted,
        "client_cpu_ms_an_exchange": 1000 * statistics.median(spent[name] for name in names) / counted,
        "client_calls_an_exchange": statistics.median(calls(deployed.folder / name) for name in names) / (5 * rounds),
        "server_peak_bytes": peaks["server"],
        "client_peak_bytes": max(peaks[name] for name in names),
        "bytes_up": lines[-1]["bytes_up"],
        "bytes_down": lines[-1]["bytes_down"],
    }


def accounting(schools: int, rounds: int) -> dict[str, Any]:
    """Run schools of examples/digits with values to be opened; see what part of each round the accounts take."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Schools(Path(folder), rounds=rounds, wait_s=600, schools=schools) as deployed,
    ):
        deployed.start_all()
        assert deployed.wait_for("server") == 0  # noqa: S101 - a benchmark of something that fails says nothing
        lines = deployed.status()["rounds"]
    share = statistics.median(line["accounting_s"] / line["seconds"] for line in lines)
    about = {
        "name": f"fedgap, examples/digits, {schools} schools",
        "version": version("fedgap"),
        "seconds_a_round": statistics.median(line["seconds"] for line in lines),
        "accounting_seconds": statistics.median(line["accounting_s"] for line in lines),
    }
    bars = [bar("ledger and directions at the server, part of a round's wall time", share, MOST_ACCOUNTING)]
    return report(schools, rounds, [about], bars, [])


def cpu_seconds(deployed: Deployment, name: str) -> float:
    """Processor time that a process, and those that it started and that still run, have used so far."""
    pid = deployed.running[name].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in (str(pid), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def calls(site: Path) -> int:
    """Calls over HTTP that a site made in the whole run: to look for work and fetch it, and to answer."""
    lines = [json.loads(line) for line in (site / "fedgap-site" / "egress.jsonl").read_text().splitlines()]
    return sum(line.get("calls", 0) for line in lines)


def bar(name: str, value: float, bound: float) -> dict[str, Any]:
    """One claim: a value that must not be above its bound."""
    return {"name": name, "value": value, "bound": bound, "better": "lower", "holds": value <= bound}


def measure(organisations: int, rounds: int, *, alone: bool) -> dict[str, Any]:
    """Run both; compare."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "ours").mkdir()
        mine = ours(root / "ours", organisations, rounds)
        contestants: list[Mapping[str, Any]] = [{"name": "fedgap", "version": version("fedgap"), **mine}]
        bars = [bar("median exchange, seconds", mine["exchange_seconds"], MOST_EXCHANGE_S)]
        missing = [ACCOUNTING, "server memory <= 4x the model, client memory <= 6x, at 100 M parameters"]
        if alone:
            missing.append("seconds per round against Flower's stock FedAvg: leave out --alone")
        else:
            (root / "stock").mkdir()
            names = [f"site-{k:02d}" for k in range(organisations)]
            stock = Stock(root / "stock", root / "ours" / "simulated" / "federation.toml", names, free_port())
            seconds = stock.seconds_a_round(rounds, parameters=8, patience_s=PATIENCE_S)
            about = {"name": "Flower FedAvg, stock deployment", "version": version("flwr")}
            contestants.append(about | {"seconds_a_round": seconds})
            bars.append(bar("seconds a round, ours / Flower's", mine["seconds_a_round"] / seconds, 1.0))
    return report(organisations, rounds, contestants, bars, missing)


def report(
    organisations: int,
    rounds: int,
    contestants: list[Mapping[str, Any]],
    bars: list[dict[str, Any]],
    missing: list[str],
) -> dict[str, Any]:
    """What is printed with --json."""
    return {
        "benchmark": "round",
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "organisations": organisations,
        "rounds": rounds,
        "contestants": contestants,
        "bars": bars,
        "not_measured": missing,
    }


def main() -> int:
    """Measure and print; 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--organisations", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="at least 2")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--accounting", action="store_true")
    chosen = parser.parse_args()
    if chosen.accounting:
        found = accounting(chosen.organisations, chosen.rounds)
    else:
        found = measure(chosen.organisations, chosen.rounds, alone=chosen.alone)
    if chosen.json:
        print(json.dumps(found, indent=2))
    else:
        for one in found["contestants"]:
            print(one["name"], {key: value for key, value in one.items() if key != "name"})
        for one in found["bars"]:
            print(f"{'holds' if one['holds'] else 'FAILS'}  {one['name']}: {one['value']:.3g} (bound {one['bound']:g})")
    return 0 if all(one["holds"] for one in found["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
