"""Flower's stock deployment: flower-superlink, one flower-supernode an organisation, `flwr run` of its own FedAvg.

No secure aggregation, no TLS, the defaults of Flower but for what would reach for the network. The local training is
fedgap's, on the same rows, so that only what stands around it differs.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "stock"
version = "0.1.0"
license = "Apache-2.0"
dependencies = ["flwr>=1.41.0"]
[tool.hatch.build.targets.wheel]
packages = ["."]
[tool.flwr.app]
publisher = "fedgap"
[tool.flwr.app.components]
serverapp = "stock.server:app"
clientapp = "stock.client:app"
[tool.flwr.app.config]
nodes = 3
rounds = 3
parameters = 1
results = ""
"""

CLIENT = """
from pathlib import Path
import numpy as np
import torch
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict, Message
from flwr.clientapp import ClientApp
from fedgap.config import load_federation
from fedgap.learning.local import train
from fedgap.learning.vector import build, use_one_thread
from fedgap.simulation.federate import local_training
from fedgap.simulation.sites import load_sites, open_task, split_sites
app = ClientApp()

@app.train()
def work(message, context):
    use_one_thread()
    config = load_federation(Path(context.node_config["federation"]))
    task = open_task(config)
    sites = load_sites(config, task)
    rows = split_sites(config, task, sites, 0)
    org = context.node_config["org"]
    model = build(task, rows.training(org, "federated"), torch.device("cpu"))
    start = message.content["arrays"]["w"].numpy()
    trained = train(model, start, rows.training(org, "federated"), local_training(config), org, 1)
    arrays = ArrayRecord({"w": Array(trained.vector)})
    metrics = MetricRecord({"num-examples": len(rows.train[org])})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
"""

SERVER = """
import json, time
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
app = ServerApp()

@app.main()
def main(grid, context):
    chosen = context.run_config
    n, rounds = int(chosen["nodes"]), int(chosen["rounds"])
    while len(list(grid.get_node_ids())) < n:
        time.sleep(0.2)
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=n, min_train_nodes=n)
    start = ArrayRecord({"w": Array(np.zeros(int(chosen["parameters"]), np.float32))})
    began = time.monotonic()
    strategy.start(grid=grid, initial_arrays=start, num_rounds=rounds)
    Path(chosen["results"]).write_text(json.dumps({"seconds": time.monotonic() - began}))
"""


@dataclass(slots=True)
class Stock:
    """A stock deployment in a folder.

    Attributes:
        folder: for everything it writes.
        federation: the simulation's file with everybody's data.
        names: the organisations.
        port: of the SuperLink; the nodes take the next ones.
    """

    folder: Path
    federation: Path
    names: list[str]
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def seconds_a_round(self, rounds: int, parameters: int, *, patience_s: float) -> float:
        """Run it; give the mean wall time of a round, start and end of the run left out."""
        app, results = self.folder / "stock", self.folder / "results.json"
        (app / "stock").mkdir(parents=True)
        contents = {"pyproject.toml": PROJECT, "stock/client.py": CLIENT, "stock/server.py": SERVER}
        for name, content in (contents | {"stock/__init__.py": ""}).items():
            (app / name).write_text(content)
        (self.folder / "home").mkdir()
        address = f"127.0.0.1:{self.port}"
        line = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
        (self.folder / "home" / "config.toml").write_text(line)
        try:
            self._start("flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(self.port))
            time.sleep(5)
            for number, org in enumerate(self.names, 1):
                node = f'federation="{self.federation}" org="{org}"'
                port = ["--port", str(self.port + number)]
                self._start("flower-supernode", "--insecure", "--superlink", address, *port, "--node-config", node)
            chosen = f'nodes={len(self.names)} rounds={rounds} parameters={parameters} results="{results}"'
            self._start("flwr", "run", str(app), "here", "--run-config", chosen)
            end = time.monotonic() + patience_s
            while not results.exists() or not results.read_text():
                if time.monotonic() > end:
                    raise TimeoutError(f"the stock deployment did not end within {patience_s:g} s")
                time.sleep(0.2)
        finally:
            for process in reversed(self.processes):
                process.terminate()
            for process in self.processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
        seconds: float = json.loads(results.read_text())["seconds"]
        return seconds / rounds

    def _start(self, *command: str) -> None:
        home = {"FLWR_HOME": str(self.folder / "home"), "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1"}
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        path = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(  # noqa: S603 - Flower's own commands
                    list(command), env=os.environ | home | quiet | path, stdout=log, stderr=log, cwd=self.folder
                )
            )
