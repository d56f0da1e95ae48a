"""The sum without masks: its members' parts add up to the mean, and each is what its member's vector says."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding, Floats
from fedgap.secagg.local import local_federation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.plain import plain_mean, plain_parts

WEIGHTS = {OrgId(f"org-{k}"): 10 + 3 * k for k in range(4)}
D = 6


def _manifest() -> Manifest:
    encoding = Encoding(parameters=D, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=5)
    return local_federation(FederationId("plain"), WEIGHTS, encoding, seed=1).manifest


MANIFEST = _manifest()
updates = st.lists(st.floats(-1, 1, width=32), min_size=D, max_size=D).map(lambda u: np.asarray(u, np.float32))


def _given(drawn: dict[OrgId, Floats]) -> dict[OrgId, Contribution]:
    none: np.ndarray[Any, np.dtype[np.float32]] = np.zeros(0, np.float32)
    return {org: Contribution(update=update, statistics=none, metrics={}) for org, update in drawn.items()}


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), updates, min_size=1))
def test_the_parts_of_the_members_add_up_to_the_mean(drawn: dict[OrgId, Floats]) -> None:
    given_ = _given(drawn)
    parts = dict(plain_parts(MANIFEST, given_, clip=1.0, round_=3))
    assert list(parts) == list(given_)
    mean = plain_mean(MANIFEST, given_, clip=1.0, round_=3)
    np.testing.assert_allclose(sum(parts.values()), mean.update, rtol=1e-12, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(updates)
def test_a_part_is_the_members_update_times_its_share_of_the_weight(update: Floats) -> None:
    given_ = _given(dict.fromkeys(WEIGHTS, update))
    step = 1.0 / MANIFEST.encoding.amplitude
    norm = max(1.0, float(np.linalg.norm(update.astype(np.float64))))
    for org, part in plain_parts(MANIFEST, given_, clip=1.0, round_=1):
        expected = update.astype(np.float64) / norm * WEIGHTS[org] / sum(WEIGHTS.values())
        assert float(np.abs(part - expected).max()) <= step
