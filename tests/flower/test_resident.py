"""Sites that train real rows through real rounds, and refuse what is beyond their limits or not what they approved."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import load_federation
from fedgap.crypto.codec import pack, unpack
from fedgap.flower import course, plainvalues
from fedgap.flower.claims import AskClaim
from fedgap.flower.contract import BEHIND, CLAIM, SHAPE, STATISTICS, SUMS, EnvelopeError, Request, VersionError
from fedgap.flower.limits import TaskNotAllowedError
from fedgap.flower.preparation import AskShape, AskStatistics, Statistics
from fedgap.ids import OrgId
from fedgap.learning.parameters import digest
from fedgap.learning.table_statistics import TableStatistics
from fedgap.secagg.errors import QuorumLostError
from fedgap.secagg.manifest import SignedManifest
from fedgap.simulation.study import simulate
from tests.flower.sites import Village, village
from tests.simulation import tiny

ASH, BIRCH, CEDAR = OrgId("ash"), OrgId("birch"), OrgId("cedar")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes every site at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def three(tmp_path: Path, stack: ExitStack) -> Village:
    """Three sites that have told statistics and shapes."""
    made = village(tmp_path, stack)
    made.prepare()
    return made


def codes(made: Village, org: OrgId) -> list[str]:
    """What a site refused, in order."""
    return [event["code"] for event in made.events[org] if event["event"] == "refused"]


@pytest.mark.parametrize("optimizer", ["fedavg", "fedadam"])
def test_sites_give_the_model_of_the_simulation_bit_for_bit(tmp_path: Path, stack: ExitStack, optimizer: str) -> None:
    made = village(tmp_path, stack, server={"optimizer": optimizer})
    made.prepare()
    stands = made.run(made.found(), until=2)

    simulated = simulate(made.config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert simulated.report["model_sha256"] == digest(stands.state.model)


def test_a_site_that_is_closed_between_two_rounds_goes_on_where_it_was(three: Village) -> None:
    manifest = three.found()
    three.run(manifest, until=1)
    three.open(BIRCH).look_for_manifest()
    stands = three.run(manifest, until=2)

    assert stands.applied == 2
    member = three.sites[BIRCH].member
    assert member is not None
    assert member.course.applied == 1


def test_a_site_that_lost_its_model_gets_the_sums_again(tmp_path: Path, stack: ExitStack) -> None:
    made = village(tmp_path, stack, rounds_=4)
    made.prepare()
    manifest = made.found()
    made.run(manifest, until=3)
    for path in (tmp_path / "site-birch").glob("course-*.bin"):
        path.unlink()
    made.open(BIRCH).look_for_manifest()

    assert made.run(manifest, until=4).applied == 4
    assert [purpose for purpose, org, _ in made.asked if org == BIRCH].count(SUMS) == 2


def test_sums_that_are_forged_or_of_another_round_change_nothing(
    three: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = three.found()
    three.run(manifest, until=2)
    member = three.sites[BIRCH].member
    assert member is not None
    before = member.course.digest
    (tmp := three.sites[BIRCH].folder.path / f"course-{manifest.start.hex()[:16]}.bin").unlink()
    first, second = map(pack, three.outcomes)
    three.open(BIRCH).look_for_manifest()
    forged = first[:-100] + bytes([first[-100] ^ 1]) + first[-99:]
    learned: list[int] = []
    keep = three.sites[BIRCH]._participant
    monkeypatch.setattr(keep, "learn", lambda outcome: learned.append(outcome.plan.round))

    for body in (second, forged, b"", b"x"):
        assert three.ask(BIRCH, SUMS, body).status == "refused"
    assert three.ask(BIRCH, SUMS, first).status == "ok"
    assert three.ask(BIRCH, SUMS, first).status == "ok"
    assert learned == [1], "settlement needs what was checked, once"
    member = three.sites[BIRCH].member
    assert member is not None
    assert member.course.digest == before
    assert tmp.exists()


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"rounds": 1}, "site.rounds"),
        ({"hours": ("13:00-11:00",)}, "site.hours"),
    ],
)
def test_a_round_beyond_the_limits_does_not_begin(three: Village, limits: dict[str, object], code: str) -> None:
    manifest = three.found()
    three.run(manifest, until=1)
    three.open(ASH, **limits).look_for_manifest()

    with pytest.raises(QuorumLostError):
        three.run(manifest, until=2)
    assert set(codes(three, ASH)) == {code}


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"minimum_cohort": 4}, "site.cohort"), ({"required": ("oak",)}, "site.required")],
)
def test_a_roster_beyond_the_limits_is_not_signed(three: Village, limits: dict[str, object], code: str) -> None:
    three.open(ASH, **limits)
    three.show(proposed=SignedManifest(manifest=three.manifest()))
    three.sites[ASH].look_for_manifest()

    assert three.book.signed == {}
    assert [event["code"] for event in three.events[ASH]] == [code]
    assert three.ask(ASH, "invite", b"").code == "client.no-manifest"


@pytest.mark.parametrize("lost", ["invite", "relay"])
def test_a_list_of_who_is_there_beyond_the_limits_is_not_signed(tmp_path: Path, stack: ExitStack, lost: str) -> None:
    """Of four organisations three may open a sum; a site that wants four refuses, before and after it has trained."""
    names = ("ash", "birch", "cedar", "dogwood")
    made = village(tmp_path, stack, files={name: tiny.csv(20, seed) for seed, name in enumerate(names)})
    made.prepare()
    made.open(ASH, minimum_cohort=4)
    manifest = made.found()
    made.run(manifest, until=1)
    made.change = lambda purpose, org, request: None if (purpose, org) == (lost, "dogwood") else request

    with pytest.raises(QuorumLostError):
        made.run(manifest, until=2)
    assert set(codes(made, ASH)) == {"site.cohort"}
    assert {org: codes(made, org) for org in (BIRCH, CEDAR)} == {BIRCH: [], CEDAR: []}


def test_a_task_that_is_not_allowed_never_runs(three: Village) -> None:
    with pytest.raises(TaskNotAllowedError):
        three.open(ASH, tasks=("tabular-regression",))


def test_another_plan_or_federation_is_refused(three: Village) -> None:
    other = bytes(32)
    plan = course.plan_digest(three.config.document())

    assert three.ask(ASH, STATISTICS, pack(AskStatistics(plan=other))).code == "client.other-plan"
    assert three.ask(ASH, SHAPE, pack(AskShape(plan=other, shared=b""))).code == "client.other-plan"
    assert three.ask(ASH, SHAPE, pack(AskShape(plan=plan, shared=b"rubbish"))).status == "refused"
    stranger = Request(purpose=STATISTICS, federation="other", stage_s=1.0, body=pack(AskStatistics(plan=plan)))
    assert three.sites[ASH].answer(stranger).code == "client.other-plan"


def test_the_server_cannot_scale_rows_in_another_way_once_there_is_a_manifest(three: Village) -> None:
    manifest = three.found()
    plan = course.plan_digest(three.config.document())
    other = plainvalues.write(
        three.sites[BIRCH].workplace.task.statistics(three.sites[BIRCH].workplace.training_data())
    )
    kept = (three.sites[ASH].folder.path / "shared.bin").read_bytes()

    for shared in (other, b"rubbish"):
        assert three.ask(ASH, SHAPE, pack(AskShape(plan=plan, shared=shared))).code == "client.other-plan"
    assert (three.sites[ASH].folder.path / "shared.bin").read_bytes() == kept
    assert three.ask(ASH, SHAPE, pack(AskShape(plan=plan, shared=three.shared))).status == "ok"
    assert three.run(manifest, until=1).applied == 1


@pytest.mark.parametrize(
    "statistics", [{"statistics": "local"}, {"statistics": "given", "given": {"a": [0.1, 1], "b": [0, 2], "c": [0, 1]}}]
)
def test_no_mean_leaves_where_nobody_needs_it_and_the_model_is_the_same(
    tmp_path: Path, stack: ExitStack, statistics: dict[str, Any]
) -> None:
    path = tiny.write(tmp_path, task=dict.fromkeys(statistics))
    table = "\n".join(f"{key} = {_toml(value)}" for key, value in statistics.items())
    path.write_text(path.read_text().replace("[task]\n", f"[task]\n{table}\n"))
    made = village(tmp_path, stack, config=load_federation(path))
    made.prepare()
    told: TableStatistics = plainvalues.read(unpack(Statistics, made.asked[0][2].body).content)

    assert not told.numeric.mean.any()
    assert not told.numeric.squares.any()
    stands = made.run(made.found(), until=2)
    simulated = simulate(made.config, workers=1, engine="sequential", protocol="full", progress=lambda _: None)
    assert simulated.report["model_sha256"] == digest(stands.state.model)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {item}" for key, item in value.items()) + "}"
    return f'"{value}"'


def test_what_cannot_be_read_is_refused_with_a_code(three: Village) -> None:
    site = three.sites[ASH]

    assert site.answer(EnvelopeError("text that stays here")).code == "flower.bad-envelope"
    assert site.answer(VersionError("text that stays here")).code == "flower.version"
    for purpose in ("invite", "adverts", "relay", "survivors", "certificate", SUMS, STATISTICS, SHAPE):
        assert three.ask(ASH, purpose, b"rubbish").status == "refused"


def test_no_text_of_an_error_leaves(three: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("row 17 of rows.csv")

    monkeypatch.setattr(type(three.sites[ASH].workplace), "statistics", fail)
    reply = three.ask(ASH, STATISTICS, pack(AskStatistics(plan=course.plan_digest(three.config.document()))))

    assert (reply.status, reply.code, reply.body) == ("refused", "client.task-failed", b"")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "client.memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes"), "client.memory"),
        (ZeroDivisionError(), "client.task-failed"),
    ],
)
def test_one_organisation_whose_training_fails_is_a_member_that_does_not_answer(
    three: Village, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    manifest = three.found()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fedgap.flower.workplace.train", fail)
    with pytest.raises(QuorumLostError):
        three.run(manifest, until=1)

    assert set(codes(three, ASH)) == {code}


def test_work_is_metered_by_phase(three: Village) -> None:
    three.run(three.found(), until=1)
    costs = three.sites[ASH].meter.take()

    assert {"load", "train", "crypto"} <= costs.keys()
    assert all(cost.wall_seconds > 0 for cost in costs.values())


def test_costs_are_claimed_once_a_period_is_over_and_not_before(three: Village) -> None:
    """What is said is said for good: a server that asked early could have a year's work written down as a day's."""
    manifest = three.found()
    early = three.ask(ASH, CLAIM, pack(AskClaim(period=1, first=1, last=2)))
    for period, first, last in ((1, 1, 1), (2, 1, 2), (2, 3, 4), (1, 2, 2)):
        odd = three.ask(ASH, CLAIM, pack(AskClaim(period=period, first=first, last=last)))
        assert odd.code == "secagg.out-of-order"
    three.run(manifest, until=2)
    told = [three.ask(ASH, CLAIM, pack(AskClaim(period=1, first=1, last=2))) for _ in range(2)]

    assert early.code == BEHIND
    assert [reply.status for reply in told] == ["ok", "ok"]
    assert told[0] == told[1]
