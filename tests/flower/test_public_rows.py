"""Contributions measured on public rows: every site has the file, and goes along with no other."""

import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.config.summary import summary
from fedgap.crypto import digest
from fedgap.flower.check import check_site
from fedgap.flower.measuring import EvaluationError, file_digest, public_rows
from fedgap.ledger import Entry, Signed
from fedgap.ledger.reading import StoredLedger
from fedgap.records import ContributionEstimated, Record, read_record
from fedgap.secagg.evaluation import Evaluation, Shard
from fedgap.simulation.sites import open_task
from fedgap.simulation.study import simulate
from tests.flower.hamlet import settle_in
from tests.flower.serving import home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import wide
from tests.simulation.tiny import write

FILES = {name: wide(20 + 8 * seed, seed) for seed, name in enumerate(("ash", "birch", "cedar"))}
PUBLIC = wide(80, 99)
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "training": {"rounds": 2, "lr": 0.2},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv", "source": "public"},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}


def test_a_site_with_another_file_waits_and_with_the_right_one_the_values_are_the_simulations(tmp_path: Path) -> None:
    home = home_in(tmp_path, files=FILES, **SECTIONS)
    for place in (tmp_path / "simulated", home.folder):
        (place / "evaluation.csv").write_text(PUBLIC)
    with served(home) as server:
        given = {"ash": PUBLIC, "birch": PUBLIC, "cedar": PUBLIC.replace("yes", "no", 1)}
        sites = [
            settle_in(server, tmp_path, org, rows, now_s=time.time(), public=given[org]) for org, rows in FILES.items()
        ]
        cedar = sites[-1]
        for site in sites:
            site.start()
        wait_until(lambda: any("another file" in str(event.get("cause")) for event in cedar.events), seconds=400)
        assert not list((home.state / "sums").glob("*"))
        (cedar.place / "public.csv").write_text(PUBLIC)
        assert all(site.ended(400) for site in sites)
        wait_until(lambda: any(line.startswith("done") for line in server.said), seconds=400)
    found = [finding for finding in check_site(cedar.place / "site.toml") if finding.name == "evaluation"]
    assert [finding.facts["rows"] for finding in found] == [80]

    config = load_federation(tmp_path / "simulated" / "federation.toml")
    simulated = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert simulated.facts is not None
    facts = [fact.record if isinstance(fact, Signed) else fact for fact in simulated.facts.rest]
    with StoredLedger(home.ledger) as ledger:
        stored = [read_record(Entry.of(body).record) for _, body in ledger.bodies()]
    assert _values(facts) == _values(stored)
    assert {standing for _, standing in _values(stored).values()} == {"verified"}
    assert all(event["confirmed"] for site in sites for event in site.events if event["event"] == "settled")
    assert any("could have trained on them" in sentence for sentence in summary(config))


def test_a_site_without_the_file_or_with_one_it_cannot_read_says_where_it_belongs(tmp_path: Path) -> None:
    config = load_federation(write(tmp_path, FILES, **SECTIONS))
    (tmp_path / "evaluation.csv").write_text(PUBLIC)
    root = file_digest(tmp_path / "evaluation.csv")
    evaluation = Evaluation(source="public", rounds=2, shards=(Shard(root=root, rows=80),))

    for path, cause in ((None, "has none"), (tmp_path / "absent.csv", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(EvaluationError, match=cause) as caught:
            public_rows(config, open_task(config), b"", 22, evaluation, path)
        assert "evaluation_data" in (caught.value.remedy or "")


def test_rows_are_fixed_by_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "public.csv"
    path.write_text(PUBLIC)

    assert file_digest(path) == digest("public-rows", PUBLIC.encode())
    committed = Evaluation(source="committed", rounds=2, shards=(Shard(root=bytes(32), rows=80),))
    config = load_federation(write(tmp_path, FILES, **SECTIONS))
    assert public_rows(config, open_task(config), b"", 22, committed, None) is None
    assert public_rows(replace(config, evaluation=None), open_task(config), b"", 22, None, path) is None


def _values(records: list[Record]) -> dict[str, tuple[Fraction, str]]:
    return {r.organisation: (r.value, r.standing) for r in records if isinstance(r, ContributionEstimated)}
