"""Commitments to directions, and the certificates that make one of them count: tau members signed its hash.

    H(q, salt)                           fixed by the server right after the round, shown to nobody else
    D_Q = H(D, slot, g, H(q, salt))      signed by every member once a slot, in the first exchange 1 that offers it

A slot is one opening of the one D of a round. Two sets of tau members share an honest one, who
signs once, so at most one direction of a slot is ever certified, and it was fixed before anybody could see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from fedgap.crypto import Identity, digest, is_signed, statement
from fedgap.secagg.checks import check_voices
from fedgap.secagg.errors import BadMessageError, BadServerMessageError, EquivocationError
from fedgap.secagg.evidence import Contradiction
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.me import Me
from fedgap.secagg.messages import EVERYBODY, Outcome, Voice
from fedgap.secagg.tenures import Tenure, tenure_of
from fedgap.secagg.transcript import Plan, Survivor, agreement, is_ascending
from fedgap.secagg.wire import Hash, Positive, Seat, Signature, pack, unpack

NO_VOICE = bytes(64)
"""In the place of a signature of who has no say: it was not in that roster, or lost its memory of that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A round and who stayed in it, with at least tau signatures: an Outcome without its sum."""

    KIND: ClassVar[str] = "listing/1"

    plan: Plan
    t2: Hash
    survivors: tuple[Survivor, ...]
    voices: tuple[Voice, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """What an outcome says about who stayed."""
        return cls(plan=outcome.plan, t2=outcome.t2, survivors=outcome.survivors, voices=outcome.voices)

    @property
    def agreed(self) -> bytes:
        """D of the round."""
        return agreement(self.plan.sid, self.t2, self.survivors)

    @property
    def seats(self) -> frozenset[int]:
        """U: who stayed."""
        return frozenset(survivor.seat for survivor in self.survivors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Server to all: a commitment to a direction that is not certified yet.

    Attributes:
        listing: the round; None if it is the one whose outcome comes with the offer.
        slot: which opening of the round, from 1.
        scale: g of the period.
        hidden: H(q, salt).
        signature: the server's over D_Q; it signs one for each slot.
    """

    KIND: ClassVar[str] = "offer/1"

    listing: Listing | None
    slot: Seat
    scale: Positive
    hidden: Hash
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """Organisation to server: what it signs beside its one-time keys, or at the close of the run without them.

    Attributes:
        seat: whose.
        advert: the packed Advert; empty at the close.
        directions: for every offer, in their order, a signature over D_Q or `NO_VOICE`.
        cosignature: what the ledger's checkpoint asks for; opaque here.
    """

    KIND: ClassVar[str] = "certified/1"

    seat: Seat
    advert: bytes
    directions: tuple[Signature, ...]
    cosignature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSlot:
    """What a member remembers of a slot it signed: the server's commitment, so that another one is proof.

    Attributes:
        name: of the slot.
        said: D_Q.
        signature: the server's over it.
    """

    name: Hash
    said: Hash
    signature: Signature


def hide(entries: bytes, salt: bytes) -> bytes:
    """H(q, salt): names a direction, int16 little-endian, without showing it."""
    return digest("direction", salt, entries)


def slot_name(agreed: bytes, slot: int) -> bytes:
    """Name one opening of the round with this D."""
    return digest("slot", agreed, slot)


def direction_digest(agreed: bytes, slot: int, *, scale: float, hidden: bytes) -> bytes:
    """D_Q: what members certify."""
    return digest("D_Q", agreed, slot, scale, hidden)


def make_offer(server: Identity, listing: Listing, slot: int, *, scale: float, hidden: bytes) -> Offer:
    """Commit the server to a direction."""
    said = direction_digest(listing.agreed, slot, scale=scale, hidden=hidden)
    signature = server.sign("commitment", slot_name(listing.agreed, slot), EVERYBODY, said)
    return Offer(listing=listing, slot=slot, scale=scale, hidden=hidden, signature=signature)


def check_listing(manifest: Manifest, listing: Listing) -> bytes:
    """Check that tau members signed who stayed in a round, under the version it ran under; give D.

    The honest ones among them checked every upload's signature before they signed D.

    Raises:
        BadServerMessageError: they did not.
    """
    agreed, seats = listing.agreed, [survivor.seat for survivor in listing.survivors]
    if not is_ascending(seats, below=len(manifest.members)) or len(seats) < manifest.quorum.u_min:
        raise BadServerMessageError("A listed round names members out of order, or too few.")
    check_voices(manifest, sid=listing.plan.sid, agreed=agreed, voices=listing.voices)
    return agreed


