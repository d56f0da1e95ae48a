"""A site changes its keys while the server runs: the old ones are refused, the next roster has the new ones."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.crypto import NodeKey
from fedgap.flower import desk_work, node, training_run
from fedgap.flower.fleet import NotAdmittedError
from fedgap.flower.gathering import Gathering
from fedgap.flower.join import rotate_keys
from fedgap.flower.membership import SiteFolder
from fedgap.ledger import Entry, Signed, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import (
    ContributionEstimated,
    CreditConfirmed,
    MemberChanged,
    OpeningAnswered,
    Record,
    read_record,
)
from fedgap.simulation.study import simulate
from tests import second_verifier
from tests.flower.conductor import Conductor
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import POLICY, wide
from tests.simulation.tiny import SIZES, csv

ROUNDS = 3
FILES = {name: wide(20 + 8 * seed, seed) for seed, name in enumerate(("ash", "birch", "cedar"))}
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "federation": {"policy": "policy.toml"},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}


class PlugPulledError(Exception):
    """The site is switched off."""


def site_of(server: Served, folder: Path, org: str, rows: str) -> Site:
    """Let an organisation join that signs new keys of others by itself."""
    site = settle_in(server, folder, org, rows, now_s=time.time())
    settings = site.place / "site.toml"
    settings.write_text(settings.read_text().replace('# roster_changes = "ask"', 'roster_changes = "within-limits"'))
    return site


def stop_in(site: Site, round_: int) -> None:
    """Switch a site off when it is asked to unmask a round: with three members nobody else's answer will do."""

    def look(kind: str, facts: dict[str, object]) -> None:
        if kind == "asked" and facts["purpose"] == "certificate" and facts["round"] == round_:
            raise PlugPulledError

    site.on = look


def rotate(server: Served, site: Site, org: str, *, confirm: bool = False) -> tuple[str, NodeKey]:
    """Change a site's keys as `fedgap client rotate-key` does; give the fingerprint and the node key before."""
    _, before = site.folder.keys(None)
    text = desk_work.invite(server.home, org, confirm=confirm, now_s=time.time()).text
    return rotate_keys(text, site.place / "site.toml", passphrase=None, now_s=time.time()), before


def stored(path: Path) -> list[Record]:
    """What a ledger says."""
    with StoredLedger(path) as ledger:
        return [read_record(Entry.of(body).record) for _, body in ledger.bodies()]


def is_refused(server: Served, key: NodeKey) -> bool:
    """Tell whether nobody comes online with a key."""
    fleet = server.fleet(key)
    try:
        fleet.connect(earlier=None)
    except NotAdmittedError:
        return True
    finally:
        fleet.close()
    return False


