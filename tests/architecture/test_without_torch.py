"""Tables are simulated from the base install: which modules do without torch is a list, and it is tried."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.tiny import write

ROOT = Path(__file__).parents[2]
NEED_TORCH = {
    *("choose", "conformance", "device", "local", "lowering", "models", "optimizers", "processes", "sequential"),
    *("stacked_autograd", "stacked_manual", "tensor_course", "tensor_engine", "tensor_optimizers", "torch_utility"),
    *("trial", "vector"),
}
"""The modules of `learning` that may import torch when they are imported."""

COMMAND = "from fedgap.cli import main; main()"
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "flwr", "sklearn"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python code where neither this process nor any it starts can import torch, flwr or scikit-learn."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCKED, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def started(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)

    return started


def test_the_block_holds(run: Run) -> None:
    assert "No module named 'torch'" in run("import torch").stderr
    assert "No module named 'sklearn'" in run("import sklearn.metrics").stderr


def free_of_torch() -> list[str]:
    """Every module of `learning` and `simulation` that is not on the list."""
    found = []
    for folder in ("learning", "simulation"):
        for path in sorted((ROOT / "fedgap" / folder).glob("*.py")):
            listed = folder == "learning" and path.stem in NEED_TORCH
            found += [] if listed or path.stem == "__init__" else [f"fedgap.{folder}.{path.stem}"]
    return found


def _imports_torch(path: Path) -> bool:
    """Whether torch, or a module on the list, is imported as soon as this one is."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import) and any(name.name.partition(".")[0] == "torch" for name in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "torch":
            return True
    return False


def test_only_the_modules_on_the_list_import_torch_themselves() -> None:
    importers = {path.stem for path in (ROOT / "fedgap" / "learning").glob("*.py") if _imports_torch(path)}

    assert importers <= NEED_TORCH


def test_all_others_can_be_imported_without_torch(run: Run) -> None:
    """Not even by way of another module."""
    names = free_of_torch()
    ended = run(f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n")

    assert "fedgap.simulation.study" in names
    assert ended.stderr == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_table_is_simulated_without_torch(run: Run, tmp_path: Path, workers: str) -> None:
    """From the command to the files, in this process or in workers."""
    path = write(tmp_path)
    ended = run(COMMAND, "simulate", str(path), "--out", str(tmp_path / "out"), "--workers", workers)

    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended.stderr
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"report.json", "report.html", "model.safetensors", "ledger.sqlite"}
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["engine"]["name"] == "stacked"
    assert "How: engine stacked (the model is a stack of linear layers" in " ".join(ended.stdout.split())


def test_what_needs_torch_says_so(run: Run, tmp_path: Path) -> None:
    ended = run(COMMAND, "simulate", str(write(tmp_path)), "--engine", "sequential", "--out", str(tmp_path / "out"))

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("install.missing-extra: ")
    assert "pip install 'fedgap[torch]'" in ended.stderr


def test_a_task_that_imports_torch_is_named(run: Run, tmp_path: Path) -> None:
    """It is installed; torch is not."""
    path = write(tmp_path, federation={"task": "mine:Mine"}, task={"label": None, "model": None})
    (tmp_path / "mine.py").write_text("import torch\n", encoding="utf-8")
    ended = run(COMMAND, "simulate", str(path), "--out", str(tmp_path / "out"))

    assert ended.returncode == 2
    assert "install.missing-extra: The task mine:Mine needs the optional part 'torch'" in ended.stderr