def certify(
    me: Me,
    offers: Sequence[bytes],
    *,
    previous: Outcome | None,
    signed: Sequence[SignedSlot],
    known: Sequence[Tenure],
    since: int = 0,
) -> tuple[tuple[SignedSlot, ...], tuple[bytes, ...]]:
    """Sign each offered direction, once a slot, whether or not we are in that round's U.

    Args:
        me: who we are.
        offers: packed Offers, as the server sent them.
        previous: the outcome that came with them, checked.
        signed: what we signed before.
        known: every version of the manifest.
        since: rounds before this one are left to the others.

    Returns:
        everything we signed so far, and for each of these offers a signature or `NO_VOICE`.

    Raises:
        BadServerMessageError: an offer is for no slot, or its round is not certified.
        EquivocationError: another direction was offered for a slot before; the evidence is a Contradiction.
    """
    before = {slot.name: slot for slot in signed}
    signatures = []
    for data in offers:
        offer = _read(data)
        listing = offer.listing or (Listing.of(previous) if previous is not None else None)
        if listing is None or not 1 <= offer.slot <= me.manifest.openings:
            raise BadServerMessageError("A direction is offered for no round, or for an opening there is none of.")
        tenure, seat = _place(me, listing, known)
        if seat is None or listing.plan.round < since:
            signatures.append(NO_VOICE)
            continue
        agreed = check_listing(tenure.versions[listing.plan.manifest], listing)
        name = slot_name(agreed, offer.slot)
        said = direction_digest(agreed, offer.slot, scale=offer.scale, hidden=offer.hidden)
        if not is_signed(me.manifest.server, offer.signature, "commitment", name, EVERYBODY, said):
            raise BadServerMessageError("A commitment to a direction is not signed by the server.")
        ours = before.setdefault(name, SignedSlot(name=name, said=said, signature=offer.signature))
        if ours.said != said:
            raise EquivocationError("Two directions were offered for one slot.", evidence=_proof(me, ours, offer, said))
        signatures.append(me.identity.sign("direction", name, seat, said))
    return tuple(before.values()), tuple(signatures)


def check_direction_voices(tenure: Tenure, *, since: bytes, name: bytes, said: bytes, voices: Sequence[Voice]) -> None:
    """Check a direction's certificate: at least tau different members signed D_Q.

    Args:
        tenure: of the round.
        since: the version it ran under.
        name: of the slot.
        said: D_Q.
        voices: the certificate.

    Raises:
        BadServerMessageError: they did not, or one signature is not valid.
    """
    manifest, seats = tenure.manifest, [voice.seat for voice in voices]
    if not is_ascending(seats, below=len(manifest.members)) or len(seats) < manifest.tau:
        raise BadServerMessageError(f"A direction is certified by {len(seats)} members; {manifest.tau} must, in order.")
    for voice in voices:
        if not is_certified_by(tenure, voice, since=since, name=name, said=said):
            raise BadServerMessageError(f"Member {voice.seat} did not certify a direction.")


def is_certified_by(tenure: Tenure, voice: Voice, *, since: bytes, name: bytes, said: bytes) -> bool:
    """Tell whether a member signed D_Q for this slot, with a key it has had since the round."""
    keys = tenure.keys(voice.seat, since=since)
    return any(is_signed(public, voice.signature, "direction", name, voice.seat, said) for public in keys)


def _place(me: Me, listing: Listing, known: Sequence[Tenure]) -> tuple[Tenure, int | None]:
    """The tenure of a listed round, and our seat in it."""
    tenure = tenure_of(known, listing.plan.manifest)
    if tenure is None:
        raise BadServerMessageError("A listed round is of another manifest.")
    return tenure, tenure.seat_of(me.manifest.members[me.seat].id)


def _read(data: bytes) -> Offer:
    try:
        return unpack(Offer, data)
    except BadMessageError as error:
        raise BadServerMessageError("An offer of a direction is malformed.") from error


def _proof(me: Me, ours: SignedSlot, offer: Offer, said: bytes) -> bytes:
    context = "commitment", ours.name, EVERYBODY
    return pack(
        Contradiction(
            public=me.manifest.server,
            first=statement(*context, ours.said),
            first_signature=ours.signature,
            second=statement(*context, said),
            second_signature=offer.signature,
        )
    )
