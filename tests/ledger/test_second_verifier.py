"""A verifier written from the documentation alone finds what ours finds, on honest and on tampered ledgers."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fedgap.ledger import Trust
from fedgap.ledger.reading import verify_file
from tests import second_verifier
from tests.ledger.tale import Tale
from tests.ledger.tampering import BESIDE, WITHOUT_KEYS, rewritten, rows_of, write_rows

LINES = 200
SCRIPT = Path(second_verifier.__file__)


def ours(path: Path) -> int | str | None:
    """The first bad entry, `end` if it is not an entry, None if there is none."""
    fault = verify_file(path, Trust()).fault
    if fault is None:
        return None
    return "end" if fault.position is None else fault.position


def _agree(tmp_path: Path, seeds: range) -> dict[str, int]:
    """Compare on a ledger for each seed; count what was done to them."""
    done: dict[str, int] = {}
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        tale = Tale(seed=seed, n=rng.choice([3, 4, 5]), rounds=rng.randrange(1, 5), periods=rng.choice([1, 1, 2]))
        tale.amended = seed % 3 == 0
        path = tmp_path / f"{seed}.sqlite"
        tale.write(path)
        rows, head = rows_of(path)
        how = rng.choice(["honest", "rewritten", "beside", *WITHOUT_KEYS])
        if how == "rewritten":
            try:
                rows, head = rewritten(rows, tale.server, without=rng.randrange(1, len(rows)))
            except Exception:  # noqa: BLE001 - a rule does not let the server leave this one out
                how = "honest"
        elif how in WITHOUT_KEYS:
            rows = WITHOUT_KEYS[how](rows, rng)
        more = BESIDE[rng.choice(list(BESIDE))] if how == "beside" else ()
        write_rows(path, rows, head, more=more)
        expected = ours(path)
        assert (expected is None) == (how in {"honest", "rewritten"}), (seed, how)
        assert expected == second_verifier.check(path), (seed, how)
        path.unlink()
        done[how] = done.get(how, 0) + 1
    return done


def test_both_verifiers_agree(tmp_path: Path) -> None:
    assert len(_agree(tmp_path, range(40))) >= 8


@pytest.mark.slow
def test_both_verifiers_agree_on_500_ledgers(tmp_path: Path) -> None:
    done = _agree(tmp_path, range(1000, 1500))

    assert sum(done.values()) == 500
    assert min(done.values()) > 25


def test_the_second_verifier_is_short_and_knows_nothing_of_fedgap() -> None:
    text = SCRIPT.read_text()

    assert len(text.splitlines()) < LINES
    assert "import fedgap" not in text
    assert "from fedgap" not in text


def test_the_second_verifier_is_a_command(told: tuple[Tale, Path]) -> None:
    tale, path = told
    for arguments, status in (([], 0), ([tale.origin.hex()], 0), (["00" * 32], 1)):
        ended = subprocess.run(
            [sys.executable, str(SCRIPT), str(path), *arguments], capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (status, "")
        assert ended.stdout == ("whole\n" if status == 0 else "first bad entry: end\n")
