"""Values and ledger of a simulated federation: opened by the deployed protocol, and the same without its messages."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedgap.contribution.errors import NotAttributableError
from fedgap.records import ContributionEstimated, CostClaimed, FundingSettled, PolicySigned, RoundOpened
from fedgap.secagg.errors import BadManifestError
from fedgap.simulation import founded
from fedgap.simulation.money import PolicyOwnersError, PolicyPeriodsError
from fedgap.simulation.study import Study
from fedgap.simulation.terms import TooManyPeriodsError
from tests.simulation.opened import file_of, kinds, opened, records, verified
from tests.simulation.tiny import needless, unexplained

POLICY: dict[str, Any] = {"federation": {"policy": "policy.toml"}}


def estimates(found: Study) -> list[ContributionEstimated]:
    return [record for record in records(found) if isinstance(record, ContributionEstimated)]


def values(found: Study) -> list[Any]:
    return [(e["value"], e["value_ci95"], e["share"]) for e in found.report["organisations"]]


def test_a_full_run_leaves_a_whole_ledger_with_every_kind_that_applies(tmp_path: Path) -> None:
    found = opened(tmp_path, **POLICY)
    checked = verified(found)

    assert checked.fault is None
    assert (checked.root.hex(), checked.unsigned_sums) == (found.report["ledger_root"], 0)
    assert kinds(found) == {
        "ManifestSigned": 1,
        "PolicySigned": 1,
        "RoundOpened": 3,
        "RosterAgreed": 3,
        "AggregateReleased": 3,
        "DirectionCommitted": 3,
        "UtilityObserved": 4,
        "CheckpointCosigned": 16,
        "OpeningAnswered": 4,
        "ContributionEstimated": 4,
        "CreditConfirmed": 4,
        "CostClaimed": 4,
        "CostBounded": 4,
        "FundingSettled": 1,
    }
    order = [type(record) for record in records(found)]
    assert order.index(PolicySigned) < order.index(RoundOpened)
    assert unexplained(found.report) == needless(found.report) == []


def test_without_messages_the_values_are_the_same_fractions_and_the_sums_are_unsigned(tmp_path: Path) -> None:
    full, added = opened(tmp_path, **POLICY), opened(tmp_path, protocol="sum", **POLICY)

    assert values(full) == values(added)
    assert [(e.organisation, e.value, e.standing) for e in estimates(full)] == [
        (e.organisation, e.value, e.standing) for e in estimates(added)
    ]
    money = [[r.lines for r in records(found) if isinstance(r, FundingSettled)] for found in (full, added)]
    assert money[0] == money[1]
    checked = verified(added)
    assert (checked.fault, checked.unsigned_sums) == (None, 3)


def test_the_report_says_what_the_ledger_says(tmp_path: Path) -> None:
    found = opened(tmp_path)

    assert [float(e.value) for e in estimates(found)] == [e["value"] for e in found.report["organisations"]]
    assert {e.standing for e in estimates(found)} == {"verified"}


@pytest.mark.parametrize("protocol", ["full", "sum"])
def test_the_same_seed_gives_the_same_file_byte_for_byte(tmp_path: Path, protocol: str) -> None:
    made = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        made.append(file_of(opened(tmp_path / place, protocol=protocol, **POLICY), tmp_path / place))

    assert made[0] == made[1]


@pytest.mark.parametrize("protocol", ["full", "sum"])
def test_each_period_is_opened_on_its_own_rows(tmp_path: Path, protocol: str) -> None:
    """41 features give 84 parameters: four openings at most; the first of three periods is due before the end."""
    found = opened(
        tmp_path, protocol=protocol, features=41, rounds=21, evaluation_rows=150, settlement={"periods": 3},
        training={"lr": 0.02},
    )  # fmt: skip
    assert verified(found).fault is None
    listed = records(found)
    periods = [record.period for record in listed if isinstance(record, ContributionEstimated)]
    opens = [at for at, record in enumerate(listed) if isinstance(record, RoundOpened)]

    assert periods == [1] * 4 + [2] * 4 + [3] * 4
    assert next(at for at, record in enumerate(listed) if isinstance(record, ContributionEstimated)) > opens[13]
    total = sum(Fraction(e.value) for e in estimates(found))
    assert sum(e["value"] for e in found.report["organisations"]) == pytest.approx(float(total), abs=1e-12)
    assert all(e["value_ci95"] is None for e in found.report["organisations"])
    assert unexplained(found.report) == needless(found.report) == []


def test_two_openings_give_every_value_an_interval(tmp_path: Path) -> None:
    found = opened(tmp_path, features=50, evaluation_rows=60, settlement={"openings": 2})

    for entry, estimate in zip(found.report["organisations"], estimates(found), strict=True):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high
        assert entry["value_ci95"] == pytest.approx([float(estimate.low), float(estimate.high)])
    assert unexplained(found.report) == needless(found.report) == []


def test_a_model_too_small_for_a_second_opening_says_so(tmp_path: Path) -> None:
    found = opened(tmp_path, settlement={"openings": 2})

    assert "22 parameters allows one opening" in found.report["organisations"][0]["reasons"]["value_ci95"]


def test_a_model_too_small_for_any_opening_is_credited_by_weight(tmp_path: Path) -> None:
    found = opened(tmp_path, features=4, **POLICY)

    assert {(e.standing, e.flags) for e in estimates(found)} == {("by-weight", ("nothing-opened",))}
    assert any("too small" in note for note in found.report["notes"])
    assert verified(found).fault is None


@pytest.mark.parametrize("source", ["public", "witness", "server_chooses_directions"])
def test_other_sources_of_directions_settle_too(tmp_path: Path, source: str) -> None:
    full = opened(tmp_path, evaluation_rows=60, evaluation={"source": source})

    assert verified(full).fault is None
    assert {e.standing for e in estimates(full)} == {"verified"}
    assert kinds(full)["OpeningAnswered"] == 4


def test_a_run_too_large_to_keep_is_settled_without_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = opened(tmp_path)
    monkeypatch.setattr(founded, "MOST_HELD", 1)
    found = opened(tmp_path)

    assert values(found) == values(kept)
    assert kinds(found)["OpeningAnswered"] == 0
    assert founded.TOO_LARGE in found.report["notes"]


def test_cheats_flow_through_to_the_money(tmp_path: Path) -> None:
    found = opened(tmp_path, behave={"ash": "zero", "elm": "flip"}, **POLICY)
    (settled,) = [record for record in records(found) if isinstance(record, FundingSettled)]
    lines = {str(line.organisation): line for line in settled.lines}

    assert next(e.value for e in estimates(found) if e.organisation == "ash") == 0
    assert [(lines[org].base, lines[org].pool) for org in ("ash", "elm")] == [(0, 0)] * 2
    assert sum(line.paid for line in settled.lines) + settled.returned == settled.budget == 100000


def test_claims_are_counted_and_rows_declared_once(tmp_path: Path) -> None:
    found = opened(tmp_path)
    claims = [record for record in records(found) if isinstance(record, CostClaimed)]

    assert [claim.organisation for claim in claims] == ["ash", "birch", "cedar", "elm"]
    for claim, entry in zip(claims, found.report["organisations"], strict=True):
        assert claim.metered[0].what == "cpu-ms"
        assert claim.metered[0].amount > 0
        assert [(one.what, one.amount) for one in claim.declared] == [("rows", entry["train_rows"])]


def test_what_cannot_be_settled_as_wanted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooManyPeriodsError):
        opened(tmp_path, rounds=20, settlement={"periods": 2})
    with pytest.raises(NotAttributableError):
        opened(tmp_path, server={"optimizer": "fedavgm"}, **POLICY)
    with pytest.raises(PolicyPeriodsError):
        opened(tmp_path, rounds=20, features=40, settlement={"periods": 2}, **POLICY)
    owners = '[[owner]]\nname = "group"\norganisations = ["ash", "beech"]\n'
    (tmp_path / "owned.toml").write_text((tmp_path / "policy.toml").read_text() + owners)
    with pytest.raises(PolicyOwnersError, match="has no beech"):
        opened(tmp_path, federation={"policy": "owned.toml"})
    with pytest.raises(BadManifestError, match="fewer than 50 rows"):
        opened(tmp_path, rounds=20, features=40, evaluation_rows=80, settlement={"periods": 2})


def test_plain_sums_keep_no_ledger_and_say_why(tmp_path: Path) -> None:
    found = opened(tmp_path, protocol=None, server={"weights": "rows"})  # type: ignore[arg-type]

    assert found.facts is None
    assert found.report["ledger_root"] is None
    assert "no manifest" in found.report["reasons"]["ledger_root"]
    assert unexplained(found.report) == needless(found.report) == []
