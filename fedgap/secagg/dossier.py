"""What the server keeps of a round until it is settled, beside the spooled uploads: small, and all of it public to it.

From a dossier, an upload and a direction follows a member's base: the inner product of what it uploaded, without its
self mask and without the masks it shares with members that dropped out. Uploads are read one at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fedgap.crypto import root_of_chunks
from fedgap.secagg.certificates import Listing
from fedgap.secagg.directions import Whole
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.keyring import edge_secret, mask_key, pair_mask, self_mask
from fedgap.secagg.messages import Shares, Upload
from fedgap.secagg.opening import RING, mask_products, product
from fedgap.secagg.stages import Opened
from fedgap.secagg.transcript import Advert
from fedgap.secagg.unmasking import Unmasking
from fedgap.secagg.wire import Hash, Seat, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSecret:
    """A member's secret that unmasking opened: b of a survivor, sigma of a member that dropped."""

    seat: Seat
    secret: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One opened round.

    Attributes:
        listing: the round and who stayed.
        adverts, t1, shares: the transcript; with the listing they tie every edge to what both ends signed.
        secrets: what was opened, by seat.
        total: the sum X, uint32 little-endian.
    """

    KIND: ClassVar[str] = "dossier/1"

    listing: Listing
    adverts: tuple[Advert, ...]
    t1: Hash
    shares: tuple[Shares, ...]
    secrets: tuple[OpenedSecret, ...]
    total: bytes


def dossier_of(state: Unmasking, opened: Opened) -> Dossier:
    """Put together what settlement needs of a round whose sum is open."""
    return Dossier(
        listing=Listing.of(opened.outcome),
        adverts=state.adverts,
        t1=state.t1,
        shares=state.shares,
        secrets=tuple(OpenedSecret(seat=seat, secret=secret) for seat, secret in sorted(opened.secrets.items())),
        total=opened.outcome.total,
    )


def bases_of_round(
    dossier: Dossier, directions: Sequence[Whole], spooled: Callable[[int], bytes]
) -> dict[int, list[int]]:
    """Compute every survivor's base in one round; whoever has the spool can repeat it.

    Pair masks cancel in the sum of all bases, which is therefore the directions' product with X: that is checked, at a
    fraction of what hashing every upload costs; the hashes then name the upload that was changed.

    Args:
        dossier: of the round.
        directions: one for each opening.
        spooled: gives the upload of a seat; called once for each, in order.

    Returns:
        for each seat in U one number mod 2**32 for each opening.

    Raises:
        BadMessageError: a spooled upload is not the one in the sum.
    """
    masks = _masks(dossier)
    bases = {}
    for seat in sorted(dossier.listing.seats):
        body = unpack(Upload, spooled(seat)).body
        if len(body) != len(dossier.total):
            raise BadMessageError(f"The kept upload of member {seat} has another length than the sum.")
        upload = np.frombuffer(body, dtype="<u4")
        numbers = [product(direction, upload) for direction in directions]
        signs, keys = zip(*masks[seat], strict=True)
        for sign, taken in zip(signs, mask_products(directions, keys), strict=True):
            numbers = [(number - sign * mask) % RING for number, mask in zip(numbers, taken, strict=True)]
        bases[seat] = numbers
    total = np.frombuffer(dossier.total, dtype="<u4")
    if [sum(found) % RING for found in zip(*bases.values(), strict=True)] != [product(q, total) for q in directions]:
        changed = _changed(dossier, spooled)
        what = "sum or the secrets" if changed is None else f"upload of member {changed}"
        raise BadMessageError(f"The kept {what} of round {dossier.listing.plan.round} was changed.")
    return bases


def _masks(dossier: Dossier) -> dict[int, list[tuple[int, bytes]]]:
    """The masks that unmasking opened, for each survivor: its own, and those it shares with members that dropped.

    Returns:
        for each seat the sign with which each mask is in the upload, and its key.
    """
    sid, survivors = dossier.listing.plan.sid, dossier.listing.seats
    public = {advert.seat: advert.mask_public for advert in dossier.adverts}
    opened = {held.seat: held.secret for held in dossier.secrets}
    dropped = {seat: mask_key(secret, sid, seat) for seat, secret in opened.items() if seat not in survivors}
    found = {}
    for seat in survivors:
        found[seat] = [(1, self_mask(opened[seat], sid, seat))]
        for gone, key in dropped.items():
            mask = pair_mask(edge_secret(key, public[seat], t1=dossier.t1, seats=(seat, gone)))
            found[seat].append((1 if seat < gone else -1, mask))
    return found


def _changed(dossier: Dossier, spooled: Callable[[int], bytes]) -> int | None:
    """Name the first upload that is not the one whose root tau members signed."""
    for survivor in dossier.listing.survivors:
        if root_of_chunks("upload", unpack(Upload, spooled(survivor.seat)).body) != survivor.root:
            return survivor.seat
    return None
