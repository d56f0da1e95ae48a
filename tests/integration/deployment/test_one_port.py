"""Participants in networks of their own, out of which one port leads: as behind a strict firewall."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.integration.deployment import one_port
from tests.integration.deployment.stage import ROOT, Stage

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "tests" / "integration" / "deployment" / "one_port.py"


class Gate:
    """The outer end of the one port: passes what comes through the Unix socket to the server, and counts it."""

    def __init__(self, path: Path, port: int) -> None:
        self.connections, self._port = 0, port
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=one_port.serve, args=(self._listening, self._connect), daemon=True).start()

    def _connect(self) -> socket.socket:
        self.connections += 1
        return socket.create_connection(("127.0.0.1", self._port))

    def close(self) -> None:
        """Let nobody through any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def own_network() -> tuple[str, ...]:
    """The command that gives another one a network of its own; skips where this system does not allow it."""
    tool = shutil.which("unshare")
    for options in (("--net",), ("--net", "--map-root-user")):
        if tool and subprocess.run([tool, *options, "true"], check=False, capture_output=True).returncode == 0:
            return (tool, *options)
    pytest.skip("this machine does not let us make a network namespace")


def test_one_outbound_port_is_all_that_a_participant_needs(tmp_path: Path) -> None:
    """Both commands, join and run, see nothing of the world but the server's port; the model is the simulation's."""
    unshare, stage = own_network(), Stage(tmp_path, 2)
    server = stage.serve()
    gates = {org: Gate(tmp_path / f"{org}.gate", stage.port) for org in stage.orgs}
    try:
        for org in stage.orgs:
            out = (sys.executable, str(SCRIPT), str(stage.port), str(tmp_path / f"{org}.gate"))
            stage.inside[org] = (*unshare, *out)
            joined = stage.join(org, stage.invite(org))
            assert joined.returncode == 0, joined.stderr
            assert gates[org].connections > 0
        clients = [stage.client(org) for org in stage.orgs]
        assert [client.process.wait(240) for client in clients] == [0, 0, 0]
        assert server.process.wait(120) == 0

        wanted = stage.simulated_sha256()
        for org in stage.orgs:
            assert stage.status(org)["facts"]["model_sha256"] == wanted
            assert [name for _, name in json.loads((tmp_path / f"{org}.interfaces").read_text())] == ["lo"]
    finally:
        stage.end()
        for gate in gates.values():
            gate.close()
