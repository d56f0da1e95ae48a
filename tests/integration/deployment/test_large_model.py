"""Memory of a participant with a large model: measured with ten million parameters, bounded for a hundred million."""

import json
from pathlib import Path

import pytest

from tests.integration.deployment.stage import Stage

pytestmark = pytest.mark.slow

TASK = '''
import numpy as np
from torch import nn
from fedgap.learning import Rows, Task

class Wide(Task):
    """Ten layers of so many units."""

    kind = "classification"

    def __init__(self, units):
        self.units = units

    def load(self, source):
        rng = np.random.default_rng(len(source.read_text()))
        return Rows(rng.normal(size=(8, self.units)).astype(np.float32), rng.integers(0, 10, 8))

    def model(self, rows):
        return nn.Sequential(*[nn.Linear(self.units, self.units) for _ in range(10)])
'''
SMALL, LARGE = 10, 1000
MODEL_BYTES = 4 * 10 * LARGE * (LARGE + 1)
WANTED_BYTES = 400_000_000
MOST = 6.0
"""Times the model, the whole process included."""


def test_a_participant_needs_at_most_six_times_a_model_of_400_mb(tmp_path: Path) -> None:
    """A small model shows what the process needs anyway; what a large one needs beyond grows with the model."""
    anyway, most = (_peak(tmp_path, units) for units in (SMALL, LARGE))
    if anyway is None or most is None:
        pytest.skip("this system does not tell how much memory a process used")

    times = (anyway + (most - anyway) / MODEL_BYTES * WANTED_BYTES) / WANTED_BYTES
    assert times <= MOST, (anyway, most)


def _peak(folder: Path, units: int) -> int | None:
    """Most memory of a participant's working process over two rounds."""
    folder = folder / str(units)
    folder.mkdir()
    stage = Stage(folder, 2)
    (folder / "wide.py").write_text(TASK)
    plan = folder / "federation.toml"
    text = plan.read_text().replace('"tabular-classification"', '"wide:Wide"')
    text = text.replace('label = "y"\nmodel = "linear"\n', f"units = {units}\n")
    plan.write_text(text.replace("reply_timeout_s = 15.0", "reply_timeout_s = 200.0"))
    try:
        stage.serve()
        for org in stage.orgs:
            joined = stage.join(org, stage.invite(org))
            assert joined.returncode == 0, joined.stderr
        clients = [stage.client(org) for org in stage.orgs]
        assert [client.process.wait(500) for client in clients] == [0, 0, 0]
        lines = (folder / "ash" / "fedgap-site" / "metering.jsonl").read_text().splitlines()
        peaks = [cost["peak_bytes"] for line in lines for cost in json.loads(line)["phases"].values()]
        return None if None in peaks else max(peaks)
    finally:
        stage.end()
