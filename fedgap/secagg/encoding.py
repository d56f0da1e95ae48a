"""An update as whole numbers that can be added under a mask, and their sum as a mean update.

    C  clip norm of the round            A  bits of an encoded norm           S  amplitude, 2**A - ceil(sqrt(D)) - 1
    p  weight, as a share of the largest D  words of the vector               w  one step: C / S

An update is clipped to norm C, multiplied by p, divided by the step and rounded to a whole number, up or down at random
so that the mean is right. The draw is public (the counter hash of seed, round, organisation, coordinate): it hides
nothing, and the masked and the plain protocol add the same numbers. Rounding changes a coordinate by at most one, so
the norm stays within 2**A for certain; sums are in the ring modulo 2**32 and cannot wrap.

The vector: parameters | running statistics | 4 canaries | clip indicator | metrics. The canaries are 1 each and must
add up to the number of survivors. Nothing about an organisation travels beside the vector.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.config import SecAgg
from fedgap.crypto import digest
from fedgap.ids import OrgId
from fedgap.secagg.errors import BadManifestError, BadUpdateError, UnusableSumError
from fedgap.secagg.masking import Ring, ring
from fedgap.secagg.wire import Count, Positive, pack

Floats: TypeAlias = NDArray[np.float32]
CANARIES = 4
CLIPPED_SHARE = 0.1
"""Share of the survivors whose update C aims to clip."""
RING_BITS = 32
MAX_BITS = 30
SMALL_MODEL = 100
"""Parameters; the openings of models up to this size have the stricter bound."""

LARGE_MODEL = 67_000_000
"""Parameters; above, the rounding alone would take half of 14 bits: 16 are good for ten times as many."""

_WHOLE = slice(None)
STRIPE = 2**17
"""Numbers that are worked on at a time."""

LANES = 4
"""Coordinates that take their draw from one 64-bit word, 16 bits each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number every organisation reports inside the vector.

    Attributes:
        name: what it is called in the report.
        bound: largest absolute value; what lies beyond is cut. The step is n * bound / 2**31.
    """

    name: str
    bound: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How updates become whole numbers: the part of the manifest that this module needs.

    Attributes:
        parameters: trained numbers of the model.
        statistics: running statistics (batch normalisation), with a scale of their own; integer buffers are not sent.
        statistics_bound: their changes are clipped to this norm.
        upload_bits, direction_bits: A and Q of PROTOCOL section 3.
        clip_low, clip_start, clip_high: what C may be, and is in the first round.
        metrics: what else is summed.
        seed: the public seed of the rounding.
    """

    KIND: ClassVar[str] = "encoding/1"

    parameters: Count
    statistics: Count = 0
    statistics_bound: Positive = 1.0
    upload_bits: Count = 14
    direction_bits: Count = 16
    clip_low: Positive
    clip_start: Positive
    clip_high: Positive
    metrics: tuple[Metric, ...] = ()
    seed: int

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        faults = {
            "there are no parameters": self.parameters == 0,
            "A + Q is above 30": self.upload_bits + self.direction_bits > MAX_BITS,
            "A is too small for so many parameters": 2 * self.amplitude < 1 << self.upload_bits,
            "the clip bounds are not in order": not self.clip_low <= self.clip_start <= self.clip_high,
            "two metrics have one name": len(names) != len(set(names)),
        }
        for fault, is_so in faults.items():
            if is_so:
                raise BadManifestError(f"The encoding cannot be used: {fault}.")

    @classmethod
    def of(cls, secagg: SecAgg, *, parameters: int, metrics: tuple[Metric, ...], seed: int) -> Self:
        """The encoding of a configuration: simulations and deployments have the same.

        Of 30 bits a small model gives its directions more, so that openings are exact to 0.1 %; the rounding of uploads
        grows with the root of their length, so a larger model needs its bits there (`fedgap bench contribution`), and
        more of them from `LARGE_MODEL` on.
        """
        upload_bits = 12 if parameters <= SMALL_MODEL else 14 if parameters <= LARGE_MODEL else 16
        return cls(
            parameters=parameters,
            upload_bits=upload_bits,
            direction_bits=MAX_BITS - upload_bits,
            clip_low=secagg.clip_low,
            clip_start=secagg.clip_start,
            clip_high=secagg.clip_high,
            metrics=metrics,
            seed=seed,
        )

    @property
    def words(self) -> int:
        """D: words of the whole vector."""
        return self.parameters + self.statistics + CANARIES + 1 + len(self.metrics)

    @property
    def amplitude(self) -> int:
        """S: the encoded norm before rounding; rounding adds at most ceil(sqrt(D))."""
        return (1 << self.upload_bits) - math.isqrt(self.words - 1) - 2

    @property
    def digest(self) -> bytes:
        """32 bytes that name this encoding; bound into every mask."""
        return digest("encoding", pack(self))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contribution:
    """What one organisation's local training gives to a round.

    Attributes:
        update: local minus global parameters, float32, shape (parameters,).
        statistics: the same for running statistics, float32, shape (statistics,).
        metrics: the numbers the encoding names.
    """

    update: Floats = field(repr=False)
    statistics: Floats = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mean:
    """What a sum says once it is divided by the survivors' weights.

    Attributes:
        update: weighted mean update, float64, shape (parameters,).
        statistics: the same for running statistics.
        metrics: weighted means.
        clipped: how many survivors clipped their update.
        survivors: how many are in the sum.
    """

    update: NDArray[np.float64]
    statistics: NDArray[np.float64]
    metrics: dict[str, float]
    clipped: int
    survivors: int


