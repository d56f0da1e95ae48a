"""Schools of examples/digits as a deployment: their own files, the rows of one school to measure contributions on."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flower.serving import free_port, without_data
from tests.integration.deployment.processes import ROOT, Deployment, fedgap

EXAMPLE = ROOT / "examples" / "digits"
MEASURED_ON = "school-12"


@dataclass(slots=True)
class Schools(Deployment):
    """The first of the twelve schools.

    Attributes:
        schools: how many; the twelfth has the evaluation rows.
        is_measured: whether contributions are measured at all.
    """

    schools: int = 11
    is_measured: bool = True

    def __post_init__(self) -> None:
        plan, *_ = (EXAMPLE / "federation.toml").read_text().split("[[organisation]]")
        plan = plan.replace("rounds = 40", f"rounds = {self.rounds}")
        lines = []
        if self.is_measured:
            lines += ["[settlement]", "periods = 1", "[evaluation]", f'data = "{MEASURED_ON}.npz"']
        lines += [line for name in self.names for line in ("[[organisation]]", f'id = "{name}"')]
        self.server.mkdir()
        federation = self.server / "federation.toml"
        federation.write_text(plan + "\n".join(lines) + "\n")
        federation.write_text(without_data(federation))
        shutil.copy(EXAMPLE / "data" / f"{MEASURED_ON}.npz", self.server)
        port = free_port()
        self.address = f"https://localhost:{port}"
        listen = ("--host", "127.0.0.1", "--port", port, "--address", self.address)
        made = fedgap("server", "init", self.server, *listen)
        assert made["exit"] == 0, made  # noqa: S101 - a benchmark of something that fails says nothing

    @property
    def names(self) -> list[str]:
        """The schools."""
        return [f"school-{number:02d}" for number in range(1, self.schools + 1)]

    def join(self, name: str) -> dict[str, Any]:
        """Invite a school and let it join with its file."""
        text = fedgap("server", "invite", name, "--dir", self.server)["invite"]
        site: Path = self.folder / name
        site.mkdir()
        shutil.copy(EXAMPLE / "data" / f"{name}.npz", site / "data.npz")
        return fedgap("client", "join", text, "--data", "data.npz", "--yes", cwd=site)
