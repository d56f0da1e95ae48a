"""Contributions measured on rows that only a witness has: nothing is opened before it has recomputed and signed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import ConfigError, load_federation
from fedgap.crypto import Identity
from fedgap.crypto.codec import pack, unpack
from fedgap.flower import settling_run
from fedgap.flower.limits import TaskNotAllowedError
from fedgap.flower.measuring import EvaluationError, read_evaluation, terms_for
from fedgap.flower.witness_case import Attested, WitnessCase
from fedgap.flower.witness_desk import WitnessDesk
from fedgap.flower.witnessing import CaseRefusedError, Witness
from fedgap.ledger import Entry, Signed, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import ContributionEstimated, Record, read_record
from fedgap.secagg.desk import Desk
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.wire import pack as packed
from fedgap.simulation.study import simulate
from tests.flower.hamlet import Site, settle_in
from tests.flower.serving import Served, home_in, served
from tests.integration.deployment.stage import wait_until
from tests.simulation.opened import wide
from tests.simulation.tiny import write

KEY = Identity(b"w" * 32)
TASK = "tabular-classification"
FILES = {name: wide(20 + 8 * seed, seed) for seed, name in enumerate(("ash", "birch", "cedar"))}
ROWS = wide(80, 99)
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "training": {"rounds": 2, "lr": 0.2},
    "secagg": {"reply_timeout_s": 60.0},
    "settlement": {"periods": 1},
    "evaluation": {"data": "evaluation.csv", "source": "witness", "witness": KEY.public.hex()},
    "baselines": {"splits": 1, "folds": 2, "epochs": 1, "personal_epochs": 1, "bootstrap": 200},
}


@dataclass
class Run:
    """A run, and the case that its witness was given."""

    server: Served
    sites: list[Site]
    case: bytes
    waited: bool


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The server first finds an answer of somebody else, then the witness's."""
    looked, look = list[int](), WitnessDesk.signatures

    def signatures(self: WitnessDesk, desk: Desk, period: int) -> object:
        found = look(self, desk, period)
        looked.append(period)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WitnessDesk, "signatures", signatures)
        patch.setattr(settling_run, "LOOK_S", 0.1)
        return _run(tmp_path_factory, looked)


def _run(tmp_path_factory: pytest.TempPathFactory, looked: list[int]) -> Run:
    folder = tmp_path_factory.mktemp("witnessed")
    home = home_in(folder, files=FILES, **SECTIONS)
    for place in (folder / "simulated", home.folder):
        (place / "evaluation.csv").write_text(ROWS)
    with served(home) as server:
        sites = [settle_in(server, folder, org, rows, now_s=time.time()) for org, rows in FILES.items()]
        for site in sites:
            site.start()
        case = home.state / "witness" / "period-1.case"
        wait_until(case.exists, seconds=400)
        content = case.read_bytes()
        wrong = Attested(period=1, signatures=tuple(bytes(64) for _ in unpack(WitnessCase, content).directions))
        case.with_suffix(".signed").write_bytes(pack(wrong))
        looks = len(looked)
        wait_until(lambda: len(looked) >= looks + 2)  # one of the two began after it was written
        waited = not any("settling" in line for line in server.said)
        signed = pack(witness(folder).attest(content, folder))
        case.with_suffix(".signed").write_bytes(signed)
        assert all(site.ended(400) for site in sites)
        wait_until(lambda: any(line.startswith("done") for line in server.said), seconds=400)
        assert not case.exists()
    return Run(server, sites, content, waited)


def witness(folder: Path, *, rows: str = ROWS, key: Identity = KEY, task: str = TASK) -> Witness:
    """A witness with its copy of the rows."""
    (folder / "own.csv").write_text(rows)
    return Witness(identity=key, rows=folder / "own.csv", task=task, log=folder / "signed-log")


