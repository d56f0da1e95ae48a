"""What the core may not touch: secrets have one maker, and clock, randomness and files come in as arguments."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fedgap"
SHELL = {PACKAGE / "ledger" / name for name in ("store.py", "reading.py")}
"""Files in a folder of the core that are not of the core: the ledger's database."""

WORLD = {"os", "random", "secrets", "time", "datetime", "socket", "logging", "pathlib", "subprocess"}


def _imported(file: Path) -> Iterator[str]:
    """Top-level names of what a module imports, at any place in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.split(".")[0]


def test_only_the_crypto_package_imports_cryptography() -> None:
    importers = {file for file in PACKAGE.rglob("*.py") if "cryptography" in _imported(file)}
    assert importers
    assert {file.relative_to(PACKAGE).parts[0] for file in importers} == {"crypto"}


@pytest.mark.parametrize(
    "place", ["secagg", "contribution", "rounds.py", "settling.py", "records", "ledger", "funding"]
)
def test_the_core_has_no_clock_no_randomness_and_no_files(place: str) -> None:
    root = PACKAGE / place
    files = [file for file in root.rglob("*.py") if file not in SHELL] if root.is_dir() else [root]
    assert files
    assert {(file.name, name) for file in files for name in _imported(file) if name in WORLD} == set()
