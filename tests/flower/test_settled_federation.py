"""A federation of three over TLS on loopback, all in this process: from the first round to the last statement."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.flower import accounts, site_settling, training_run
from fedgap.flower.claims import AskClaim, claim_of
from fedgap.flower.egress import read_egress
from fedgap.funding import follow, settle
from fedgap.funding.words import explained
from fedgap.ids import OrgId
from fedgap.ledger import Entry, Signed, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import ContributionEstimated, CostBounded, CostClaimed, Quantity, Record, read_record
from fedgap.simulation.study import simulate
from tests import second_verifier
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import POLICY, wide

ROUNDS = 2
FILES = {name: wide(20 + 8 * seed, seed) for seed, name in enumerate(("ash", "birch", "cedar"))}
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "federation": {"policy": "policy.toml"},
    "training": {"rounds": ROUNDS, "lr": 0.2},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}


PRICED = POLICY + '[[price]]\nwhat = "cpu-ms"\namount = "0.01"\n'
CHEAT = OrgId("cedar")


def inflated(asked: AskClaim, org: OrgId, metering: Path, *, rows: int) -> CostClaimed:
    """The claim of a client of which one organisation has changed a line: ten times all that has passed since."""
    honest = claim_of(asked, org, metering, rows=rows)
    if org != CHEAT:
        return honest
    ages_s = time.time() - metering.parent.stat().st_ctime + 600
    return replace(honest, metered=(Quantity(what="cpu-ms", amount=int(10_000 * ages_s)),))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, list[Site]]]:
    """What is left after the run.

    On a busy machine a heartbeat may be late: who counts as away is waited for. And accounts may take long, after which
    they would be written between rounds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "MOST_PUT_OFF_S", 600.0)
        patch.setattr(training_run, "CLOSING_S", 600.0)
        patch.setattr(site_settling, "claim_of", inflated)
        yield _run(tmp_path_factory)


def _run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, list[Site]]:
    folder = tmp_path_factory.mktemp("hamlet")
    home = home_in(folder, files=FILES, **SECTIONS)
    for place in (folder / "simulated", home.folder):
        (place / "evaluation.csv").write_text(wide(80, 99))
        (place / "policy.toml").write_text(PRICED)
    with served(home) as server:
        sites = [settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()]
        for site in sites:
            site.start()
        assert all(site.ended(600) for site in sites)
        wait_until(lambda: any(line.startswith("done") for line in server.said))
    return server, sites


def stored(path: Path) -> list[Record]:
    """What a ledger says."""
    with StoredLedger(path) as ledger:
        return [read_record(Entry.of(body).record) for _, body in ledger.bodies()]


def test_opened_values_are_the_simulations_exact_fractions(run: tuple[Served, list[Site]]) -> None:
    server, _ = run
    config = load_federation(server.home.folder.parent / "simulated" / "federation.toml")
    found = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert found.facts is not None
    facts = [fact.record if isinstance(fact, Signed) else fact for fact in found.facts.rest]

    expected, actual = _values(facts), _values(stored(server.home.ledger))

    assert set(FILES) == set(expected)
    assert expected == actual
    assert any(value for value, _ in expected.values())


def _values(records: list[Record]) -> dict[str, tuple[Fraction, str]]:
    return {r.organisation: (r.value, r.standing) for r in records if isinstance(r, ContributionEstimated)}


def test_the_accounts_of_a_round_are_written_while_members_train_in_the_next(run: tuple[Served, list[Site]]) -> None:
    server, _ = run
    first, second = json.loads((server.home.state / "status.json").read_text())["rounds"]

    assert "entries" not in first["accounting"]["wall_s"] | first["accounting"]["hidden_s"]
    assert {"entries", "directions", "commitments"} <= second["accounting"]["hidden_s"].keys()
    assert "entries" not in second["accounting"]["wall_s"]