def test_the_values_are_the_simulations_and_nothing_was_opened_before_the_witness_signed(run: Run) -> None:
    home = run.server.home
    config = load_federation(home.folder.parent / "simulated" / "federation.toml")
    found = simulate(config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert found.facts is not None
    facts = [fact.record if isinstance(fact, Signed) else fact for fact in found.facts.rest]
    with StoredLedger(home.ledger) as ledger:
        stored = [read_record(Entry.of(body).record) for _, body in ledger.bodies()]

    assert run.waited
    assert _values(facts) == _values(stored)
    assert {standing for _, standing in _values(stored).values()} == {"verified"}
    assert verify_file(home.ledger, Trust()).fault is None


def test_no_site_was_shown_a_row(run: Run) -> None:
    for site in run.sites:
        kept = b"".join(path.read_bytes() for path in site.folder.path.rglob("*") if path.is_file())
        assert not any(line.encode() in kept for line in ROWS.splitlines()[1:20])
        assert [event["confirmed"] for event in site.events if event["event"] == "settled"] == [True]


def test_the_witness_signs_the_same_again_and_no_second_direction_for_a_slot(run: Run, tmp_path: Path) -> None:
    one = witness(tmp_path)
    first = one.attest(run.case, tmp_path)
    case = unpack(WitnessCase, run.case)
    salted = replace(case, directions=tuple(replace(shown, salt=bytes(32)) for shown in case.directions))

    assert first == one.attest(run.case, tmp_path)
    with pytest.raises(CaseRefusedError, match="was signed before"):
        one.attest(pack(salted), tmp_path)


def test_a_direction_that_is_not_that_of_the_rows_is_not_signed(run: Run, tmp_path: Path) -> None:
    case = unpack(WitnessCase, run.case)
    last = case.directions[-1]
    turned = replace(last, entries=last.entries[2:] + last.entries[:2])
    for content, one in (
        (pack(replace(case, directions=(*case.directions[:-1], turned))), witness(tmp_path)),
        (run.case, witness(tmp_path, rows=wide(80, 98))),
    ):
        with pytest.raises(CaseRefusedError, match="not the one that our rows give"):
            one.attest(content, tmp_path)
    assert not (tmp_path / "signed-log").exists()


def _wrong_cases(case: WitnessCase) -> list[WitnessCase]:
    first, total = case.sums[0], case.sums[0].total
    changed = replace(first, total=bytes([total[0] ^ 1]) + total[1:])
    plan = json.loads(case.plan)
    plan["training"]["lr"] = 0.3
    one = case.directions[0]
    return [
        replace(case, sums=(changed, *case.sums[1:])),
        replace(case, sums=case.sums[1:]),
        replace(case, plan=json.dumps(plan)),
        replace(case, plan="[]"),
        replace(case, manifests=()),
        replace(case, manifests=(replace(case.manifests[0], approvals=()),)),
        replace(case, evaluation=Evaluation(source="witness", rounds=2, witness=bytes(32))),
        replace(case, directions=()),
        replace(case, directions=(one, one)),
        replace(case, directions=(replace(one, round=0), *case.directions[1:])),
        replace(case, directions=(*case.directions, replace(one, round=3))),
        replace(case, directions=(replace(one, slot=2), *case.directions[1:])),
        replace(case, directions=(replace(one, agreed=bytes(32)), *case.directions[1:])),
        replace(case, directions=(replace(one, entries=one.entries[2:]), *case.directions[1:])),
        replace(case, period=2),
        replace(case, policy="[policy]\ncurrency = 'EUR'\n[[period]]\nbudget = '1.00'\n"),
    ]


@pytest.mark.parametrize("which", range(16))
def test_a_case_that_does_not_hold_together_is_not_signed(run: Run, tmp_path: Path, which: int) -> None:
    wrong = _wrong_cases(unpack(WitnessCase, run.case))[which]
    with pytest.raises(CaseRefusedError):
        witness(tmp_path).attest(pack(wrong), tmp_path)
    assert not (tmp_path / "signed-log").exists()


def test_only_the_plans_witness_signs_and_only_the_task_it_allows_runs(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CaseRefusedError, match="another witness"):
        witness(tmp_path, key=Identity(b"x" * 32)).attest(run.case, tmp_path)
    with pytest.raises(TaskNotAllowedError):
        witness(tmp_path, task="image-classification").attest(run.case, tmp_path)
    for content in (b"", run.case[:-1], b"\0" * 100):
        with pytest.raises(CaseRefusedError):
            witness(tmp_path).attest(content, tmp_path)


def test_a_deployment_needs_the_witnesss_key_and_members_hold_the_server_to_it(tmp_path: Path) -> None:
    config = load_federation(write(tmp_path, FILES, **SECTIONS))
    other = Evaluation(source="witness", rounds=2, witness=bytes(32))
    (tmp_path / "none").mkdir()
    unnamed = {**SECTIONS, "evaluation": {"data": "evaluation.csv", "source": "witness"}}

    with pytest.raises(EvaluationError, match="another witness"):
        read_evaluation(config, packed(other), 22)
    with pytest.raises(EvaluationError, match="no key"):
        terms_for(load_federation(write(tmp_path / "none", FILES, **unnamed)), 22)
    wrong = {**SECTIONS, "evaluation": {"source": "public", "witness": KEY.public.hex()}}
    (tmp_path / "wrong").mkdir()
    with pytest.raises(ConfigError):
        load_federation(write(tmp_path / "wrong", FILES, **wrong))


def _values(records: list[Record]) -> dict[str, tuple[Fraction, str]]:
    return {r.organisation: (r.value, r.standing) for r in records if isinstance(r, ContributionEstimated)}
