"""The sums of many federations at once: the integers of `plain`, computed for a block of updates in one go.

F federations, n organisations, d parameters. For simulations of many small federations side by side, where the calls
cost more than the numbers; a block takes 4 bytes a number several times over, so large models are better added one by
one (`plain.plain_sum`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.ids import OrgId
from fedgap.secagg.encoding import (
    CANARIES,
    LANES,
    RING_BITS,
    STRIPE,
    Encoding,
    Floats,
    metric_scale,
    metric_word,
    scaled_by,
)
from fedgap.secagg.errors import BadUpdateError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring


def fits(encoding: Encoding) -> bool:
    """Whether updates of this form can be added in a block: no running statistics, and one stripe."""
    return encoding.statistics == 0 and encoding.parameters <= STRIPE


def plain_sums(
    manifest: Manifest,
    orgs: Sequence[OrgId],
    updates: Floats,
    metrics: Mapping[str, NDArray[Any]],
    *,
    clips: Sequence[float],
    round_: int,
) -> Ring:
    """Encode and add the updates of the same organisations in several federations of one manifest.

    Args:
        manifest: roster, weights and an encoding that `fits`.
        orgs: who the updates are from, each once.
        updates: float32, shape (F, n, d).
        metrics: the numbers the encoding names, each of shape (F, n).
        clips: C of each federation.
        round_: number of the round; the public rounding is drawn for it.

    Returns:
        uint32, shape (F, D): what `plain.plain_sum` gives for each federation.

    Raises:
        BadUpdateError: a number is missing, not finite, or of a wrong shape.
    """
    encoding = manifest.encoding
    if updates.shape != (len(clips), len(orgs), encoding.parameters) or updates.dtype != np.float32:
        raise BadUpdateError(f"The updates have the shape {updates.shape}; float32 for each parameter is expected.")
    seats = {member.id: seat for seat, member in enumerate(manifest.members)}
    shares = manifest.shares(seats[org] for org in orgs)
    totals = np.zeros((len(clips), encoding.words), np.uint32)
    dither = _dither(encoding, orgs, round_)
    for total, clip, update in zip(totals, clips, updates, strict=True):
        clipped = _add_quantised(encoding, update, total[: encoding.parameters], dither, clip=clip, shares=shares)
        total[encoding.parameters : encoding.parameters + CANARIES] = len(orgs)
        total[encoding.parameters + CANARIES] = clipped
    for position, metric in enumerate(encoding.metrics, encoding.parameters + CANARIES + 1):
        scales = [share * metric_scale(metric, len(manifest.members)) for share in shares]
        values = metrics.get(metric.name, np.full((len(clips), len(orgs)), np.nan)).tolist()
        for total, line in zip(totals, values, strict=True):
            pairs = zip(line, scales, strict=True)
            words = [metric_word(metric, {metric.name: value}, scale=scale) for value, scale in pairs]
            total[position] = sum(words) % 2**RING_BITS
    return totals


def _dither(encoding: Encoding, orgs: Sequence[OrgId], round_: int) -> Floats:
    """The public draws of the rounding, one for each organisation and parameter, the same in every federation."""
    keys = counter.keys((encoding.seed, "upload-rounding", round_), orgs)
    draws = counter.words_of(keys, -(-encoding.parameters // LANES)).astype("<u8", copy=False).view("<u2")
    dither = draws[:, : encoding.parameters].astype(np.float32)
    dither += np.float32(0.5)
    dither *= np.float32(2.0**-16)
    return dither


def _add_quantised(
    encoding: Encoding, update: Floats, total: Ring, dither: Floats, *, clip: float, shares: Sequence[float]
) -> int:
    """Clip, scale and round each line of (n, d), add them into `total`; tell how many were clipped."""
    wide = update.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide)).tolist()
    if not all(map(math.isfinite, norms)):
        raise BadUpdateError("An update holds a number that is not finite (NaN or infinity).")
    factors = [share * encoding.amplitude / max(norm, clip) for share, norm in zip(shares, norms, strict=True)]
    scaled = np.stack([scaled_by(line, factor) for line, factor in zip(update, factors, strict=True)])
    scaled += dither
    np.floor(scaled, out=scaled)
    np.add.reduce(scaled.astype(np.int32).view(np.uint32), axis=0, dtype=np.uint32, out=total)
    return sum(norm > clip for norm in norms)
