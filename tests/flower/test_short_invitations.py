"""Ten organisations over TLS on loopback: from the second round on, an invitation brings the sum and little else."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedgap.flower.egress import read_egress
from fedgap.flower.roster import Roster
from fedgap.learning.parameters import digest
from fedgap.secagg.participant import Participant
from fedgap.secagg.recall import is_short
from fedgap.simulation.study import simulate
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation import tiny

pytestmark = pytest.mark.slow

N, ROUNDS = 10, 3
FORGETFUL = "site-03"
FILES = {f"site-{k:02d}": tiny.csv(30, k) for k in range(N)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, list[Site], dict[str, list[bool]]]]:
    """What is left after three rounds; before the third, one site has lost what it was shown in the second."""
    folder = tmp_path_factory.mktemp("ten")
    home = home_in(folder, files=FILES, training={"rounds": ROUNDS}, secagg={"reply_timeout_s": 60.0})
    invited: dict[str, list[bool]] = {org: [] for org in FILES}
    whole = Participant.handle

    def handle(self: Participant, request: bytes) -> bytes | None:
        org = str(self._me.manifest.members[self._me.seat].id)
        kind = request[:200]
        if b"invite/1" in kind or b"recalled/1" in kind:
            invited[org].append(is_short(request))
            if org == FORGETFUL and len(invited[org]) == ROUNDS:
                record = self._record
                self._record = type(record)(manifest=record.manifest, version=record.version, plan=record.plan)
        return whole(self, request)

    with pytest.MonkeyPatch.context() as patch, served(home) as server:
        patch.setattr(Participant, "handle", handle)
        sites = [settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()]
        for site in sites:
            site.start()
        assert all(site.ended() for site in sites)
        wait_until(lambda: any(line.startswith("done") for line in server.said))
        yield server, sites, invited


def test_in_the_second_round_a_member_is_sent_less_than_600_bytes_for_each_member_and_the_sum(
    run: tuple[Served, list[Site], dict[str, list[bool]]],
) -> None:
    server, _, invited = run
    rounds = json.loads((server.home.state / "status.json").read_bytes())["rounds"]
    sum_bytes = 4 * Roster(server.home.book(), server.home.identity().public).versions()[-1].manifest.encoding.words

    assert all(short[:2] == [False, True] for short in invited.values())
    assert rounds[1]["bytes_down"] / N < 600 * N + sum_bytes
    assert rounds[2]["bytes_down"] > rounds[1]["bytes_down"] + 150 * N, "one member was sent the whole one too"


def test_whoever_cannot_use_the_short_invitation_is_sent_the_whole_one_and_takes_part(
    run: tuple[Served, list[Site], dict[str, list[bool]]],
) -> None:
    server, sites, invited = run
    rounds = json.loads((server.home.state / "status.json").read_bytes())["rounds"]

    assert invited[FORGETFUL] == [False, True, True, False]
    assert {org: short for org, short in invited.items() if org != FORGETFUL} == {
        org: [False, True, True] for org in FILES if org != FORGETFUL
    }
    assert [len(line["organisations"]) for line in rounds] == [N] * ROUNDS
    (site,) = [site for site in sites if site.place.name == FORGETFUL]
    replies = [line["code"] for line in read_egress(site.folder.egress) if line.get("code")]
    assert replies == ["secagg.unseen-list"]


def test_the_model_is_the_simulations(run: tuple[Served, list[Site], dict[str, list[bool]]]) -> None:
    from safetensors.numpy import load_file  # noqa: PLC0415 - only here

    from fedgap.config import load_federation  # noqa: PLC0415 - only here

    server, _, _ = run
    config = load_federation(server.home.folder.parent / "simulated" / "federation.toml")
    simulated = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert digest(load_file(Path(server.home.model))["parameters"]) == simulated.report["model_sha256"]
