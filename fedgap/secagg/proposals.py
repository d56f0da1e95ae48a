"""The server's directions before they are shown: one for each opening of each round, committed to at once.

A direction that cannot be opened (zero, or singling out a few coordinates) is kept but not offered; its round is left
out and credited by weight, as is one that too few members certified.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from fedgap.crypto import Identity
from fedgap.ids import OrgId
from fedgap.secagg.certificates import (
    Certified,
    Listing,
    Offer,
    direction_digest,
    hide,
    is_certified_by,
    make_offer,
    slot_name,
)
from fedgap.secagg.directions import Unrounded, UnusableDirectionError, Whole, is_spread, rounded, scale_of, step_of
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Voice
from fedgap.secagg.settlement import UNUSABLE, RevealedDirection, Salt
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.wire import Count, Hash, Positive, Seat, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One direction of one round at the server.

    Attributes:
        round, slot: which; slots are counted from 1.
        agreed: D of the round.
        scale: g of the period.
        salt, entries: what H(q, salt) hides until settlement.
        kept: the part of the direction that fits the bound.
        reason: empty, or why it is not offered.
        signature: the server's over D_Q.
        voices: members that certified it so far, by seat.
    """

    KIND: ClassVar[str] = "proposal/1"

    round: Count
    slot: Seat
    agreed: Hash
    scale: Positive
    salt: Salt = field(repr=False)
    entries: bytes = field(repr=False)
    kept: float
    reason: str
    signature: Signature
    voices: tuple[Voice, ...] = ()

    @property
    def hidden(self) -> bytes:
        """H(q, salt)."""
        return hide(self.entries, self.salt)

    @property
    def said(self) -> bytes:
        """D_Q."""
        return direction_digest(self.agreed, self.slot, scale=self.scale, hidden=self.hidden)

    @property
    def direction(self) -> Whole:
        """q, int16, shape (d,)."""
        return np.frombuffer(self.entries, dtype="<i2").astype(np.int16, copy=False)

    def offer(self, listing: Listing | None) -> Offer:
        """What members are asked to sign; None: the round is the one whose outcome is sent along."""
        return Offer(listing=listing, slot=self.slot, scale=self.scale, hidden=self.hidden, signature=self.signature)

    def revealed(self, witness: bytes | None, *, tau: int) -> RevealedDirection:
        """What everybody is shown at settlement, with tau of the signatures: more of them prove nothing more."""
        return RevealedDirection(
            scale=self.scale, salt=self.salt, entries=self.entries, voices=self.voices[:tau], witness=witness
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A rounded direction with g, and whether it is spread enough to be opened."""

    entries: Whole = field(repr=False)
    kept: float
    scale: float
    usable: bool


def propose(
    manifest: Manifest,
    server: Identity,
    listing: Listing,
    unrounded: Sequence[Unrounded],
    *,
    length: int,
    scale: float | None,
    salts: Sequence[bytes],
) -> list[Proposal]:
    """Round and commit to a round's directions.

    Args:
        manifest: that the round ran under.
        server: its signing key.
        listing: the round.
        unrounded: one for each opening; utility for each unit of the mean update.
        length: L.
        scale: g of the period, None if this is its first direction.
        salts: 32 secret random bytes for each.

    Returns:
        one for each opening, or none if one of them is zero or not finite.
    """
    plan = listing.plan
    prepared = prepare(
        manifest, listing.seats, unrounded, clip=plan.clip, round_=plan.round, length=length, scale=scale
    )
    proposals = []
    for slot, (ready, salt) in enumerate(zip(prepared, salts, strict=bool(prepared)), 1):
        hidden = hide(ready.entries.astype("<i2", copy=False).tobytes(), salt)
        offer = make_offer(server, listing, slot, scale=ready.scale, hidden=hidden)
        proposals.append(
            Proposal(
                round=plan.round,
                slot=slot,
                agreed=listing.agreed,
                scale=ready.scale,
                salt=salt,
                entries=ready.entries.astype("<i2", copy=False).tobytes(),
                kept=ready.kept,
                reason="" if ready.usable else UNUSABLE,
                signature=offer.signature,
            )
        )
    return proposals


def prepare(
    manifest: Manifest,
    seats: Iterable[int],
    unrounded: Sequence[Unrounded],
    *,
    clip: float,
    round_: int,
    length: int,
    scale: float | None,
) -> list[Prepared]:
    """Round a round's directions, as the server and the plain protocol do; none if one of them cannot be used.

    Args:
        manifest: with encoding and weights.
        seats: who stayed.
        unrounded: one for each opening.
        clip: C of the round.
        round_: its number.
        length: L.
        scale: g of the period; None takes it from the first of these.
    """
    step = step_of(manifest, seats, clip=clip)
    found = []
    for slot, direction in enumerate(unrounded, 1):
        try:
            if scale is None:
                scale = scale_of(manifest.encoding, direction, step=step, length=length)
            ready = rounded(
                manifest.encoding, direction, step=step, scale=scale, length=length, round_=round_, slot=slot
            )
        except UnusableDirectionError:
            return []
        usable = is_spread(direction) and is_spread(ready.entries)
        found.append(Prepared(entries=ready.entries, kept=ready.kept, scale=scale, usable=usable))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A proposal that members are asked to certify, the tenure of its round, and the version that it ran under."""

    proposal: Proposal
    tenure: Tenure
    version: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Round and slot."""
        return self.proposal.round, self.proposal.slot

    def signed_by(self, seat: int | None, signature: bytes) -> "Offered":
        """Add a member's signature, if it is one and the first of this member; it may have no seat in that tenure."""
        proposal = self.proposal
        if seat is None or seat in {voice.seat for voice in proposal.voices}:
            return self
        voice = Voice(seat=seat, signature=signature)
        name = slot_name(proposal.agreed, proposal.slot)
        if not is_certified_by(self.tenure, voice, since=self.version, name=name, said=proposal.said):
            return self
        voices = sorted((*proposal.voices, voice), key=lambda voice: voice.seat)
        return replace(self, proposal=replace(proposal, voices=tuple(voices)))


def with_reply(offered: Iterable[Offered], reply: Certified, org: OrgId) -> list[Offered]:
    """Add what one organisation signed to what was offered, in its order."""
    pairs = zip(offered, reply.directions, strict=False)
    return [one.signed_by(one.tenure.seat_of(org), signature) for one, signature in pairs]


def is_certified(manifest: Manifest, proposal: Proposal) -> bool:
    """Tell whether tau members signed this direction."""
    return not proposal.reason and len(proposal.voices) >= manifest.tau
