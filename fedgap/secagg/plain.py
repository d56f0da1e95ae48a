"""The same sum without masks, for simulations with `--protocol sum`: bit for bit what the full protocol opens."""

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from fedgap.ids import OrgId
from fedgap.secagg.encoding import Contribution, Mean, decode, encode
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring


def plain_sum(
    manifest: Manifest, contributions: Iterable[tuple[OrgId, Contribution]], *, clip: float, round_: int
) -> tuple[Ring, tuple[int, ...]]:
    """Add the encoded contributions one by one, holding one vector.

    Args:
        manifest: roster, weights and encoding.
        contributions: in any order; each organisation once.
        clip: C of this round.
        round_: number of the round; the public rounding is drawn for it.

    Returns:
        the sum, uint32, shape (D,), and the seats that are in it, in order.
    """
    total = np.zeros(manifest.encoding.words, np.uint32)
    seats = []
    for _, seat, vector in plain_vectors(manifest, contributions, clip=clip, round_=round_):
        np.add(total, vector, out=total)
        seats.append(seat)
    return total, tuple(sorted(seats))


def plain_vectors(
    manifest: Manifest, contributions: Iterable[tuple[OrgId, Contribution]], *, clip: float, round_: int
) -> Iterator[tuple[OrgId, int, Ring]]:
    """Encode contributions one by one, arguments as in `plain_sum`: who, at which seat, and its vector."""
    seats = {member.id: seat for seat, member in enumerate(manifest.members)}
    shares = manifest.shares(range(len(manifest.members)))
    for org, contribution in contributions:
        seat = seats[org] if org in seats else manifest.seat_of(org)
        vector = encode(
            manifest.encoding,
            contribution,
            clip=clip,
            share=shares[seat],
            round_=round_,
            org=org,
            members=len(manifest.members),
        )
        yield org, seat, vector


def mean_of(manifest: Manifest, total: Ring, *, seats: Iterable[int], clip: float, part: slice = slice(None)) -> Mean:
    """Turn a sum, masked or plain, into the weighted mean of the members at these seats; or a part of its update."""
    shares = manifest.shares(sorted(seats))
    return decode(manifest.encoding, total, clip=clip, shares=shares, members=len(manifest.members), part=part)


def plain_mean(manifest: Manifest, contributions: Mapping[OrgId, Contribution], *, clip: float, round_: int) -> Mean:
    """Encode, add and decode in one call."""
    total, seats = plain_sum(manifest, contributions.items(), clip=clip, round_=round_)
    return mean_of(manifest, total, seats=seats, clip=clip)


def plain_parts(
    manifest: Manifest, contributions: Mapping[OrgId, Contribution], *, clip: float, round_: int
) -> Iterator[tuple[OrgId, NDArray[np.float64]]]:
    """Give each member's part of the mean update, from the very integers that are summed; one vector at a time.

    The parts add up to `plain_mean(...).update` but for float64's rounding. For simulations: nobody else can see one.
    """
    encoding = manifest.encoding
    there = [seat for seat, member in enumerate(manifest.members) if member.id in contributions]
    weight = math.fsum(manifest.shares(there))
    for org, _, vector in plain_vectors(manifest, contributions.items(), clip=clip, round_=round_):
        whole = vector.view(np.int32)[: encoding.parameters]
        yield org, np.multiply(whole, clip / encoding.amplitude / weight, dtype=np.float64)