def encode(
    encoding: Encoding, contribution: Contribution, *, clip: float, share: float, round_: int, org: OrgId, members: int
) -> Ring:
    """Turn one organisation's contribution into the vector that is masked.

    Args:
        encoding: from the manifest.
        contribution: from local training.
        clip: C of this round.
        share: this organisation's weight divided by the largest, 0 to 1.
        round_: number of the round; the public rounding is drawn for it
        org: and for this organisation.
        members: n, organisations in the roster.

    Returns:
        uint32, shape (D,), two's complement.

    Raises:
        BadUpdateError: a number is missing, not finite, or of a wrong shape; nothing may be sent.
    """
    vector = ring(encoding.words)
    start = encoding.parameters + encoding.statistics
    key = counter.key(encoding.seed, "upload-rounding", round_, org)
    clipped = _quantise(
        contribution.update, vector[: encoding.parameters], bound=clip, scale=share * encoding.amplitude, key=key
    )
    key = counter.key(encoding.seed, "statistics-rounding", round_, org)
    _quantise(
        contribution.statistics,
        vector[encoding.parameters : start],
        bound=encoding.statistics_bound,
        scale=share * encoding.amplitude,
        key=key,
    )
    vector[start : start + CANARIES] = 1
    vector[start + CANARIES] = clipped
    for position, metric in enumerate(encoding.metrics, start + CANARIES + 1):
        word = metric_word(metric, contribution.metrics, scale=share * metric_scale(metric, members))
        vector[position] = word % 2**RING_BITS
    return vector


def decode(
    encoding: Encoding, total: Ring, *, clip: float, shares: Sequence[float], members: int, part: slice = _WHOLE
) -> Mean:
    """Turn the sum of the survivors' vectors into their weighted mean.

    Args:
        encoding: from the manifest.
        total: uint32, shape (D,).
        clip: C of this round.
        shares: the survivors' weights divided by the largest, in roster order.
        members: n, organisations in the roster.
        part: of the update, for large models that are looked at stripe by stripe.

    Raises:
        UnusableSumError: the canaries do not count the survivors, or their weights add up to nothing.
    """
    start = encoding.parameters + encoding.statistics
    whole = total.view(np.int32)
    if total.shape != (encoding.words,) or any(whole[start : start + CANARIES] != len(shares)):
        raise UnusableSumError("The canaries of the sum do not count its members: somebody masked with other keys.")
    weight = math.fsum(shares)
    if weight == 0:
        raise UnusableSumError("The members of the sum have no weight between them.")
    step = clip / encoding.amplitude
    statistics_step = encoding.statistics_bound / encoding.amplitude
    return Mean(
        update=np.multiply(whole[: encoding.parameters][part], step / weight, dtype=np.float64),
        statistics=np.multiply(whole[encoding.parameters : start], statistics_step / weight, dtype=np.float64),
        metrics={
            metric.name: float(whole[position]) / (metric_scale(metric, members) * weight)
            for position, metric in enumerate(encoding.metrics, start + CANARIES + 1)
        },
        clipped=int(whole[start + CANARIES]),
        survivors=len(shares),
    )


