"""Checking a ledger of 200,000 entries against nothing but checking its signatures, in one process.

    python bench/ledger.py [--json] [--entries N]

The ledger is written once, into a temporary folder. The bare loop reads the same statements and signatures, made ready
beforehand, and calls the library's verification on each; whatever `fedgap ledger verify` spends on top is reading,
hashing, and the rules. Times are CPU seconds of this process, the least of
two turns each; memory is the peak of a process that only verifies.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fedgap.crypto import statement
from fedgap.ledger import Chain, Entry, Trust
from fedgap.ledger.entry import said
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.ledger.store import Ledger
from fedgap.records import AggregateReleased, Roster, RoundOpened, read_record
from tests.ledger.tale import Tale

ENTRIES = 200_000
BATCH = 500
REPEATS = 2


def write(path: Path, entries: int) -> None:
    """Write a ledger of that many entries: ten organisations, five rounds a period."""
    tale = Tale(n=10, rounds=10**9, periods=2 * 10**8)
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        story = islice(tale.story(), entries - 1)
        while batch := list(islice(story, BATCH)):
            tale.head = ledger.append(*batch)


Check = tuple[bytes, bytes, bytes]
"""Public key, signature, statement."""


def signatures(path: Path) -> list[Check]:
    """Every signature over an entry or over who stayed in a round."""
    chain, found = Chain(), []
    with StoredLedger(path) as stored:
        opened: RoundOpened | None = None
        for _, body in stored.bodies():
            entry = Entry.of(body)
            record = read_record(entry.record)
            place = chain.place_of(record)
            chain.add(body, signatures=False)
            by_server = chain.story.is_by_server(record, entry.author)
            found.append((entry.author, entry.signature, said(entry.record, place, by_server=by_server)))
            opened = record if isinstance(record, RoundOpened) else opened
            if isinstance(record, AggregateReleased) and opened is not None:
                found += _voices(chain.story.roster, opened, record)
    return found


def _voices(roster: Roster, opened: RoundOpened, released: AggregateReleased) -> Iterator[Check]:
    for voice in released.voices:
        member, seat = roster.member(voice.organisation), roster.seat_of(voice.organisation)
        assert member is not None  # noqa: S101 - the chain checked it
        assert seat is not None  # noqa: S101 - same reason
        yield member.public, voice.signature, statement("agree", opened.sid, seat, released.agreed)


def bare_loop_s(checks: list[Check]) -> float:
    """CPU seconds of verifying these signatures and doing nothing else."""
    keys = {public: Ed25519PublicKey.from_public_bytes(public) for public, _, _ in checks}
    ready = [(keys[public], signature, words) for public, signature, words in checks]
    start = time.process_time()
    for key, signature, words in ready:
        key.verify(signature, words)
    return time.process_time() - start


def verify_s(path: Path) -> float:
    """CPU seconds of checking the whole file."""
    start = time.process_time()
    found = verify_file(path, Trust())
    spent = time.process_time() - start
    assert found.fault is None, found.fault  # noqa: S101 - an honest ledger
    return spent


def verify_alone(path: Path) -> tuple[float, int]:
    """CPU seconds and peak memory (bytes) of a process that only verifies, its start and imports included."""
    script = (
        "import resource, sys, time; from pathlib import Path; from fedgap.ledger import Trust;"
        "from fedgap.ledger.reading import verify_file;"
        "found = verify_file(Path(sys.argv[1]), Trust()); assert found.fault is None, found.fault;"
        "status = Path('/proc/self/status');"
        "lines = status.read_text().splitlines() if status.exists() else [];"
        "peak = next((int(line.split()[1]) for line in lines if line.startswith('VmHWM')), None);"
        "print(time.process_time(), peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True, env=environment
    )
    cpu_s, peak = ended.stdout.split()
    return float(cpu_s), int(peak) * (1 if sys.platform == "darwin" else 1024)


def run(entries: int) -> dict[str, Any]:
    """Write a ledger, measure, compare."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        write(path, entries)
        checks = signatures(path)
        pairs = [(bare_loop_s(checks), verify_s(path)) for _ in range(REPEATS)]
        bare, ours = (min(times) for times in zip(*pairs, strict=True))
        alone, peak = verify_alone(path)
        size = path.stat().st_size
    scale = entries / ENTRIES
    where = f"{entries} entries"
    return {
        "benchmark": "ledger",
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "contestants": ["fedgap ledger verify", f"Ed25519 verification alone (cryptography {version('cryptography')})"],
        "entries": entries,
        "signatures": len(checks),
        "bytes": size,
        "verify_cpu_s": ours,
        "bare_loop_cpu_s": bare,
        "bars": [
            bar(f"verify: CPU time / the bare signature loop's, {where}", ours / bare, 1.3, "lower"),
            bar(f"verify: CPU seconds of a process that only verifies, {where}", alone, 60 * scale, "lower"),
            bar(f"verify: peak memory of that process, MB, {where}", peak / 1e6, 200, "lower"),
        ],
        "not_measured": [],
    }


def main() -> None:
    """Print a table, or the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--entries", type=int, default=ENTRIES, help="how long the ledger is")
    chosen = parser.parse_args()
    result = run(chosen.entries)
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        for row in result["bars"]:
            print(f"{'holds' if row['holds'] else 'FAILS'}  {row['value']:10.4g} <= {row['bound']:<8g} {row['name']}")
    sys.exit(not all(row["holds"] for row in result["bars"]))


def bar(name: str, value: float, bound: float, better: str) -> dict[str, Any]:
    """One row of `bars`."""
    return {"name": name, "value": value, "bound": bound, "better": better, "holds": value <= bound}


if __name__ == "__main__":
    main()
