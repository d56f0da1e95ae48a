"""A task of one's own, in a module beside the configuration, through the command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import fedgap.learning.task
from tests.cli.command import Run, refused
from tests.simulation.tiny import unexplained

METER = """
[federation]
id = "meters"
task = "meter:Meter"
[training]
rounds = 2
lr = 0.1
[baselines]
splits = 2
folds = 2
epochs = 2
bootstrap = 200
[[organisation]]
id = "ash"
data = "ash.npz"
[[organisation]]
id = "birch"
data = "birch.npz"
"""


def own_task(folder: Path, source: str) -> Path:
    """A federation whose task is a module beside its configuration."""
    rng = np.random.default_rng(0)
    for name in ("ash", "birch"):
        np.savez(folder / f"{name}.npz", readings=rng.normal(size=(20, 24)), failed=np.arange(20) % 2)
    (folder / "meter.py").write_text(source)
    (folder / "federation.toml").write_text(METER)
    return folder / "federation.toml"


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> str:
    """The example of `fedgap.learning.task`, word for word; no module of this name is left behind."""
    monkeypatch.delitem(sys.modules, "meter", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = (fedgap.learning.task.__doc__ or "").splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    ") or not line) + "\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_the_documented_task_runs_from_a_file_beside_the_configuration(
    run: Run, tmp_path: Path, documented: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("simulate", own_task(tmp_path, documented), "--json", "--workers", workers)
    monkeypatch.delitem(sys.modules, "meter", raising=False)

    assert ended.status == 0, ended.err
    report = json.loads(ended.out)
    assert report["federation"]["task"] == "meter:Meter"
    assert report["federation"]["parameters"] == 24 * 8 + 8 + 8 * 2 + 2
    assert unexplained(report) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('file["readings"][:, :, None] * np.nan', "20 rows of organisation ash hold numbers that are not finite"),
        ('np.where(np.arange(20)[:, None] == 3, np.inf, file["readings"])', "1 rows of organisation ash"),
        ('file["readings"][:0]', "no rows"),
    ],
)
def test_rows_of_an_own_task_are_checked(
    run: Run, tmp_path: Path, documented: str, wrong: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 'file["failed"][:0]' if words == "no rows" else 'file["failed"]'
    source = documented.replace('file["readings"]', f"({wrong})").replace('file["failed"]', failed)
    path = own_task(tmp_path, source)
    ended, checked = refused(run, path), run("config", "check", path)
    monkeypatch.delitem(sys.modules, "meter", raising=False)

    for one in (ended, checked):
        assert (one.status, one.err.partition(":")[0]) == (1, "data.unusable")
        assert words in one.err


@pytest.mark.parametrize("labels", ["-1 - file['failed']", "file['failed'] + 0.5"])
def test_labels_of_an_own_task_are_class_numbers(
    run: Run, tmp_path: Path, documented: str, labels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = documented.replace('file["failed"].astype(np.int64)', labels)
    ended = refused(run, own_task(tmp_path, source))
    monkeypatch.delitem(sys.modules, "meter", raising=False)

    assert "class numbers" in ended.err


@pytest.mark.parametrize(
    "source", ["", "Meter = 3\n", "class Meter:\n    pass\n", "import not_a_module_anywhere\n", "class Meter(:\n"]
)
def test_a_task_that_cannot_be_made_ends_with_2(
    run: Run, tmp_path: Path, documented: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del documented
    ended = refused(run, own_task(tmp_path, source))
    monkeypatch.delitem(sys.modules, "meter", raising=False)

    assert (ended.status, ended.err.partition(":")[0]) == (2, "task.not-found")


def test_a_model_with_fewer_outputs_than_classes_is_refused(run: Run, tmp_path: Path, documented: str) -> None:
    """Instead of an index error from deep inside a loss."""
    ended = refused(run, own_task(tmp_path, documented.replace("nn.Linear(8, 2)", "nn.Linear(8, 1)")))

    assert (ended.status, ended.err.partition(":")[0]) == (2, "learning.model")
    assert "more classes than the model's 1 outputs" in ended.err


@pytest.mark.parametrize("command", ["simulate", "config check"])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_in_an_own_task_is_laid_to_it_and_no_defect(
    run: Run, tmp_path: Path, documented: str, command: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message may hold a row's values: only --debug shows it."""
    loads = "with np.load(source, allow_pickle=False) as file:"
    assert loads in documented
    wrong = {
        "simulate": documented.replace("nn.Linear(24, 8)", "nn.Linear(23, 8)"),
        "config check": documented.replace(loads, f"raise KeyError('a private value')\n        {loads}"),
    }[command]
    more = ["--workers", workers] if command == "simulate" else []
    path = own_task(tmp_path, wrong)
    ended = run(*command.split(), path, *more)
    monkeypatch.delitem(sys.modules, "meter", raising=False)

    kind = {"simulate": "RuntimeError", "config check": "KeyError"}[command]
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith(f"task.failed: The task meter:Meter failed ({kind}). Run the command")
    assert "a private value" not in ended.err