def test_rounds_go_on_with_new_keys_and_the_old_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old keys began is unmasked; the next round waits until all three have signed for the new ones."""
    monkeypatch.setattr(node, "LOOK_AGAIN_S", 0.3)
    monkeypatch.setattr(node, "LOOK_S", 0.3)
    home = home_in(tmp_path, training={"rounds": ROUNDS})
    with served(home) as server:
        sites = {org: site_of(server, tmp_path, org, csv(SIZES[org], 1)) for org in sorted(SIZES)}
        birch = sites["birch"]
        stop_in(birch, 2)
        for site in sites.values():
            site.start()
        assert birch.thread is not None
        birch.thread.join(120)
        assert [type(error) for error in birch.failed] == [PlugPulledError]

        fingerprint, before = rotate(server, birch, "birch", confirm=True)
        assert is_refused(server, before)
        assert desk_work.approve(home, "birch") == fingerprint
        refused: list[bool] = []
        again = Site(
            birch.place,
            on=lambda kind, _: refused.append(is_refused(server, before)) if kind == "asked" and not refused else None,
        )
        again.start()

        assert again.ended()
        assert all(site.ended() for org, site in sites.items() if org != "birch")
        assert refused, "the new keys were asked"
        assert all(refused), (
            "while the server waited for an answer of the new keys, nobody came online with the old ones"
        )
        wait_until(lambda: any(line.startswith("done") for line in server.said))
    first, second = (signed.manifest for signed in SiteFolder(birch.folder.path).manifests())
    assert [member.id for member in second.members] == sorted(SIZES)
    assert first.members[1].public != second.members[1].public == birch.folder.keys(None)[0].public
    digests = {site.folder.read_status()["model_sha256"] for site in sites.values()}
    assert len(digests) == 1
    assert server.ended == []
    assert any("birch" in line and "has new keys" in line for line in server.said)


@pytest.mark.slow
def test_whoever_lost_all_keys_joins_again_with_an_empty_folder_while_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four, three are a quorum: they vouch for the new keys, and rounds go on without the fourth until then.

    At the end its edges are opened on the others' word: it cannot answer for rounds whose secrets it lost.
    """
    for module, name, seconds in ((node, "LOOK_AGAIN_S", 0.3), (node, "LOOK_S", 0.3), (training_run, "CLOSING_S", 600)):
        monkeypatch.setattr(module, name, seconds)
    files = {**FILES, "doum": wide(30, 4)}
    home = home_in(tmp_path, files=files, **{**SECTIONS, "training": {"rounds": 6, "lr": 0.1}})
    (home.folder / "evaluation.csv").write_text(wide(80, 99))
    (home.folder / "policy.toml").write_text(POLICY)
    with served(home) as server:
        conductor = Conductor(server, 3)
        monkeypatch.setattr(Gathering, "amend", conductor.amending(Gathering.amend))
        sites = {org: site_of(server, tmp_path, org, rows) for org, rows in files.items()}
        stop_in(sites["doum"], 2)
        for site in sites.values():
            site.start()
        lost = sites["doum"]
        assert lost.thread is not None
        lost.thread.join(120)
        assert conductor.reached[3].wait(300), server.said
        shutil.rmtree(lost.folder.path)
        again = Site(lost.place)
        again.join(desk_work.invite(home, "doum", confirm=False, now_s=time.time()).text, now_s=time.time())
        again.start()
        wait_until(lambda: any(event["event"] == "connected" for event in again.events))
        conductor.go_on[3].set()

        assert again.ended(300)
        assert all(site.ended(300) for org, site in sites.items() if org != "doum")
        wait_until(lambda: any(line.startswith("done") for line in server.said))
    taken = [line["organisations"] for line in json.loads((home.state / "status.json").read_bytes())["rounds"]]
    assert taken == [list(files)] * 2 + [list(files)[:3]] + [list(files)] * 3, "rounds go on without it until then"
    assert [one.manifest.version for one in again.folder.manifests(ours=False)] == [1]
    assert [one.manifest.version for one in again.folder.manifests()] == [2]
    assert len({site.folder.read_status()["model_sha256"] for site in sites.values()}) == 1

    records = stored(home.ledger)
    values = {str(one.organisation): one for one in records if isinstance(one, ContributionEstimated)}
    (silent,) = (r for r in records if isinstance(r, OpeningAnswered) and r.organisation == "doum")
    assert [answer.answer for answer in silent.answers] == [None] * 3, "it has no secret of the first two rounds"
    assert {org: (one.standing, one.flags) for org, one in values.items()} == dict.fromkeys(
        files, ("provisional", ("vouched",))
    )
    assert values["doum"].vouched_by == tuple(FILES)
    assert values["doum"].value != 0
    assert sum(isinstance(record, CreditConfirmed) for record in records) == len(files)
    assert second_verifier.check(home.ledger) is None


@pytest.mark.slow
def test_contributions_are_settled_across_a_change_of_keys_and_the_ledger_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds before and after the new keys are opened together; values are the simulation's, which changed no key."""
    for module, name, seconds in ((node, "LOOK_AGAIN_S", 0.3), (node, "LOOK_S", 0.3), (training_run, "CLOSING_S", 600)):
        monkeypatch.setattr(module, name, seconds)
    home = home_in(tmp_path, files=FILES, **{**SECTIONS, "training": {"rounds": 4, "lr": 0.2}})
    for place in (tmp_path / "simulated", home.folder):
        (place / "evaluation.csv").write_text(wide(80, 99))
        (place / "policy.toml").write_text(POLICY)
    with served(home) as server:
        sites = {org: site_of(server, tmp_path, org, rows) for org, rows in FILES.items()}
        stop_in(sites["birch"], 2)
        for site in sites.values():
            site.start()
        assert sites["birch"].thread is not None
        sites["birch"].thread.join(300)
        rotate(server, sites["birch"], "birch")
        sites["birch"] = Site(sites["birch"].place)
        sites["birch"].start()
        assert all(site.ended(600) for site in sites.values())
        wait_until(lambda: any(line.startswith("done") for line in server.said))

    records = stored(home.ledger)
    values = [record for record in records if isinstance(record, ContributionEstimated)]
    config = load_federation(tmp_path / "simulated" / "federation.toml")
    found = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert found.facts is not None
    facts = [fact.record if isinstance(fact, Signed) else fact for fact in found.facts.rest]
    expected = {fact.organisation: fact.value for fact in facts if isinstance(fact, ContributionEstimated)}
    assert [(value.organisation, value.standing, value.flags) for value in values] == [
        (org, "verified", ()) for org in FILES
    ]
    assert expected == {value.organisation: value.value for value in values}
    assert sum(isinstance(record, MemberChanged) and record.change == "key" for record in records) == 1
    assert sum(isinstance(record, CreditConfirmed) for record in records) == len(FILES)
    assert verify_file(home.ledger, Trust()).fault is None
    assert second_verifier.check(home.ledger) is None
