"""Who may import whom, and what importing fedgap costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fedgap"
OWNERS = {"torch": "learning", "flwr": "flower", "cryptography": "crypto"}
"""The one part that may import each of these."""

CHEAP_CPU_SECONDS = 0.5


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """First names of everything imported, wherever in the file, but for what only type checkers read."""
    unread = {id(inner) for node in ast.walk(tree) if _for_types_only(node) for inner in ast.walk(node)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def strangers(path: str, tree: ast.AST) -> list[str]:
    """What a module imports although another part owns it."""
    return sorted(name for name in imported(tree) if name in OWNERS and path.split("/", maxsplit=1)[0] != OWNERS[name])


def printed(tree: ast.AST) -> list[int]:
    """Lines that print or touch standard output."""
    return sorted(_printing(tree))


def _printing(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
            yield node.lineno


def test_the_contracts_of_pyproject_hold() -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    assert "0 broken" in ended.stdout


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_heavy_libraries_are_imported_by_their_owner_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert strangers(path.relative_to(PACKAGE).as_posix(), tree) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_commands_print(path: Path) -> None:
    if path.is_relative_to(PACKAGE / "cli"):
        return
    assert printed(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_the_scans_find_what_they_look_for() -> None:
    bad = "def f():\n    import torch.nn\n    from flwr.client import x\n    print(1)\n    sys.stdout.write('')\n"
    good = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nfrom . import torch\n"

    assert strangers("simulation/a.py", ast.parse(bad)) == ["flwr", "torch"]
    assert strangers("learning/a.py", ast.parse(bad)) == ["flwr"]
    assert strangers("simulation/a.py", ast.parse(good)) == []
    assert printed(ast.parse(bad)) == [4, 5]
    assert printed(ast.parse(good)) == []


def test_importing_fedgap_is_cheap() -> None:
    """CPU time of the import alone, the best of three; neither torch nor flwr is loaded."""
    script = (
        "import sys, time; began = time.process_time(); import fedgap; spent = time.process_time() - began\n"
        "assert not {'torch', 'flwr', 'sklearn', 'pydantic'} & set(sys.modules); print(spent)"
    )
    spent = [
        float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]

    assert min(spent) < CHEAP_CPU_SECONDS


@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--help"], ["config", "explain", "training.lr"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    script = (
        "import sys, fedgap.cli; sys.argv[1:] = sys.argv[1:]\n"
        "try:\n    fedgap.cli.main()\n"
        "except SystemExit as ended:\n    assert ended.code == 0, ended.code\n"
        "assert not {'torch', 'flwr'} & set(sys.modules), 'torch or flwr was loaded'"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert ended.returncode == 0, ended.stderr
