"""`flwr run` as another way to `fedgap simulate`: Flower's simulation runtime trains, everything else is the same.

    flwr run . --run-config 'federation="/path/federation.toml" out="/path/out"'

It is a simulation: one operator has all the data, and the protocol runs inside this app. A deployment is
`fedgap server run`; a stock SuperLink with stock SuperNodes is refused by the client app.
"""

import json
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedgap import storage
from fedgap.config import load_federation
from fedgap.errors import UsageError
from fedgap.flower.simulation import FlowerEngine, dealing_to
from fedgap.learning.engines import OFFERED
from fedgap.learning.parameters import packed
from fedgap.simulation import study

app = ServerApp()
"""Runs one simulation over the grid that it is given."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Simulate the federation that the run's configuration names; leave report.json and model.safetensors in `out`.

    Raises:
        UsageError: the configuration names no federation or no folder.
        FedgapError: whatever is wrong with the federation.
    """
    path, out = (context.run_config.get(name) for name in ("federation", "out"))
    if not (isinstance(path, str) and path and isinstance(out, str) and out):
        raise UsageError(
            "The run does not say which federation to simulate, or where its results go.",
            remedy='Add --run-config \'federation="/path/federation.toml" out="/path/out"\'.',
        )
    config, folder = load_federation(Path(path)), Path(out)
    storage.make_folder(folder)
    OFFERED["flower"] = FlowerEngine
    with dealing_to(grid):
        found = study.simulate(config, workers=1, engine="flower", protocol=None, progress=lambda _: None)
    about = {"task": config.federation.task, "preprocessing": json.dumps(found.preprocessing)}
    text = json.dumps(found.report, indent=2, ensure_ascii=False, allow_nan=False)
    storage.replace(folder / "report.json", text.encode() + b"\n")
    storage.replace(folder / "model.safetensors", packed(found.model, about))