def test_the_ledger_holds_what_happened_and_both_verifiers_find_it_whole(run: tuple[Served, list[Site]]) -> None:
    server, _ = run
    kinds = Counter(type(record).__name__ for record in stored(server.home.ledger))
    cosigned = kinds.pop("CheckpointCosigned")

    assert cosigned >= (ROUNDS + 1) * 3  # who is away at the very end has co-signed all rounds and the closing
    assert kinds == {
        **dict.fromkeys(("ManifestSigned", "PolicySigned"), 1),
        **dict.fromkeys(("RoundOpened", "RosterAgreed", "AggregateReleased", "DirectionCommitted"), ROUNDS),
        "UtilityObserved": ROUNDS + 1,
        **dict.fromkeys(("OpeningAnswered", "ContributionEstimated", "CreditConfirmed", "CostClaimed"), 3),
        "CostBounded": 3,
    }
    found = verify_file(server.home.ledger, Trust())
    assert found.fault is None
    assert not found.simulation
    assert second_verifier.check(server.home.ledger) is None


def test_a_member_that_claims_ten_times_the_possible_is_paid_what_the_server_waited_and_others_as_they_claim(
    run: tuple[Served, list[Site]],
) -> None:
    server, _ = run
    records = stored(server.home.ledger)
    claims = {r.organisation: r.metered[0].amount for r in records if isinstance(r, CostClaimed)}
    bounds = {r.organisation: r.bounds[0].amount for r in records if isinstance(r, CostBounded)}
    found = settle(follow(enumerate(records)), 1)

    assert claims[CHEAT] > 10 * bounds[CHEAT] > 0
    for line in found.lines:
        cpu = line.costs[0]
        is_cheat = line.organisation == CHEAT
        assert (cpu.what, cpu.claimed, cpu.flags) == (
            "cpu-ms",
            claims[line.organisation],
            ("over-bound",) if is_cheat else (),
        )
        assert cpu.counted == (bounds[CHEAT] if is_cheat else claims[line.organisation])
        assert ("while the server waited for it" in " ".join(explained(found, line))) is is_cheat


def test_every_site_confirms_keeps_the_checkpoint_and_erases_what_the_period_needed(
    run: tuple[Served, list[Site]],
) -> None:
    server, sites = run
    with StoredLedger(server.home.ledger) as ledger:
        head = ledger.required_head()
    for site in sites:
        (settled,) = [event for event in site.events if event["event"] == "settled"]
        assert (settled["period"], settled["final"], settled["confirmed"]) == (1, True, True)
        folder = site.folder
        assert not [path.name for path in folder.journal.glob("*") if path.stem.endswith(("kept", "update", "sum"))]
        assert [path.name for path in (folder.path / "trail").iterdir()] == ["base.bin"]
        assert head.size >= 3 + len(sites)
        purposes = Counter(str(line["purpose"]) for line in read_egress(folder.egress))
        once = ("close", "agenda", "reveal", "statement", "claim", "ended")
        assert {name: purposes[name] for name in once} == {**dict.fromkeys(once, 1), "close": 2}
        metered = [json.loads(line)["phases"] for line in folder.metering.read_text().splitlines()]
        spent = [phases["evaluate"]["cpu_seconds"] for phases in metered if "evaluate" in phases]
        assert sum(spent) > 0, "directions are recomputed here, which is metered as evaluation"
    uploads = list((server.home.state / "journal").glob("upload-*"))
    assert uploads == []


def test_a_server_started_again_when_all_is_done_ends_and_adds_no_more_than_co_signatures(
    run: tuple[Served, list[Site]],
) -> None:
    home = run[0].home
    before = stored(home.ledger)
    with served(home) as again:
        wait_until(lambda: again.ended or any(line.startswith("done") for line in again.said))
        assert not again.ended
    assert stored(home.ledger)[: len(before)] == before
    assert {type(one).__name__ for one in stored(home.ledger)[len(before) :]} <= {"CheckpointCosigned"}
