"""A site whose training keeps Python busy, or holds its lock, for longer than a lost heartbeat may last."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployment.processes import Deployment

pytestmark = pytest.mark.slow

SECONDS = 22
"""Longer than twice the shortest interval that Flower allows."""

TASK = '''
import ctypes
import time
from pathlib import Path

import numpy as np
from torch import nn
from fedgap.learning import Rows, Task


def loop(seconds):
    """Never wait for anything."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hold(seconds):
    """Let no other thread of Python run, as a badly written extension does."""
    ctypes.PyDLL(None).usleep(int(1e6 * seconds))


class Model(nn.Linear):
    """Linear; the site that has a file of this name is busy once."""

    def forward(self, x):
        for busy in (loop, hold):
            asked = Path(__file__).with_name(busy.__name__)
            if self.training and asked.exists():
                asked.rename(asked.with_name("done"))
                busy(SECONDS)
        return super().forward(x)


class Busy(Task):
    """Random rows."""

    kind = "classification"

    def load(self, source):
        rng = np.random.default_rng(len(source.read_text()))
        return Rows(rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8))

    def model(self, rows):
        return Model(3, 2)
'''.replace("SECONDS", str(SECONDS))


class Installed(Deployment):
    """Everybody has the task."""

    def __post_init__(self) -> None:
        self.sections = {"federation": {"task": "busy:Busy"}, "task": {"label": None, "model": None}}
        self.files = {name: "x" * (1 + at) for at, name in enumerate(("ash", "birch", "cedar"))}
        for place in ("server", *self.files):
            (self.folder / place).mkdir()
            (self.folder / place / "busy.py").write_text(TASK)
        Deployment.__post_init__(self)


@pytest.mark.parametrize("kind", ["loop", "hold"])
def test_a_site_that_is_busy_in_one_call_stays_in_the_round(tmp_path: Path, kind: str) -> None:
    """Its heartbeats come from a thread of their own, and one that was late is made up for in time."""
    with Installed(tmp_path) as deployed:
        (tmp_path / "ash" / kind).touch()
        deployed.start_all()
        assert deployed.wait_for("server") == 0
        lines: list[dict[str, Any]] = deployed.status()["rounds"]

    assert (tmp_path / "ash" / "done").exists()
    assert [(line["attempt"], line["organisations"]) for line in lines] == [(1, ["ash", "birch", "cedar"])] * 2
    assert max(line["seconds"] for line in lines) > SECONDS
