"""The stored ledgers: made again without a difference, read by this version as by the one that wrote them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedgap.ledger import Checkpoint, Trust
from fedgap.ledger.reading import verify_file
from tests import second_verifier

FOLDER = Path(__file__).parent.parent / "vectors" / "ledger"
CASES = sorted(path for path in FOLDER.iterdir() if (path / "case.json").exists())


def _json(path: Path) -> Any:  # noqa: ANN401 - a document
    return json.loads(path.read_text())


def test_there_are_honest_cases_and_tampered_ones() -> None:
    failing = [path for path in CASES if path.name.endswith("_fail")]

    assert len(CASES) - len(failing) >= 2
    assert len(failing) >= 12


def test_the_vectors_are_made_again_without_a_difference() -> None:
    script = [sys.executable, str(FOLDER / "make.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run(script, check=False, env=environment).returncode == 0


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_a_stored_ledger_is_judged_as_it_was_when_it_was_written(folder: Path) -> None:
    case = _json(folder / "case.json")
    kept = folder / "kept.json"
    trust = Trust(checkpoints=[Checkpoint.of_document(_json(kept))] if kept.exists() else [])
    found = verify_file(folder / "ledger.sqlite", trust)

    assert case["ok"] == (found.fault is None) == (not folder.name.endswith("_fail"))
    assert (case["entries"], case["root"]) == (found.entries, found.root.hex())
    if found.fault is not None:
        expected = (case["entry"], case["since"], case["code"])
        assert expected == (found.fault.position, found.fault.since, found.fault.code)


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_the_second_verifier_judges_the_same(folder: Path) -> None:
    """It does not know kept checkpoints: what only they show is whole for it."""
    case = _json(folder / "case.json")
    whole = case["ok"] or (folder / "kept.json").exists()
    expected = None if whole else ("end" if case["entry"] is None else case["entry"])

    assert expected == second_verifier.check(folder / "ledger.sqlite")
