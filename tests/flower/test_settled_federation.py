"""A federation of three over TLS on loopback, all in this process: from the first round to the last statement."""

import time
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.flower.egress import read_egress
from fedgap.ledger import Entry, Signed, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import ContributionEstimated, Record, read_record
from fedgap.simulation.study import simulate
from tests import second_verifier
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, list[Site]]:
    """What is left after the run."""
    folder = tmp_path_factory.mktemp("hamlet")
    home = home_in(folder, files=FILES, **SECTIONS)
    for place in (folder / "simulated", home.folder):
        (place / "evaluation.csv").write_text(wide(80, 99))
        (place / "policy.toml").write_text(POLICY)
    with served(home) as server:
        sites = [settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()]
        for site in sites:
            site.start()
        assert all(site.ended() for site in sites)
        end = time.monotonic() + 60
        while not any(line.startswith("done") for line in server.said):
            assert time.monotonic() < end
            time.sleep(0.05)
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
    }
    found = verify_file(server.home.ledger, Trust())
    assert found.fault is None
    assert not found.simulation
    assert second_verifier.check(server.home.ledger) is None


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
    uploads = list((server.home.state / "journal").glob("upload-*"))
    assert uploads == []
