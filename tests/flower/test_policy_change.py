"""A policy that changes in mid-run, over TLS on loopback: approved by a quorum, and applied from its period on."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from fedgap.flower import policy_work
from fedgap.flower.standing import approve_manifest
from fedgap.funding import follow, settle
from fedgap.funding.statement import statement_digest
from fedgap.ids import OrgId
from fedgap.ledger import Entry, Trust
from fedgap.ledger.reading import verify_file
from fedgap.ledger.store import Ledger
from fedgap.records import AggregateReleased, PolicyApproved, PolicySigned, read_record
from tests import second_verifier
from tests.flower.hamlet import Site, hold_rounds, settle_in
from tests.flower.serving import Served, home_in, served
from tests.flower.test_settled_federation import stored
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import wide

pytestmark = pytest.mark.slow

ROUNDS, HALF = 11, 6
REFUSES = OrgId("fir")
FEATURES = 20  # two openings need 40 parameters
FILES = {
    name: wide(20 + 8 * seed, seed, FEATURES) for seed, name in enumerate(("ash", "birch", "cedar", "elm", REFUSES))
}
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "federation": {"policy": "policy.toml"},
    "training": {"rounds": ROUNDS, "lr": 0.2},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 2},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1},
}
FIRST = """
[policy]
currency = "EUR"
[[period]]
budget = "1000.00"
[[period]]
budget = "1000.00"
"""
SECOND = FIRST.replace('"EUR"', '"EUR"\nvalue_part = "1"').replace('budget = "1000.00"\n', 'budget = "250.00"\n', 2)
SECOND = SECOND.replace("250.00", "1000.00", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, dict[str, Site]]:
    """What is left after a run in which all but one organisation approved the second version.

    Sites look for it after each round: it is proposed after the first, seen after the second and approved before the
    fourth, so those who approve have signed it when the fifth begins.
    """
    with pytest.MonkeyPatch.context() as patch:
        return _run(tmp_path_factory, patch)


def _run(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> tuple[Served, dict[str, Site]]:
    folder = tmp_path_factory.mktemp("policy")
    home = home_in(folder, files=FILES, **SECTIONS)
    (home.folder / "evaluation.csv").write_text(wide(160, 99, FEATURES))
    (home.folder / "policy.toml").write_text(FIRST)
    (folder / "next.toml").write_text(SECOND)
    proposed, approved = threading.Event(), threading.Event()
    hold_rounds(patch, home, {1: proposed.is_set, 3: approved.is_set})
    with served(home) as server:
        sites = {org: settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()}
        for site in sites.values():
            site.start()
        wait_until(lambda: server.ended or any("round 1 of" in line for line in server.said), seconds=240)
        assert not server.ended
        made = policy_work.propose(home, folder / "next.toml", from_period=None)
        assert (made.version, made.from_period) == (2, 2)
        proposed.set()
        for org, site in sites.items():
            wait_until(lambda site=site: made.digest in "".join(e.get("remedy", "") for e in site.events), seconds=240)  # type: ignore[misc]
            if org != REFUSES:
                approve_manifest(site.place / "site.toml", made.digest)
        approved.set()
        assert all(site.ended(240) for site in sites.values())
        wait_until(lambda: any(line.startswith("done") for line in server.said), seconds=240)
    assert not server.ended
    return server, sites


def test_members_approve_it_and_it_stands_in_the_ledger_before_its_period_begins(
    run: tuple[Served, dict[str, Site]],
) -> None:
    server, _ = run
    records = stored(server.home.ledger)
    (at,) = (place for place, one in enumerate(records) if isinstance(one, PolicySigned) and one.version == 2)
    approved = [one.organisation for one in records[:at] if isinstance(one, PolicyApproved)]
    rounds_before = sum(isinstance(one, AggregateReleased) for one in records[:at])

    assert approved == [org for org in FILES if org != REFUSES]  # four of five, which is tau
    assert 1 <= rounds_before <= HALF
    assert verify_file(server.home.ledger, Trust()).fault is None
    assert second_verifier.check(server.home.ledger) is None


def test_who_did_not_approve_is_in_no_round_of_the_new_period_and_blocks_nobody(
    run: tuple[Served, dict[str, Site]],
) -> None:
    server, sites = run
    sums = [one for one in stored(server.home.ledger) if isinstance(one, AggregateReleased)]
    present = Counter((one.round > HALF, survivor.organisation) for one in sums for survivor in one.survivors)

    assert [one.round for one in sums] == list(range(1, ROUNDS + 1))
    assert present[False, REFUSES] > 0
    assert present[True, REFUSES] == 0
    assert all(present[True, OrgId(org)] for org in FILES if org != REFUSES)
    assert "client.needs-approval" in {e.get("code") for e in sites[REFUSES].events if e["event"] == "refused"}


def test_each_period_is_divided_by_its_own_version(run: tuple[Served, dict[str, Site]]) -> None:
    server, _ = run
    with Ledger(server.home.ledger, server.home.identity()) as ledger:
        for period in (1, 2):
            records = [read_record(Entry.of(body).record) for _, body in ledger.bodies()]
            found = settle(follow(enumerate(records)), period)
            ledger.append(found.record(statement_digest(found)))
    first, second = (found for found, _, _ in follow(enumerate(stored(server.home.ledger))).settlements)

    assert [(found.version, found.planned) for found in (first, second)] == [(1, 100_000), (2, 25_000)]
    assert all(line.base == 0 for line in second.lines)  # everything follows value now
    assert verify_file(server.home.ledger, Trust()).fault is None
    assert second_verifier.check(server.home.ledger) is None
    with pytest.raises(Exception, match="have begun"):
        policy_work.propose(server.home, server.home.folder.parent / "next.toml", from_period=None)
