"""Where directions come from, and how often contributions may be opened: checked before anything is signed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import digest
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.evaluation import Evaluation, Row, Shard, periods_of, rows_root
from fedgap.secagg.local import Settled, local_federation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.periods import Periods, most_periods

SHARD = Shard(root=digest("rows"), rows=60)


def manifest_for(evaluation: Evaluation, *, d: int = 1000, periods: int = 1, openings: int = 1) -> Manifest:
    encoding = Encoding(parameters=d, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
    orgs = {OrgId(f"org-{k}"): 1 for k in range(3)}
    settled = Settled(evaluation=evaluation, periods=periods, openings=openings)
    return local_federation(FederationId("test"), orgs, encoding, seed=1, settled=settled).manifest


@given(st.integers(1, 500), st.integers(1, 60))
def test_periods_cut_a_run_into_parts_that_cover_it_once(rounds: int, count: int) -> None:
    periods = Periods(rounds, min(count, rounds))
    covered = [round_ for period in range(1, periods.count + 1) for round_ in periods.rounds_of(period)]
    assert covered == list(range(1, rounds + 1))
    for period in range(1, periods.count + 1):
        assert len(periods.rounds_of(period)) <= periods.length
        assert all(periods.of(round_) == period for round_ in periods.rounds_of(period))
        due = periods.due(period)
        assert due is None or (due >= period * periods.length + periods.length and due < rounds)


def test_a_change_applies_from_the_first_period_of_which_no_round_has_begun() -> None:
    assert [Periods(20, 2).next(begun) for begun in (1, 10, 11, 20)] == [2, 2, 3, 3]


def test_a_run_has_at_most_one_period_for_ten_rounds_and_twenty_parameters_an_opening() -> None:
    assert most_periods(rounds=50, parameters=10_000, openings=1) == 5
    assert most_periods(rounds=51, parameters=10_000, openings=2) == 6
    assert most_periods(rounds=50, parameters=62, openings=1) == 3
    assert most_periods(rounds=50, parameters=100, openings=2) == 2
    assert most_periods(rounds=50, parameters=19, openings=1) == 0
    assert Periods(50, 1).due(1) is None
    assert Periods(50, 5).due(1) == 20
    with pytest.raises(BadManifestError):
        Periods(3, 4)
    with pytest.raises(BadManifestError):
        Periods(3, 0)


def test_the_organisations_own_rows_are_refused_with_the_reason() -> None:
    with pytest.raises(BadManifestError, match="nobody could check"):
        Evaluation(source="organisations", rounds=10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "guessed", "rounds": 10},
        {"source": "public", "rounds": 0},
        {"source": "committed", "rounds": 10},
        {"source": "public", "rounds": 10, "shards": (SHARD, SHARD)},
        {"source": "server_chooses_directions", "rounds": 10, "shards": (SHARD,)},
        {"source": "witness", "rounds": 10},
        {"source": "public", "rounds": 10, "witness": bytes(32)},
    ],
)
def test_a_specification_that_does_not_fit_together_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadManifestError):
        Evaluation(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_the_manifest_pins_the_specification_and_bounds_the_openings() -> None:
    public = Evaluation(source="public", rounds=30)
    assert periods_of(manifest_for(public, periods=3), public) == Periods(30, 3)
    assert periods_of(manifest_for(public, openings=2), public).length == 30
    for wrong in (
        manifest_for(public, periods=4),
        manifest_for(public, periods=0),
        manifest_for(public, openings=3),
        manifest_for(public, openings=0),
        manifest_for(public, d=99, openings=2),
        manifest_for(public, d=19),
        replace(manifest_for(public), evaluation=bytes(32)),
    ):
        with pytest.raises(BadManifestError):
            periods_of(wrong, public)


def test_several_periods_need_a_shard_of_fifty_rows_each() -> None:
    shards = tuple(Shard(root=digest("shard", k), rows=50) for k in range(3))
    good = Evaluation(source="committed", rounds=30, shards=shards)
    assert periods_of(manifest_for(good, periods=3), good) == Periods(30, 3)
    assert [good.shard(period) for period in (1, 2, 3)] == list(shards)
    one = Evaluation(source="committed", rounds=30, shards=(SHARD,))
    assert one.shard(1) == SHARD
    for wrong, periods in (
        (one, 3),
        (replace(good, shards=shards[:2]), 3),
        (replace(good, shards=(shards[0], *shards[:2])), 3),
        (replace(good, shards=(replace(shards[0], rows=49), *shards[1:])), 3),
        (good, 1),
    ):
        with pytest.raises(BadManifestError):
            periods_of(manifest_for(wrong, periods=periods), wrong)


def test_the_root_of_rows_depends_on_salt_content_and_order() -> None:
    rows = [Row(salt=bytes([k]) * 16, content=b"x") for k in range(3)]
    roots = {
        rows_root(rows),
        rows_root(rows[::-1]),
        rows_root([replace(rows[0], salt=bytes([9]) * 16), *rows[1:]]),
        rows_root([replace(rows[0], content=b"y"), *rows[1:]]),
    }
    assert len(roots) == 4
