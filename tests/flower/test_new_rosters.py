"""One leaves and one joins while the server runs: each roster's rounds are opened with those who were there."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from fedgap.flower import desk_work, node, training_run
from fedgap.flower.gathering import Gathering
from fedgap.funding.settle import follow, settle
from fedgap.ledger import Entry, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import (
    AggregateReleased,
    ContributionEstimated,
    CreditConfirmed,
    CreditObjected,
    MemberChanged,
    OpeningAnswered,
    Record,
    UtilityObserved,
    read_record,
)
from tests import second_verifier
from tests.flower.conductor import Conductor
from tests.flower.hamlet import Site
from tests.flower.serving import Served, home_in, served
from tests.flower.test_new_keys import PlugPulledError, site_of
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import POLICY, wide

ROUNDS, LEAVES, JOINS = 21, 4, 10
FILES = {name: wide(20 + 8 * seed, seed, 30) for seed, name in enumerate(("ash", "birch", "cedar", "elm"))}
NEWCOMER = wide(30, 9, 30)
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "federation": {"policy": "policy.toml"},
    "training": {"rounds": ROUNDS, "lr": 0.02},
    "secagg": {"reply_timeout_s": 600.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}
"""Sixty-two parameters and twenty-one rounds allow three openings: one for each of three rosters."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, dict[str, Site]]:
    """Elm ends in the middle of round 4 and is revoked; fir joins after round 10."""
    folder = tmp_path_factory.mktemp("rosters")
    home = home_in(folder, files=FILES, **SECTIONS)
    for place in (folder / "simulated", home.folder):
        (place / "evaluation.csv").write_text(wide(80, 99, 30))
        (place / "policy.toml").write_text(POLICY)
    with pytest.MonkeyPatch.context() as patch, served(home) as server:
        for module, name, seconds in (
            (node, "LOOK_AGAIN_S", 0.3),
            (node, "LOOK_S", 0.3),
            (training_run, "CLOSING_S", 600.0),
        ):
            patch.setattr(module, name, seconds)
        sites = {org: site_of(server, folder, org, rows) for org, rows in FILES.items()}
        conductor = Conductor(server, LEAVES, JOINS)
        patch.setattr(Gathering, "amend", conductor.amending(Gathering.amend))
        sites["elm"].on = _ends_in(LEAVES)
        for site in sites.values():
            site.start()
        assert conductor.reached[LEAVES].wait(300), server.said
        assert sites["elm"].thread is not None
        sites["elm"].thread.join(60)
        assert [type(error) for error in sites.pop("elm").failed] == [PlugPulledError]
        desk_work.revoke(home, "elm")
        federation = home.folder / "federation.toml"
        federation.write_text(federation.read_text() + '\n[[organisation]]\nid = "fir"\n')
        conductor.go_on[LEAVES].set()
        assert conductor.reached[JOINS].wait(300), server.said
        sites["fir"] = fir = site_of(server, folder, "fir", NEWCOMER)
        fir.start()
        wait_until(lambda: any(event["event"] == "connected" for event in fir.events))
        conductor.go_on[JOINS].set()
        assert all(site.ended(500) for site in sites.values()), server.said
        wait_until(lambda: any(line.startswith("done") for line in server.said))
    return server, sites


def _ends_in(round_: int) -> Any:  # noqa: ANN401 - as a site's `on`
    """Switch a site off when it is asked to unmask a round, once its server has its upload."""

    def look(kind: str, facts: dict[str, Any]) -> None:
        if kind == "asked" and facts["purpose"] == "certificate" and facts["round"] == round_:
            raise PlugPulledError

    return look


def stored(server: Served) -> list[Record]:
    """What the ledger says."""
    with StoredLedger(server.home.ledger) as ledger:
        return [read_record(Entry.of(body).record) for _, body in ledger.bodies()]


def last_words(records: list[Record]) -> dict[str, ContributionEstimated]:
    """Everybody's value of the period."""
    return {record.organisation: record for record in records if isinstance(record, ContributionEstimated)}


def test_three_rosters_are_opened_one_after_the_other_and_the_ledger_is_whole(
    run: tuple[Served, dict[str, Site]],
) -> None:
    server, _ = run
    records = stored(server)
    changes = [(r.version, r.organisation, r.change) for r in records if isinstance(r, MemberChanged)]
    assert [(version, org) for version, org, change in changes if change in {"joined", "left"}] == [
        (2, "elm"),
        (3, "fir"),
    ]
    statements = list(dict.fromkeys(r.statement for r in records if isinstance(r, ContributionEstimated)))
    answers = [r.organisation for r in records if isinstance(r, OpeningAnswered)]
    confirmed = [r for r in records if isinstance(r, CreditConfirmed)]

    assert len(statements) == 3
    assert answers == ["ash", "birch", "cedar"] * 2 + ["ash", "birch", "cedar", "fir"]
    assert [confirmed.count(one) for one in confirmed] == [1] * 10
    assert {one.statement for one in confirmed} == set(statements)
    assert not [r for r in records if isinstance(r, CreditObjected)]
    assert verify_file(server.home.ledger, Trust()).fault is None
    assert second_verifier.check(server.home.ledger) is None


def test_everybody_has_one_value_and_they_add_up_to_what_the_model_gained(run: tuple[Served, dict[str, Site]]) -> None:
    server, _ = run
    records = stored(server)
    found = last_words(records)
    utility = [record.utility for record in records if isinstance(record, UtilityObserved)]
    gained = Fraction(utility[-1] - utility[0], 10**9)

    assert {org: one.standing for org, one in found.items()} == {
        **dict.fromkeys(("ash", "birch", "cedar", "elm"), "provisional"),  # elm does not answer for itself
        "fir": "verified",
    }
    assert {org: one.flags for org, one in found.items()} == {
        **dict.fromkeys(("ash", "birch", "cedar", "elm"), ("vouched",)),
        "fir": (),
    }
    assert all(one.value != 0 for one in found.values())
    assert abs(sum(one.value for one in found.values()) - gained) < gained / 100


def test_rounds_count_for_those_who_were_in_them(run: tuple[Served, dict[str, Site]]) -> None:
    server, _ = run
    rounds = [r for r in stored(server) if isinstance(r, AggregateReleased)]
    taken = {org: [r.round for r in rounds if org in {s.organisation for s in r.survivors}] for org in (*FILES, "fir")}

    assert len(rounds) == ROUNDS
    assert taken["elm"] == list(range(1, LEAVES + 1))
    assert taken["ash"] == taken["birch"] == taken["cedar"] == list(range(1, ROUNDS + 1))
    assert taken["fir"] == list(range(JOINS + 1, ROUNDS + 1))


def test_the_periods_budget_is_divided_among_all_of_them_to_the_cent(run: tuple[Served, dict[str, Site]]) -> None:
    server, _ = run
    settled = settle(follow(enumerate(stored(server))), 1)

    assert [line.organisation for line in settled.lines] == ["ash", "birch", "cedar", "fir", "elm"]
    assert sum(line.paid + line.vesting + line.set_aside for line in settled.lines) + settled.returned == 100_000
    assert not settled.is_by_weight


def test_no_secret_is_left_and_the_model_is_one(run: tuple[Served, dict[str, Site]]) -> None:
    server, sites = run
    assert list((server.home.state / "journal").glob("upload-*")) == []
    for org, site in sites.items():
        kept = site.folder.journal.glob("*")
        assert not [path.name for path in kept if path.stem.endswith(("kept", "update", "sum"))], org
    assert len({site.folder.read_status()["model_sha256"] for site in sites.values()}) == 1
