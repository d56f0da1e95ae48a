"""A deployed round against Flower's stock FedAvg deployment, on the same rows with the same local training.

    python bench/round.py [--json] [--organisations N] [--rounds T] [--alone] [--accounting]
    python bench/round.py [--json] --large [--parameters N] [--optimizer fedadam]

Both run as real processes on loopback, one after the other: ours with TLS, node keys, secure aggregation in five
exchanges and a journal on disk; Flower's with none of these and one exchange. The model is small, so that what is
measured is everything around the training. Then schools of examples/digits show which part of a round the ledger and
the directions take at the server (`--accounting`: only this), and a model of 100 M parameters, or of N, how much
memory server and sites need (`--large`: only this; see `contestants/large_model.py`). `--alone` measures our small
rounds only. About seven minutes and 9 GB of memory in all.

Wall time says little on a loaded machine, so what an exchange costs is told in processor time and in calls over HTTP
too: at the server for all members together, at a member with the training. Calls are those that the server answered
from the first invitation of a round to its model, of all kinds, divided by members and exchanges.
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
from bench.contestants import large_model
from bench.contestants.flower_fedavg import Stock
from bench.contestants.schools import Schools
from tests.flower.serving import free_port
from tests.integration.deployment.processes import Deployment
from tests.simulation.tiny import csv

MOST_EXCHANGE_S = 0.5
MOST_ACCOUNTING = 0.05
MOST_SERVER, MOST_CLIENT = 4.0, 6.0
LARGE = 100_000_000
PATIENCE_S = 900.0
ALONE = "Flower's stock FedAvg, accounting, memory: leave out --alone"


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
        "client_calls_an_exchange": statistics.median(line["calls"] for line in lines) / (5 * organisations),
        "server_peak_bytes": peaks["server"],
        "client_peak_bytes": max(peaks[name] for name in names),
        "bytes_up": lines[-1]["bytes_up"],
        "bytes_down": lines[-1]["bytes_down"],
    }


def schools(organisations: int, rounds: int, *, is_measured: bool) -> list[dict[str, Any]]:
    """Run schools of examples/digits; give what the server noted of each round."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Schools(Path(folder), rounds=rounds, wait_s=600, schools=organisations, is_measured=is_measured) as deployed,
    ):
        deployed.start_all()
        assert deployed.wait_for("server") == 0  # noqa: S101 - a benchmark of something that fails says nothing
        lines: list[dict[str, Any]] = deployed.status()["rounds"]
    return lines


def accounting(organisations: int, rounds: int) -> dict[str, Any]:
    """See what part of each round the accounts take, and how long rounds are without any."""
    lines, bare = (schools(organisations, rounds, is_measured=measured) for measured in (True, False))
    share = statistics.median(line["accounting_s"] / line["seconds"] for line in lines)
    about = {
        "name": f"fedgap, examples/digits, {organisations} schools",
        "version": version("fedgap"),
        "seconds_a_round": statistics.median(line["seconds"] for line in lines),
        "seconds_a_round_unmeasured": statistics.median(line["seconds"] for line in bare),
        "bytes_down": lines[-1]["bytes_down"],
        "bytes_down_unmeasured": bare[-1]["bytes_down"],
        "accounting_seconds": statistics.median(line["accounting_s"] for line in lines),
        "wall_ms_by_part": by_part(lines, "wall_s"),
        "hidden_ms_by_part": by_part(lines, "hidden_s"),
        "cpu_ms_by_part": by_part(lines, "cpu_s"),
    }
    bars = [
        bar(
            "ledger, directions and what settlement adds to exchanges, at the server: part of a round's wall time",
            share,
            MOST_ACCOUNTING,
        )
    ]
    return report(organisations, rounds, [about], bars, [])


def large(parameters: int, optimizer: str = "fedavg") -> dict[str, Any]:
    """Run a tiny model, then a large one; see how much memory the large one takes beyond, in multiples of it."""
    found = []
    for wanted in (large_model.TINY, parameters):
        with tempfile.TemporaryDirectory() as folder:
            found.append(large_model.deploy(Path(folder), wanted, optimizer=optimizer))
    base, most = found
    contestants: list[Mapping[str, Any]] = [
        {
            "name": f"fedgap, {one.parameters} parameters, {optimizer}",
            "version": version("fedgap"),
            "model_bytes": one.model_bytes,
            "server_peak_bytes": one.server_bytes,
            "client_peak_bytes": one.client_bytes,
            "seconds_a_round": one.seconds_a_round,
            "seconds": one.seconds,
        }
        for one in found
    ]
    about = f"with {optimizer} at {most.parameters} parameters, beyond that of a tiny one, whole life"
    bars = [
        bar(
            f"server memory {about}, x the model",
            (most.server_bytes - base.server_bytes) / most.model_bytes,
            MOST_SERVER,
        ),
        bar(
            f"client memory {about}, x the model",
            (most.client_bytes - base.client_bytes) / most.model_bytes,
            MOST_CLIENT,
        ),
    ]
    missing = [] if parameters >= LARGE else [f"the same at {LARGE} parameters: leave out --parameters"]
    return report(3, large_model.ROUNDS, contestants, bars, missing)


def by_part(lines: list[dict[str, Any]], what: str) -> dict[str, float]:
    """Milliseconds of a round for each part of the accounts, and for all."""
    found = {
        part: 1000 * statistics.median(line["accounting"][what].get(part, 0.0) for line in lines)
        for part in sorted({part for line in lines for part in line["accounting"][what]})
    }
    return found | {"all": 1000 * statistics.median(sum(line["accounting"][what].values()) for line in lines)}


def cpu_seconds(deployed: Deployment, name: str) -> float:
    """Processor time that a process, and those that it started and that still run, have used so far."""
    pid = deployed.running[name].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in (str(pid), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
        if not alone:
            (root / "stock").mkdir()
            names = [f"site-{k:02d}" for k in range(organisations)]
            stock = Stock(root / "stock", root / "ours" / "simulated" / "federation.toml", names, free_port())
            seconds = stock.seconds_a_round(rounds, parameters=8, patience_s=PATIENCE_S)
            about = {"name": "Flower FedAvg, stock deployment", "version": version("flwr")}
            contestants.append(about | {"seconds_a_round": seconds})
            bars.append(bar("seconds a round, ours / Flower's", mine["seconds_a_round"] / seconds, 1.0))
    return report(organisations, rounds, contestants, bars, [ALONE] if alone else [])


def together(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """One report of several; organisations and rounds are those of the first."""
    lists = ("contestants", "bars", "not_measured")
    return {**parts[0], **{name: [one for part in parts for one in part[name]] for name in lists}}


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
    parser.add_argument("--organisations", type=int, help="3; with --accounting the 11 schools")
    parser.add_argument("--rounds", type=int, help="at least 2; 3, with --accounting 8")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--accounting", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--parameters", type=int, default=LARGE, help="of the large model, about")
    parser.add_argument("--optimizer", default="fedavg", help="the server's rule, with --large")
    chosen = parser.parse_args()
    if chosen.large:
        found = large(chosen.parameters, chosen.optimizer)
    elif chosen.accounting:
        found = accounting(chosen.organisations or 11, chosen.rounds or 8)
    else:
        found = measure(chosen.organisations or 3, chosen.rounds or 3, alone=chosen.alone)
        if not chosen.alone:
            found = together(found, accounting(11, 8), large(chosen.parameters))
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
