"""Three periods over TLS in this process: one is settled on the way, without a member that then comes back."""

import threading
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.flower.egress import read_egress
from fedgap.ledger import Entry, Signed, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import AggregateReleased, ContributionEstimated, Record, read_record
from fedgap.simulation.study import simulate
from tests import second_verifier
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import wide

ROUNDS, PERIODS, DUE, BACK = 21, 3, 14, 16
ORGS = ("ash", "birch", "cedar", "elm")
FILES = {name: wide(20 + 8 * seed, seed, 41) for seed, name in enumerate(ORGS)}
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "training": {"rounds": ROUNDS, "lr": 0.02},
    "secagg": {"reply_timeout_s": 15.0},
    "settlement": {"periods": PERIODS},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}

pytestmark = pytest.mark.slow


class Gone(BaseException):
    """A site that ends here and now."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, list[Site]]:
    """Elm leaves after round 14 and comes back when others begin round 16; the server is started again in between."""
    folder = tmp_path_factory.mktemp("periods")
    home = home_in(folder, files=FILES, **SECTIONS)
    for place in (folder / "simulated", home.folder):
        (place / "evaluation.csv").write_text(wide(160, 99, 41))
    come_back, stopped = threading.Event(), threading.Event()
    with served(home) as server:
        sites = [settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()]
        ash, elm = sites[0], sites[-1]

        def leave(kind: str, facts: dict[str, Any]) -> None:
            if (kind, facts.get("purpose"), facts.get("round")) == ("answered", "certificate", DUE):
                raise Gone

        def notice(kind: str, facts: dict[str, Any]) -> None:
            if kind == "asked" and facts["purpose"] == "invite" and facts["round"] >= BACK:
                come_back.set()
                assert stopped.wait(400)  # no round is over before the server has stopped

        elm.on, ash.on = leave, notice
        for site in sites:
            site.start()
        assert come_back.wait(400), server.said
        assert [type(error) for error in elm.failed] == [Gone]
    stopped.set()
    elm.failed.clear()
    elm.on = lambda *_: None
    with served(home) as again:
        elm.start()
        assert all(site.ended(400) for site in sites), again.said
        wait_until(lambda: any(line.startswith("done") for line in again.said))
    return again, sites


def stored(path: Path) -> list[Record]:
    """What a ledger says."""
    with StoredLedger(path) as ledger:
        return [read_record(Entry.of(body).record) for _, body in ledger.bodies()]


def estimated(records: list[Record], period: int) -> dict[str, ContributionEstimated]:
    """The values of a period."""
    found = [record for record in records if isinstance(record, ContributionEstimated)]
    return {record.organisation: record for record in found if record.period == period}


def test_the_ledger_is_whole_and_the_first_period_is_in_it_before_the_run_goes_on(
    run: tuple[Served, list[Site]],
) -> None:
    server, _ = run
    listed = stored(server.home.ledger)
    places = [at for at, record in enumerate(listed) if isinstance(record, AggregateReleased)]
    periods = [(at, r.period) for at, r in enumerate(listed) if isinstance(r, ContributionEstimated)]

    assert [period for _, period in periods] == [1] * 4 + [2] * 4 + [3] * 4
    assert places[DUE - 1] < periods[0][0] < places[DUE]
    assert periods[4][0] > places[-1]
    assert verify_file(server.home.ledger, Trust()).fault is None
    assert second_verifier.check(server.home.ledger) is None


def test_a_period_settled_without_a_member_has_the_simulations_values_and_names_who_vouched(
    run: tuple[Served, list[Site]],
) -> None:
    server, _ = run
    config = load_federation(server.home.folder.parent / "simulated" / "federation.toml")
    found = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert found.facts is not None
    facts = [fact.record if isinstance(fact, Signed) else fact for fact in found.facts.rest]
    expected, actual = estimated(facts, 1), estimated(stored(server.home.ledger), 1)

    assert {org: one.value for org, one in expected.items()} == {org: one.value for org, one in actual.items()}
    assert actual["elm"].vouched_by == ORGS[:3]
    assert [actual[org].vouched_by for org in ORGS[:3]] == [(org,) for org in ORGS[:3]]


def test_a_member_that_missed_rounds_settles_the_rounds_it_was_in_later(run: tuple[Served, list[Site]]) -> None:
    server, sites = run
    listed = stored(server.home.ledger)
    rounds = [r for r in listed if isinstance(r, AggregateReleased)]
    missed = [r.round for r in rounds if "elm" not in {one.organisation for one in r.survivors}]

    assert missed
    assert missed[0] == DUE + 1
    for period in (2, 3):
        found = estimated(listed, period)
        assert {one.standing for one in found.values()} == {"verified"}
        assert found["elm"].value != Fraction(0)
    settled = {
        site.place.name: [(e["period"], e["confirmed"]) for e in site.events if e["event"] == "settled"]
        for site in sites
    }
    there = [(1, True), (2, True), (3, True)]
    assert settled == {"ash": there, "birch": there, "cedar": there, "elm": [(2, True), (3, True), (1, False)]}


def test_nothing_that_opens_an_upload_is_left_anywhere(run: tuple[Served, list[Site]]) -> None:
    server, sites = run
    assert list((server.home.state / "journal").glob("upload-*")) == []
    for site in sites:
        kept = site.folder.journal.glob("*")
        assert not [path.name for path in kept if path.stem.endswith(("kept", "update", "sum"))], site.place.name
        assert [line["purpose"] for line in read_egress(site.folder.egress)].count("ended") == 1
