"""Write the golden statements: a federation of four over two periods, as JSON and CSV, byte for byte; and a ledger.

`ledger.sqlite` is a whole one of three organisations with its first period still to be settled and the second to come.

    python tests/vectors/funding/make.py [--check]

With `--check` nothing is written and the exit status is 1 if a file would change.
"""

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from fedgap.funding import follow, settle
from fedgap.funding.statement import as_csv, as_json, statement_digest
from fedgap.ledger import Entry
from fedgap.ledger.store import Ledger
from fedgap.records import read_record
from tests.funding.cases import Story, policy
from tests.ledger.tale import Tale

HERE = Path(__file__).parent


def story() -> Story:
    """Costs over their bound, a rider, a negative value, a provisional one, and a fault that is proven later."""
    told = Story(policy(cost_cap=8_000))
    told.round(1)
    told.values(1, [Fraction(3, 7), Fraction(2, 7), 0, Fraction(-1, 9)], flags=("one-opening",))
    told.cost(1, told.orgs[0], 900_000)
    told.cost(1, told.orgs[1], 400_000, bound=250_000)
    told.settle()
    told.round(2, told.orgs[:3])
    told.values(2, [Fraction(1, 7), Fraction(2, 7), Fraction(1, 11), 0], standing="provisional")
    told.verdict(2, told.orgs[1])
    told.settle()
    return told


def ledger(path: Path) -> Path:
    """A federation of three, signed, with values and costs of two periods and the first of them settled."""
    tale = Tale(n=3, rounds=2, periods=2, policy=policy().data)
    told = list(tale.story())
    second = next(at for at, fact in enumerate(told) if getattr(fact, "round", 0) == 2)
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as opened:
        opened.append(*told[:second])
        account = follow((at, read_record(Entry.of(body).record)) for at, body in opened.bodies())
        found = settle(account, 1)
        opened.append(found.record(statement_digest(found)))
        opened.append(*told[second:])
    return path


def files() -> Iterator[tuple[str, bytes]]:
    """Every golden file."""
    for found, _, _ in story().account().settlements:
        yield f"statement-{found.period}.json", as_json(found)
        yield f"statement-{found.period}.csv", as_csv(found)


def main() -> None:
    """Write everything, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    wanted = parser.parse_args()
    differs = False
    if not wanted.check:
        (HERE / "ledger.sqlite").unlink(missing_ok=True)
        ledger(HERE / "ledger.sqlite")
    for name, content in files():
        path = HERE / name
        if not wanted.check:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            sys.stderr.write(f"{name} differs\n")
            differs = True
    sys.exit(differs)


if __name__ == "__main__":
    main()
