"""Write the vectors of the ledger: whole ledgers, and what somebody made of one, with what a verifier must say.

    python tests/vectors/ledger/make.py [--check]

Each case is a folder with `ledger.sqlite` and `case.json`. A folder that ends in `_fail` holds a ledger that must not
be believed: `entry` is the first bad one (null: not an entry), `code` says why. `kept.json`, where there is one, is a
checkpoint that an organisation kept. With `--check` nothing is written: each case is made anew, what is found in it is
compared with what is found in the stored one, and the exit status is 1 if they differ. The files themselves may differ
in what SQLite notes about its own version.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedgap.ledger import Chain, Checkpoint, Entry, Trust
from fedgap.ledger.entry import Place, server_entry
from fedgap.ledger.reading import verify_file
from fedgap.ledger.store import Ledger
from fedgap.ledger.tree import leaf_hash, root_of
from fedgap.records import PolicyApproved, PolicySigned, read_record
from tests.ledger.changes import changed_at_once
from tests.ledger.tale import Tale
from tests.ledger.tampering import BESIDE, WITHOUT_KEYS, Rows, rewritten, rows_of, write_rows

HERE = Path(__file__).parent
SEEDS = {"changed": 4, "dropped": 5, "swapped": 6, "doubled": 7, "cut-off": 8, "forged": 9}

Case = tuple[str, Rows, Checkpoint | None, tuple[str, ...], Checkpoint | None]
"""Name, entries, stored checkpoint, SQL to run afterwards, kept checkpoint."""


def cases(folder: Path) -> Iterator[Case]:
    """Every case, made from its seed."""
    tale = Tale(seed=3, n=4, rounds=3)
    tale.write(folder / "honest.sqlite")
    rows, head = rows_of(folder / "honest.sqlite")
    yield "four-organisations-one-settlement", rows, head, (), None
    again = Tale(seed=5, n=5, rounds=4, periods=2)
    again.write(folder / "two.sqlite")
    two, two_head = rows_of(folder / "two.sqlite")
    yield "five-organisations-two-settlements", two, two_head, (), None
    yield from _policies(folder)
    for how, seed in SEEDS.items():
        after = WITHOUT_KEYS[how](rows, random.Random(seed))  # noqa: S311 - repeatable on purpose
        yield f"{how}_fail", after, head, (), None
    for what in ("a-table", "a-column", "an-entry-before-the-first", "no-checkpoint", "a-malformed-checkpoint"):
        yield f"{what}_fail", rows, head, BESIDE[what], None
    yield "checkpoint-of-somebody-else_fail", rows, replace(head, signature=bytes(64)), (), None
    old = _head(tale, rows[:9])
    yield "old-copy_fail", rows[:9], old, (), head
    other, other_head = rewritten(rows, tale.server, without=len(rows) - 12)
    yield "rewritten-by-the-server_fail", other, other_head, (), _head(tale, rows[: len(other)])


def _policies(folder: Path) -> Iterator[Case]:
    """Between two periods a member leaves and a policy is approved; and one that too few have approved."""
    tale = Tale(seed=6, n=5, rounds=2, periods=2)
    with Ledger(folder / "later.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        for fact in changed_at_once(tale):
            tale.head = ledger.append(fact)
    rows, head = rows_of(folder / "later.sqlite")
    yield "a-member-leaves-and-a-policy-is-approved", rows, head, (), None
    records = [read_record(Entry.of(body).record) for body in rows]
    approvals = [at for at, record in enumerate(records) if isinstance(record, PolicyApproved)]
    kept, chain = rows[: approvals[1]], Chain()
    for body in kept:
        chain.add(body)
    signed = next(at for at, record in enumerate(records) if isinstance(record, PolicySigned) and record.version > 1)
    forced = server_entry(Entry.of(rows[signed]).record, Place(chain.origin, chain.size, chain.root), tale.server)
    yield "a-policy-that-one-approved_fail", [*kept, forced.body], _head(tale, [*kept, forced.body]), (), None


def _head(tale: Tale, rows: Rows) -> Checkpoint:
    return Checkpoint.signed(
        origin=tale.origin, size=len(rows), root=root_of([leaf_hash(body) for body in rows]), server=tale.server
    )


def described(path: Path, kept: Checkpoint | None) -> dict[str, Any]:
    """What a verifier must say of a case."""
    found = verify_file(path, Trust(checkpoints=[kept] if kept else []))
    said = {"ok": found.fault is None, "entries": found.entries, "root": found.root.hex()}
    if found.fault is None:
        return said | {"manifest": found.origin.hex()}
    return said | {"entry": found.fault.position, "since": found.fault.since, "code": found.fault.code}


def write(case: Case) -> None:
    """Write one case."""
    name, rows, head, more, kept = case
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    write_rows(folder / "ledger.sqlite", rows, head, more=more)
    document = described(folder / "ledger.sqlite", kept)
    (folder / "case.json").write_text(json.dumps(document, indent=2) + "\n")
    if kept is not None:
        (folder / "kept.json").write_text(json.dumps(kept.document(), indent=2) + "\n")


def is_same(case: Case, scratch: Path) -> bool:
    """Tell whether a case would be written as it stands."""
    name, rows, head, more, kept = case
    folder, fresh = HERE / name, write_rows(scratch / "fresh.sqlite", rows, head, more=more)
    if not (folder / "case.json").exists():
        return False
    same = json.loads((folder / "case.json").read_text()) == described(fresh, kept)
    if kept is not None:
        same = same and json.loads((folder / "kept.json").read_text()) == kept.document()
    return same and described(folder / "ledger.sqlite", kept) == described(fresh, kept)


def main() -> None:
    """Write everything, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a case would change")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = list(cases(Path(scratch)))
        if not wanted.check:
            for case in made:
                write(case)
            return
        differs = [case[0] for case in made if not is_same(case, Path(scratch))]
        known = {case[0] for case in made}
        differs += [path.name for path in HERE.iterdir() if path.is_dir() and path.name not in known | {"__pycache__"}]
    for name in differs:
        sys.stderr.write(f"{name} differs\n")
    sys.exit(bool(differs))


if __name__ == "__main__":
    main()
