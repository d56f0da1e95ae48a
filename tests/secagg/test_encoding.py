"""Encoding: within one step, never above the norm bound, exact sums, nothing sent that is not finite."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.config import SecAgg
from fedgap.ids import OrgId
from fedgap.secagg.encoding import CANARIES, Contribution, Encoding, Floats, Metric, decode, encode, next_clip
from fedgap.secagg.errors import BadManifestError, BadUpdateError, UnusableSumError
from fedgap.secagg.masking import Ring

ORG = OrgId("alpha")
NONE = np.zeros(0, np.float32)


def _encoding(parameters: int, statistics: int = 0, metrics: tuple[Metric, ...] = (), seed: int = 1) -> Encoding:
    return Encoding(
        parameters=parameters,
        statistics=statistics,
        clip_low=1e-6,
        clip_start=1.0,
        clip_high=1e6,
        metrics=metrics,
        seed=seed,
    )


def _contribution(update: object, statistics: Floats = NONE, **metrics: float) -> Contribution:
    return Contribution(update=np.asarray(update, np.float32), statistics=statistics, metrics=metrics)


def _encode(encoding: Encoding, contribution: Contribution, *, clip: float = 1.0, share: float = 1.0) -> Ring:
    return encode(encoding, contribution, clip=clip, share=share, round_=1, org=ORG, members=5)


updates = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)


@settings(deadline=None)
@given(updates, st.floats(1e-3, 1e3), st.floats(0.01, 1.0))
def test_decoding_gives_the_clipped_update_within_one_step(update: list[float], clip: float, share: float) -> None:
    encoding = _encoding(len(update))
    exact = np.asarray(update, np.float32).astype(np.float64)
    exact *= min(1.0, clip / max(float(np.linalg.norm(exact)), 1e-300))
    mean = decode(
        encoding, _encode(encoding, _contribution(update), clip=clip, share=share), clip=clip, shares=[share], members=5
    )
    step = clip / encoding.amplitude / share
    assert float(np.abs(mean.update - exact).max()) <= step * 1.001


@settings(deadline=None)
@given(updates, st.floats(1e-3, 1e3), st.integers(0, 2**40))
def test_the_integer_norm_never_exceeds_its_bound(update: list[float], clip: float, seed: int) -> None:
    encoding = _encoding(len(update), seed=seed)
    whole = _encode(encoding, _contribution(update), clip=clip)[: len(update)].view(np.int32).astype(np.int64)
    assert int(whole @ whole) <= 4**encoding.upload_bits


def test_rounding_is_right_on_average() -> None:
    encoding = _encoding(200_000)
    wanted = 0.3  # of a step
    update = np.full(200_000, wanted / encoding.amplitude, np.float32)
    whole = _encode(encoding, _contribution(update), clip=1.0)[:200_000].view(np.int32)
    assert set(np.unique(whole)) == {0, 1}
    assert abs(float(whole.mean()) - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / 200_000)


def test_rounding_is_public_and_different_for_each_organisation_and_round() -> None:
    encoding = _encoding(1000)
    given_ = _contribution(np.full(1000, 1e-5))
    draws = {
        encode(encoding, given_, clip=1.0, share=1.0, round_=r, org=OrgId(o), members=5).tobytes()
        for r in (1, 2)
        for o in ("alpha", "beta", "alpha")
    }
    assert len(draws) == 4


def test_a_sum_of_all_at_the_largest_does_not_wrap() -> None:
    """N organisations, all clipped, all with the largest weight and metric: the mean is exact."""
    n, metric = 100, Metric(name="loss", bound=10.0)
    encoding = _encoding(4, metrics=(metric,))
    vector = encode(encoding, _contribution([9, 0, 0, 0], loss=99.0), clip=1.0, share=1.0, round_=1, org=ORG, members=n)
    total = np.zeros_like(vector)
    for _ in range(n):
        total += vector
    mean = decode(encoding, total, clip=1.0, shares=[1.0] * n, members=n)
    assert mean.update[0] == pytest.approx(1.0, abs=1e-4)
    assert mean.metrics["loss"] == pytest.approx(10.0, abs=1e-6)
    assert (mean.clipped, mean.survivors) == (n, n)


def test_running_statistics_have_their_own_scale() -> None:
    encoding = _encoding(2, statistics=2)
    statistics = np.asarray([0.25, -0.5], np.float32)
    vector = _encode(encoding, _contribution([1e-3, 0], statistics), clip=1e-3)
    mean = decode(encoding, vector, clip=1e-3, shares=[1.0], members=5)
    assert mean.statistics == pytest.approx([0.25, -0.5], abs=1.01 / encoding.amplitude)
    assert mean.update == pytest.approx([1e-3, 0], abs=1.01e-3 / encoding.amplitude)


def test_metrics_are_weighted_means() -> None:
    metric = Metric(name="correct", bound=1.0)
    encoding = _encoding(1, metrics=(metric,))
    heavy = _encode(encoding, _contribution([0.0], correct=1.0), share=1.0)
    light = _encode(encoding, _contribution([0.0], correct=0.0), share=0.25)
    mean = decode(encoding, heavy + light, clip=1.0, shares=[1.0, 0.25], members=5)
    assert mean.metrics["correct"] == pytest.approx(0.8, abs=1e-8)


def test_a_weight_of_zero_adds_nothing_but_its_canaries() -> None:
    encoding = _encoding(3)
    vector = _encode(encoding, _contribution([5, 5, 5]), share=0.0)
    assert vector.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_never_sent(bad: float) -> None:
    metric = Metric(name="loss", bound=1.0)
    encoding = _encoding(2, statistics=1, metrics=(metric,))
    fine = np.zeros(1, np.float32)
    for contribution in (
        _contribution([0, bad], fine, loss=0.0),
        _contribution([0, 0], np.asarray([bad], np.float32), loss=0.0),
        _contribution([0, 0], fine, loss=bad),
        _contribution([0, 0], fine),
    ):
        with pytest.raises(BadUpdateError):
            _encode(encoding, contribution)


@pytest.mark.parametrize("update", [np.zeros(3, np.float32), np.zeros((2, 1), np.float32)])
def test_another_shape_is_never_sent(update: Floats) -> None:
    with pytest.raises(BadUpdateError, match="shape"):
        _encode(_encoding(2), _contribution(update))


def test_another_type_is_never_sent() -> None:
    wrong = Contribution(update=np.zeros(2), statistics=NONE, metrics={})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(BadUpdateError):
        _encode(_encoding(2), wrong)


@pytest.mark.parametrize("size", [1e30, 3e38, 1e-40, 0.0])
def test_huge_tiny_and_zero_updates_are_encoded(size: float) -> None:
    """Denormals and numbers near the end of float32 are clipped or rounded like any other."""
    encoding = _encoding(3)
    vector = _encode(encoding, _contribution([size, 0, 0]), clip=1.0)
    mean = decode(encoding, vector, clip=1.0, shares=[1.0], members=5)
    assert mean.update[0] == pytest.approx(min(size, 1.0), abs=1.01 / encoding.amplitude)
    assert mean.clipped == int(size > 1)


@pytest.mark.parametrize("position", range(CANARIES))
def test_a_canary_that_does_not_count_the_survivors_spoils_the_sum(position: int) -> None:
    encoding = _encoding(3)
    vector = _encode(encoding, _contribution([1, 0, 0]))
    vector[3 + position] += 1
    with pytest.raises(UnusableSumError, match="canaries"):
        decode(encoding, vector, clip=1.0, shares=[1.0], members=5)


def test_a_sum_without_weight_or_of_another_length_is_refused() -> None:
    encoding = _encoding(3)
    vector = _encode(encoding, _contribution([1, 0, 0]), share=0.0)
    with pytest.raises(UnusableSumError, match="no weight"):
        decode(encoding, vector, clip=1.0, shares=[0.0], members=5)
    with pytest.raises(UnusableSumError):
        decode(encoding, vector[:-1], clip=1.0, shares=[1.0], members=5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameters": 0}, "no parameters"),
        ({"upload_bits": 15}, "above 30"),
        ({"parameters": 2**30}, "too small"),
        ({"clip_start": 2e6}, "order"),
        ({"metrics": (Metric(name="a", bound=1.0), Metric(name="a", bound=2.0))}, "one name"),
    ],
)
def test_an_encoding_that_could_fail_is_refused(change: dict[str, int], reason: str) -> None:
    settings_: dict[str, int | float] = {
        "parameters": 5,
        "clip_low": 0.1,
        "clip_start": 1.0,
        "clip_high": 2.0,
        "seed": 1,
    }
    with pytest.raises(BadManifestError, match=reason):
        Encoding(**{**settings_, **change})  # type: ignore[arg-type]  # mixed on purpose


@pytest.mark.parametrize(("parameters", "bits"), [(1, (12, 18)), (100, (12, 18)), (101, (14, 16)), (10**6, (14, 16))])
def test_a_small_model_gives_its_directions_more_bits(parameters: int, bits: tuple[int, int]) -> None:
    secagg = SecAgg(clip_low=0.5, clip_start=1.0, clip_high=2.0)
    loss = Metric(name="loss", bound=10.0)
    encoding = Encoding.of(secagg, parameters=parameters, metrics=(loss,), seed=3)
    assert (encoding.upload_bits, encoding.direction_bits) == bits
    assert (encoding.clip_low, encoding.clip_start, encoding.clip_high) == (0.5, 1.0, 2.0)
    assert (encoding.metrics, encoding.seed) == ((loss,), 3)


def test_the_clip_norm_moves_towards_the_median_and_stays_in_its_bounds() -> None:
    encoding = _encoding(1)
    assert next_clip(encoding, 1.0, clipped=1, survivors=10) == 1.0
    assert next_clip(encoding, 1.0, clipped=10, survivors=10) == pytest.approx(1.36)
    assert next_clip(encoding, 1.0, clipped=0, survivors=10) == pytest.approx(0.96)
    assert next_clip(encoding, 1e6, clipped=10, survivors=10) == 1e6
    assert next_clip(encoding, 1e-6, clipped=0, survivors=10) == 1e-6


def test_encodings_that_differ_have_different_digests() -> None:
    assert _encoding(3).digest != _encoding(4).digest
    assert _encoding(3).digest == _encoding(3).digest


@pytest.mark.parametrize(
    ("parameters", "bits"),
    [(100, (12, 18)), (101, (14, 16)), (67_000_000, (14, 16)), (10**8, (16, 14)), (10**9, (16, 14))],
)
def test_a_model_of_any_size_gets_bits_that_hold_it(parameters: int, bits: tuple[int, int]) -> None:
    """With 14 bits the rounding of a hundred million numbers would leave too little of the update: it was refused."""
    encoding = Encoding.of(SecAgg(), parameters=parameters, metrics=(), seed=1)

    assert (encoding.upload_bits, encoding.direction_bits) == bits
    assert 2 * encoding.amplitude >= 2**encoding.upload_bits
