"""A block of federations gives each the integers that it would get alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedgap.ids import FederationId, OrgId
from fedgap.secagg.block import fits, plain_sums
from fedgap.secagg.encoding import STRIPE, Contribution, Encoding, Metric
from fedgap.secagg.errors import BadUpdateError
from fedgap.secagg.local import local_federation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.quorum import Quorum

LOSS = Metric(name="loss", bound=100.0)
NONE = np.zeros(0, np.float32)


def manifest(parameters: int, counts: list[int], metrics: tuple[Metric, ...] = (LOSS,), seed: int = 1) -> Manifest:
    """A federation of organisations with these weights."""
    encoding = Encoding(parameters=parameters, clip_low=1e-6, clip_start=1.0, clip_high=1e6, metrics=metrics, seed=seed)
    weights = {OrgId(f"org-{number}"): count for number, count in enumerate(counts)}
    return local_federation(FederationId("x"), weights, encoding, seed=seed, quorum=Quorum.of(len(counts))).manifest


def alone(
    made: Manifest, update: NDArray[np.float32], losses: NDArray[np.float64], clip: float, round_: int
) -> list[int]:
    """One federation's sum, one organisation after the other."""
    contributions = [
        (member.id, Contribution(update=line, statistics=NONE, metrics={"loss": float(loss)}))
        for member, line, loss in zip(made.members, update, losses, strict=True)
    ]
    return list(plain_sum(made, contributions, clip=clip, round_=round_)[0].tolist())


@settings(max_examples=80, deadline=None)
@given(
    parameters=st.integers(1, 300),
    counts=st.lists(st.integers(1, 30), min_size=3, max_size=6),
    clips=st.lists(st.sampled_from([1e-6, 0.01, 1.0, 1e6]), min_size=1, max_size=3),
    size=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e8, 1e35]),
    round_=st.integers(1, 10**6),
    seed=st.integers(0, 99),
)
def test_a_block_gives_each_federation_its_own_integers(
    parameters: int, counts: list[int], clips: list[float], size: float, round_: int, seed: int
) -> None:
    """Whatever the sizes, clipped or not, with factors inside and outside float32's range."""
    made, rng = manifest(parameters, counts, seed=seed), np.random.default_rng(seed)
    updates = (rng.normal(size=(len(clips), len(counts), parameters)) * size).astype(np.float32)
    losses = rng.normal(size=updates.shape[:2]) * 80
    orgs = [member.id for member in made.members]

    totals = plain_sums(made, orgs, updates, {"loss": losses}, clips=clips, round_=round_)

    assert fits(made.encoding)
    for total, update, loss, clip in zip(totals, updates, losses, clips, strict=True):
        assert alone(made, update, loss, clip, round_) == total.tolist()


def test_the_largest_model_of_a_block_too() -> None:
    """Norms are summed in one order, however many numbers there are."""
    made = manifest(STRIPE, [1, 2, 3])
    update = np.random.default_rng(0).normal(size=(1, 3, STRIPE)).astype(np.float32)
    loss = np.ones((1, 3))
    total = plain_sums(made, [m.id for m in made.members], update, {"loss": loss}, clips=[200.0], round_=1)

    assert alone(made, update[0], loss[0], 200.0, 1) == total[0].tolist()


def test_what_does_not_fit_a_block_says_so() -> None:
    assert not fits(manifest(STRIPE + 1, [1, 1, 1]).encoding)
    statistics = Encoding(parameters=3, statistics=2, clip_low=1e-6, clip_start=1.0, clip_high=1e6, seed=1)
    assert not fits(statistics)


@pytest.mark.parametrize(
    ("update", "loss"),
    [
        (np.full((1, 3, 4), np.nan, np.float32), 1.0),
        (np.full((1, 3, 4), np.inf, np.float32), 1.0),
        (np.zeros((1, 3, 4), np.float32), np.nan),
        (np.zeros((1, 3, 5), np.float32), 1.0),
        (np.zeros((1, 2, 4), np.float32), 1.0),
        (np.zeros((1, 3, 4), np.float64), 1.0),
    ],
)
def test_what_cannot_be_encoded_is_refused(update: NDArray[np.float32], loss: float) -> None:
    made = manifest(4, [1, 1, 1])
    orgs = [member.id for member in made.members]

    with pytest.raises(BadUpdateError):
        plain_sums(made, orgs, update, {"loss": np.full((1, 3), loss)}, clips=[1.0], round_=1)
    with pytest.raises(BadUpdateError):
        plain_sums(made, orgs, np.zeros((1, 3, 4), np.float32), {}, clips=[1.0], round_=1)
