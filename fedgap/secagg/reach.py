"""How large an opened number can be: no upload that keeps the norm bound gives a larger one (Cauchy and Schwarz).

    |sum_t <q^t, x_i^t>|  <=  sum_t |q^t| B_i        B_i = floor(p_i S) + ceil(sqrt(D)) + 1, rounding included

A number beyond that is no honest member's: it sent something else than an update, or a peer that alone vouches for one
of its edges lied about it. Which of them cannot be told from the number, so it is flagged and nobody is named.
"""

import math
from collections.abc import Sequence

from fedgap.secagg.directions import squared
from fedgap.secagg.inspection import entries_of
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.settlement import Bloc, RevealedRound


def upload_bound(manifest: Manifest, seat: int) -> int:
    """Give B_i: the largest norm of an honest member's encoded update."""
    encoding = manifest.encoding
    return math.floor(manifest.share(seat) * encoding.amplitude) + math.ceil(math.sqrt(encoding.words)) + 1


def out_of_reach(manifest: Manifest, opened: Sequence[RevealedRound], blocs: Sequence[Bloc]) -> frozenset[int]:
    """Name the seats whose opened number no honest uploads can give; those of a bloc, if it is the bloc's sum.

    Args:
        manifest: with encoding and weights.
        opened: the rounds that were opened.
        blocs: the counts.
    """
    norms = [
        (one.listing.seats, [math.isqrt(squared(entries_of(manifest, shown))) + 1 for shown in one.directions])
        for one in opened
    ]
    found: set[int] = set()
    for bloc in blocs:
        for slot, count in enumerate(bloc.values):
            most = sum(
                sizes[slot] * upload_bound(manifest, seat) for seats, sizes in norms for seat in seats & set(bloc.seats)
            )
            if abs(count) > most:
                found |= set(bloc.seats)
    return frozenset(found)
