"""README's section "Run it for real", typed as it stands there by an operator and three participants."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deployment.stage import ROOT, Running, Stage, wait_until

pytestmark = pytest.mark.slow


def commands() -> list[str]:
    """The lines of the section's console blocks, in order."""
    section = (ROOT / "README.md").read_text().split("## Run it for real\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


class Typist:
    """Types commands of the README, with this federation's names in place of the placeholders."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.left = stage, commands()

    def next(self, beginning: str, **names: str) -> list[str]:
        """Give the next command, which must begin like this, as a shell would split it."""
        line = self.left.pop(0)
        assert line.startswith(beginning), line
        names["federation.example:8443"] = f"localhost:{self.stage.port}"
        for name, meant in names.items():
            line = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", meant, line)
        return shlex.split(line)[1:]


def test_what_the_readme_says_is_typed_and_works(tmp_path: Path) -> None:
    """Two commands for a participant: it approves the plan it is shown, and finds the model in its folder."""
    stage = Stage(tmp_path, 2)
    typed = Typist(stage)
    try:
        made = stage.fedgap(*typed.next("fedgap server init", DIR="server"))
        assert made.returncode == 0, made.stderr
        settings, plan = tmp_path / "server" / "server.toml", (tmp_path / "federation.toml").read_text()
        listens = settings.read_text().replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - taken out, not bound
        settings.write_text(listens.replace("port = 8443", f"port = {stage.port}"))
        without_data = "".join(line for line in plan.splitlines(keepends=True) if not line.startswith("data"))
        (tmp_path / "server" / "federation.toml").write_text(without_data)
        server = stage.start(*typed.next("fedgap server run", DIR="server"))
        wait_until(lambda: any("waiting" in line for line in server.lines))
        invite, join, run = (typed.next(f"fedgap {what}") for what in ("server invite", "client join", "client run"))
        running: list[Running] = []
        for org in stage.orgs:
            words = [{"ORG": org, "DIR": "server"}.get(word, word) for word in invite]
            said = stage.fedgap(*words).stdout
            (tmp_path / org).mkdir()
            (tmp_path / org / "rows.csv").write_bytes((tmp_path / f"{org}.csv").read_bytes())
            line = re.search(r"fedgap1\.\S+", said)
            assert line is not None, said
            _approve(stage, org, [line[0] if word == "INVITE" else word for word in join])
            running.append(stage.start(*run, cwd=tmp_path / org))
        assert server.process.wait(300) == 0
        models = [tmp_path / org / "fedgap-site" / "model.safetensors" for org in stage.orgs]
        wait_until(lambda: all(model.exists() for model in models))
        assert [client.stop() for client in running] == [0, 0, 0]

        verified = stage.fedgap(*typed.next("fedgap ledger verify", **{"DIR/ledger.sqlite": "server/ledger.sqlite"}))
        assert verified.returncode == 0, verified.stdout
        wanted = stage.simulated_sha256()
        assert {stage.status(org)["facts"]["model_sha256"] for org in stage.orgs} == {wanted}
    finally:
        stage.end()


def _approve(stage: Stage, org: str, words: list[str]) -> None:
    """Join, and say yes to what is shown."""
    ended = subprocess.run(
        [sys.executable, "-m", "fedgap", *words],
        cwd=stage.folder / org,
        env=stage.environment(),
        input="y\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "What leaves this site" in ended.stdout
