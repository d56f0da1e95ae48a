"""The value as settlement opens it, from whole numbers in the ring, beside the same value in plain float64.

What the protocol adds to these numbers (masks, answers, signatures) changes none of them; `tests/settling` shows that.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bench.contestants.estimators import ROUNDS, Played
from bench.contestants.scenarios import MEMBERS, World
from fedgap.config import SecAgg
from fedgap.ids import OrgId
from fedgap.secagg.directions import rounded, scale_of, unit
from fedgap.secagg.encoding import Contribution, Encoding, encode
from fedgap.secagg.opening import RING, centred, product

Array = NDArray[np.float64]


def opened(played: Played, world: World, last: int) -> dict[str, float]:
    """Open the rounds that count and compare.

    Args:
        played: the run.
        world: its validation rows make the directions.
        last: the last round that counts.

    Returns:
        the largest difference from the plain value, as part of the largest value; whether the opened counts add up to
        the directions' products with the sums, exactly in the ring; and d.
    """
    directions = played.directions(world.validation)[:last]
    norms = [float(np.linalg.norm(r.updates, axis=1).max()) for r in played.rounds]
    clip = max(norms)
    size = len(played.after[0])
    bounds = SecAgg(clip_low=clip, clip_start=clip, clip_high=clip)
    encoding = Encoding.of(bounds, parameters=size, metrics=(), seed=1)
    share = played.rounds[0].weights / played.rounds[0].weights.max()
    step = clip / float(share.sum())
    scale = scale_of(encoding, directions[0].unrounded, step=step, length=ROUNDS)
    counts, plain, total = [0] * len(share), np.zeros(len(share)), 0
    for number, (found, r) in enumerate(zip(directions, played.rounds, strict=False), 1):
        q = rounded(encoding, found.unrounded, step=step, scale=scale, length=ROUNDS, round_=number, slot=1).entries
        vectors = [_encoded(encoding, r.updates[k], float(share[k]), clip, number, k) for k in range(len(share))]
        for place, vector in enumerate(vectors):
            counts[place] += product(q, vector)
            part = vector[:size].view(np.int32) * (step / encoding.amplitude)
            plain[place] += float(part @ found.unrounded)
        total += product(q, np.sum(vectors, axis=0, dtype=np.uint32))
    values = np.array([float(unit(encoding, scale) * Fraction(centred(count))) for count in counts])
    return {
        "largest_difference": float(np.abs(values - plain).max() / np.abs(plain).max()),
        "sums_exactly": float((sum(map(centred, counts)) - total) % RING == 0),
        "parameters": size,
    }


def _encoded(
    encoding: Encoding, update: Array, share: float, clip: float, round_: int, place: int
) -> NDArray[np.uint32]:
    given = Contribution(update=update.astype(np.float32), statistics=np.zeros(0, np.float32), metrics={})
    return encode(encoding, given, clip=clip, share=share, round_=round_, org=OrgId(f"org-{place}"), members=MEMBERS)
