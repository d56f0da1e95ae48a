"""A participant changes its keys with the commands that people type, while server and other participants run."""

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.deployment.stage import Stage, wait_until

pytestmark = pytest.mark.slow


def test_rotate_key_while_the_others_run_keeps_the_thief_out_and_the_rounds_going(tmp_path: Path) -> None:
    """All three must sign for the new keys; whoever has a copy of the old folder is not let in any more."""
    stage = Stage(tmp_path, 4)
    try:
        server = stage.serve()
        for org in stage.orgs:
            assert stage.join(org, stage.invite(org)).returncode == 0
            settings = tmp_path / org / "site.toml"
            limits = settings.read_text().replace('# roster_changes = "ask"', 'roster_changes = "within-limits"')
            settings.write_text(limits)
        clients = {org: stage.client(org) for org in stage.orgs}
        wait_until(lambda: any(one["purpose"] == "certificate" for one in clients["birch"].events("answered")))
        assert clients["birch"].stop() == 0
        shutil.copytree(tmp_path / "birch", tmp_path / "thief")

        invite = stage.invite("birch")
        changed = stage.fedgap("client", "rotate-key", invite, "--json", cwd=tmp_path / "birch")
        assert changed.returncode == 0, changed.stderr
        shown = json.loads(stage.fedgap("server", "status", "server", "--json").stdout)["organisations"]
        assert [one["fingerprint"] for one in shown if one["id"] == "birch"] == [
            json.loads(changed.stdout)["fingerprint"]
        ]
        thief = stage.client("thief")
        wait_until(lambda: thief.events("waiting"))
        assert {one["code"] for one in thief.events("waiting")} == {"link.not-admitted"}
        thief.stop()
        assert thief.events("connected") == []
        clients["birch"] = stage.client("birch")

        assert [client.process.wait(400) for client in clients.values()] == [0, 0, 0]
        assert server.process.wait(120) == 0
        wanted = stage.simulated_sha256()
        assert {stage.status(org)["facts"]["model_sha256"] for org in stage.orgs} == {wanted}
        assert stage.status("birch")["facts"]["version"] == 2
        assert stage.fedgap("ledger", "verify", "server/ledger.sqlite").returncode == 0
    finally:
        stage.end()