def next_clip(encoding: Encoding, clip: float, *, clipped: int, survivors: int) -> float:
    """Move C towards the norm that one survivor in ten exceeds: up 36 % or down 4 % at most, within the bounds.

    Clipping changes the mean, a large C only its rounding (C / S a coordinate): so C rather stays too large.

    Source: Andrew et al., Differentially private learning with adaptive clipping, NeurIPS 2021, with a linear step, so
    that every machine computes the same bits, and a quantile for precision instead of privacy.
    """
    moved = clip * (1.0 + 0.4 * (clipped / survivors - CLIPPED_SHARE))
    return min(max(moved, encoding.clip_low), encoding.clip_high)


def _quantise(numbers: Floats, target: Ring, *, bound: float, scale: float, key: int) -> bool:
    """Clip to a norm, scale, and round at random into `target`; tell whether it was clipped."""
    if numbers.shape != target.shape or numbers.dtype != np.float32:
        raise BadUpdateError(f"An update has the shape {numbers.shape}; {target.shape} float32 numbers are expected.")
    norm = _norm(numbers)
    if not math.isfinite(norm):
        raise BadUpdateError("An update holds a number that is not finite (NaN or infinity).")
    factor = scale / max(norm, bound)
    words = target.view(np.int32)
    for at in range(0, len(numbers), STRIPE):
        stripe = numbers[at : at + STRIPE]
        draws = counter.words(key, -(-len(stripe) // LANES), at // LANES).astype("<u8", copy=False).view("<u2")
        scaled = scaled_by(stripe, factor)
        dither = draws[: len(stripe)].astype(np.float32)
        dither += np.float32(0.5)
        dither *= np.float32(2.0**-16)
        scaled += dither
        np.floor(scaled, out=scaled)
        words[at : at + STRIPE] = scaled
    return norm > bound


def scaled_by(stripe: Floats, factor: float) -> Floats:
    """Multiply in float32; by way of float64 where the factor itself would leave float32's range."""
    if 1e-30 < factor < 1e30:  # noqa: PLR2004 - well inside float32
        return stripe * np.float32(factor)
    return (stripe.astype(np.float64) * factor).astype(np.float32)


def _norm(numbers: Floats) -> float:
    """L2 norm in float64, without BLAS and its threads; not finite if a number is not."""
    squares = 0.0
    for at in range(0, len(numbers), STRIPE):
        stripe = numbers[at : at + STRIPE].astype(np.float64)
        squares += float(np.einsum("i,i->", stripe, stripe))
    return math.sqrt(squares)


def metric_scale(metric: Metric, members: int) -> float:
    """Words a unit of a metric, so that n members cannot overflow the ring."""
    return (2**31 - 1 - members) / (members * metric.bound)


def metric_word(metric: Metric, values: Mapping[str, float], *, scale: float) -> int:
    """A metric as a whole number, not yet in the ring.

    Raises:
        BadUpdateError: it is missing or not finite.
    """
    value = values.get(metric.name, math.nan)
    if not math.isfinite(value):
        raise BadUpdateError(f"The metric '{metric.name}' is missing or not finite.")
    return math.floor(min(max(value, -metric.bound), metric.bound) * scale + 0.5)
