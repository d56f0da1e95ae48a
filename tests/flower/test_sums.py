"""The sums on disk: from them the model follows, and damage is noticed."""

from pathlib import Path

import numpy as np
import pytest

from fedgap import rounds
from fedgap.config import FederationConfig
from fedgap.crypto import digest
from fedgap.flower.course import Course, apply, begin, plan_digest, plan_next
from fedgap.flower.sums import Sums
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.local import local_federation
from fedgap.secagg.messages import Outcome
from fedgap.secagg.wire import pack
from fedgap.storage import DamagedFileError
from tests.flower.serving import home_in

ENCODING = Encoding(parameters=6, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
LOCAL = local_federation(FederationId("test"), {OrgId(f"org-{k}"): 1 for k in range(3)}, ENCODING, seed=1)
START = np.linspace(-1, 1, 6, dtype=np.float32)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> FederationConfig:
    """A configuration, of which only the server's step counts."""
    return home_in(tmp_path_factory.mktemp("config")).config()


def run(count: int, config: FederationConfig) -> tuple[list[Outcome], Course]:
    """Run some rounds."""
    update = np.full(6, 0.25, np.float32)
    contribution = Contribution(update=update, statistics=np.zeros(0, np.float32), metrics={})
    members = LOCAL.cohort({m.id: (lambda _: contribution) for m in LOCAL.manifest.members}, seed=2)
    course, outcomes, journal = begin(START, ENCODING), list[Outcome](), rounds.MemoryJournal()
    for _ in range(count):
        plan = plan_next(course, LOCAL.manifest, attempt=1)
        previous = outcomes[-1] if outcomes else None
        opened = rounds.run_round(LOCAL.server, members, journal, plan, previous=previous, attempts=1)
        outcomes.append(opened.outcome)
        course, _ = apply(course, opened.outcome, LOCAL.manifest, config)
    return outcomes, course


def test_the_model_follows_from_the_sums_alone(tmp_path: Path, config: FederationConfig) -> None:
    outcomes, course = run(3, config)
    sums = Sums(tmp_path / "sums")
    for outcome in outcomes:
        sums.add(pack(outcome))
    again = Sums(tmp_path / "sums").replay(begin(START, ENCODING), [LOCAL.manifest], config)

    assert again.digest == course.digest
    assert (again.applied, sums.count) == (3, 3)
    assert sums.outcome(2) == outcomes[1]


def test_a_missing_swapped_or_truncated_sum_is_noticed(tmp_path: Path, config: FederationConfig) -> None:
    outcomes, _ = run(3, config)
    sums = Sums(tmp_path / "sums")
    for outcome in (outcomes[0], outcomes[2], outcomes[1]):
        sums.add(pack(outcome))
    with pytest.raises(DamagedFileError, match="000002"):
        sums.replay(begin(START, ENCODING), [LOCAL.manifest], config)
    with pytest.raises(DamagedFileError):
        sums.replay(begin(START, ENCODING), [], config)
    with pytest.raises(DamagedFileError):
        sums.packed(9)
    (tmp_path / "sums" / "000002.bin").unlink()
    with pytest.raises(DamagedFileError):
        Sums(tmp_path / "sums")


def test_the_plans_digest_depends_on_every_setting_but_not_on_who_takes_part(config: FederationConfig) -> None:
    document = config.document()
    plan = plan_digest(document)
    other = dict(document, training=document["training"] | {"lr": 0.7})
    elsewhere = dict(document, training=document["training"] | {"device": "cuda"})

    assert plan_digest(dict(document, organisation=[])) == plan
    assert plan_digest(elsewhere) == plan
    assert plan_digest(other) != plan
    assert plan != digest("plan", "")
