"""Invitations without what their recipients have seen: who stayed in the last round, and the signatures over the list.

Whoever answered exchange 5 was shown the list in exchange 4 and the signatures in exchange 5. So its next invitation
leaves both out, and it puts the whole message together again, byte for byte. The server signs the whole one only: a
short invitation is no statement of its own, and a server that shortens another list than it showed is not believed.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.messages import Certificate, Invite, Outcome, Sealed, Survivors
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import Signature, kind_of, pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """An `Invite` whose outcome is only the sum and the server's signature over it; the rest the recipient knows."""

    KIND: ClassVar[str] = "recalled/1"

    plan: Plan
    total: bytes
    signature: Signature
    offers: tuple[bytes, ...]
    checkpoint: bytes


def shorten(request: bytes) -> bytes:
    """Leave out of a sealed invitation what its recipient was sent in exchanges 4 and 5 of the last round."""
    sealed = unpack(Sealed, request)
    invite = unpack(Invite, sealed.body)
    if invite.previous is None:
        return request
    short = Recalled(
        plan=invite.plan,
        total=invite.previous.total,
        signature=invite.previous.signature,
        offers=invite.offers,
        checkpoint=invite.checkpoint,
    )
    return pack(replace(sealed, body=pack(short)))


def is_short(request: bytes) -> bool:
    """Tell whether this is a short invitation."""
    try:
        return kind_of(unpack(Sealed, request).body) == f"fedgap/1/{Recalled.KIND}"
    except BadMessageError:
        return False


def lengthen(request: bytes, *, last: Plan, listed: bytes, certified: bytes) -> bytes:
    """Put a short invitation together again.

    Args:
        request: the short invitation.
        last: plan of the round whose sum it brings.
        listed: the sealed `Survivors` of that round, as it came.
        certified: the sealed `Certificate` of that round, as it came.

    Returns:
        the sealed invitation; its signature does not fit unless all of it is what the server meant.

    Raises:
        BadMessageError: it is no short invitation.
    """
    sealed = unpack(Sealed, request)
    short = unpack(Recalled, sealed.body)
    survivors = unpack(Survivors, unpack(Sealed, listed).body)
    certificate = unpack(Certificate, unpack(Sealed, certified).body)
    previous = Outcome(
        plan=last,
        t2=survivors.t2,
        survivors=survivors.survivors,
        voices=certificate.voices,
        total=short.total,
        signature=short.signature,
    )
    invite = Invite(plan=short.plan, previous=previous, offers=short.offers, checkpoint=short.checkpoint)
    return pack(replace(sealed, body=pack(invite)))
