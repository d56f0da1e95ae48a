"""What the server can see: it depends on the sum only, and an upload of zeros looks like one of maxima."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap import rounds
from fedgap.crypto import digest
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.client import hide
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.keyring import self_mask
from fedgap.secagg.local import LocalCohort, LocalFederation, local_federation
from fedgap.secagg.masking import Ring, masked
from fedgap.secagg.messages import Upload
from fedgap.secagg.states import EdgeSecret, Ready
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import unpack

words = st.integers(0, 2**32 - 1)


def _ring(numbers: list[int]) -> Ring:
    return np.asarray(numbers, dtype=np.uint64).astype(np.uint32)


@settings(deadline=None)
@given(st.integers(3, 6), st.data())
def test_the_servers_view_depends_on_the_sum_alone(n: int, data: st.DataObject) -> None:
    """For any inputs with one sum there are masks, as likely as the real ones, that give the same uploads.

    The coupling of the design notes (opening, section 1.1): move the difference of the inputs along the path
    0 - 1 - ... - (n - 1) of mask edges; uniform masks stay uniform, and every upload is unchanged.
    """
    vectors = st.lists(words, min_size=4, max_size=4).map(_ring)
    masks = {(i, j): data.draw(vectors) for i in range(n) for j in range(i + 1, n)}
    inputs = [data.draw(vectors) for _ in range(n)]
    others = [data.draw(vectors) for _ in range(n - 1)]
    others.append(sum(inputs, np.zeros(4, np.uint32)) - sum(others, np.zeros(4, np.uint32)))
    moved, carry = dict(masks), np.zeros(4, np.uint32)
    for i in range(n - 1):
        carry = carry + others[i] - inputs[i]
        moved[i, i + 1] = masks[i, i + 1] - carry
    assert [u.tolist() for u in _uploads(inputs, masks)] == [u.tolist() for u in _uploads(others, moved)]


def _uploads(inputs: list[Ring], masks: dict[tuple[int, int], Ring]) -> list[Ring]:
    """y_i = x_i + masks towards higher seats - masks towards lower ones."""
    uploads = [vector.copy() for vector in inputs]
    for (low, high), mask in masks.items():
        uploads[low] += mask
        uploads[high] -= mask
    return uploads


@given(st.integers(2, 6), st.integers(0, 2**32))
def test_real_masks_have_the_signs_of_the_coupling(n: int, seed: int) -> None:
    """`hide` adds towards higher seats and subtracts towards lower ones, so all but the self masks cancel."""
    secrets = {(i, j): digest("edge", seed, i, j) for i in range(n) for j in range(i + 1, n)}
    total = np.zeros(5, np.uint32)
    for seat in range(n):
        edges = tuple(
            EdgeSecret(seat=other, secret=secrets[min(seat, other), max(seat, other)])
            for other in range(n)
            if other != seat
        )
        ready = Ready(sid=bytes(32), t2=bytes(32), b=bytes(32), held=(), edges=edges)
        bare = hide(ready, np.full(5, seat, np.uint32), seat=seat, threads=1)
        total += masked(bare, plus=[], minus=[_self_mask(seat)])
    assert total.tolist() == [n * (n - 1) // 2] * 5


def _self_mask(seat: int) -> bytes:
    return self_mask(bytes(32), bytes(32), seat)


SIZE = 20_000


def _upload_of(value: float, seed: int) -> Ring:
    """What member 0 of four uploads when its update is constant."""
    encoding = Encoding(parameters=SIZE, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
    orgs = [OrgId(f"org-{k}") for k in range(4)]
    federation = local_federation(FederationId("test"), dict.fromkeys(orgs, 1), encoding, seed=seed)
    update = Contribution(update=np.full(SIZE, value, np.float32), statistics=np.zeros(0, np.float32), metrics={})
    journal = rounds.MemoryJournal(keep_uploads=True)
    _run(federation, federation.cohort({org: lambda _: update for org in orgs}, seed=seed), journal)
    return np.frombuffer(unpack(Upload, journal.uploads[(1, 1), 0]).body, "<u4")


def _run(federation: LocalFederation, cohort: LocalCohort, journal: rounds.MemoryJournal) -> None:
    manifest = federation.manifest
    plan = Plan(
        manifest=manifest.digest, round=1, attempt=1, state=digest("state"), clip=1.0, training=manifest.training
    )
    rounds.run_round(federation.server, cohort, journal, plan, previous=None, attempts=1)


def _chi_square(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """How many standard deviations the counts are from uniform."""
    expected = counts.sum() / len(counts)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - (len(counts) - 1)) / math.sqrt(2 * (len(counts) - 1))


@pytest.mark.parametrize("value", [0.0, 1e6])
def test_an_upload_of_zeros_or_of_maxima_looks_uniform(value: float) -> None:
    """Each byte of the words, and each bit, within five standard deviations; the seeds are fixed."""
    upload = _upload_of(value, seed=1)
    for position in range(4):
        counts = np.bincount((upload >> np.uint32(8 * position)) & np.uint32(255), minlength=256)
        assert abs(_chi_square(counts)) < 5
    for bit in range(32):
        ones = int(((upload >> np.uint32(bit)) & np.uint32(1)).sum())
        assert abs(ones - len(upload) / 2) < 5 * math.sqrt(len(upload)) / 2


def test_zeros_and_maxima_cannot_be_told_apart_and_differ_every_time() -> None:
    zeros, maxima, again = _upload_of(0.0, seed=2), _upload_of(1e6, seed=3), _upload_of(0.0, seed=4)
    tables = [np.bincount(upload >> np.uint32(24), minlength=256) for upload in (zeros, maxima)]
    both = tables[0] + tables[1]
    statistic = float((((tables[0] - both / 2) ** 2 + (tables[1] - both / 2) ** 2) / (both / 2)).sum())
    assert abs(statistic - 255) / math.sqrt(2 * 255) < 5
    assert int((zeros == again).sum()) < 5
