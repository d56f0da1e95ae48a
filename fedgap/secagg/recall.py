"""Invitations without what their recipients have seen: who stayed in the last round, and the signatures over the list.

Whoever answered exchange 5 was shown the list in exchange 4 and the signatures in exchange 5. So its next invitation
leaves both out, and it puts the whole message together again, byte for byte. The server signs the whole one only: a
short invitation is no statement of its own, and a server that shortens another list than it showed is not believed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fedgap.secagg.errors import BadMessageError, UnseenListError
from fedgap.secagg.messages import Certificate, Invite, Outcome, Sealed, Survivors
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import Signature, kind_within, pack, pieces, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """An `Invite` whose outcome is only the sum and the server's signature over it; the rest the recipient knows."""

    KIND: ClassVar[str] = "recalled/1"

    plan: Plan
    total: bytes
    signature: Signature
    offers: tuple[bytes, ...]
    checkpoint: bytes


class Invitations(dict[int, bytes]):
    """Requests of exchange 1 by seat, some of them short.

    Attributes:
        whole: makes the invitation, byte for byte the one that was signed, for a member that cannot use its short one.
            It is made when it is needed: with a large model the sum should not be in memory twice.
    """

    def __init__(self, requests: Mapping[int, bytes], whole: Callable[[], bytes]) -> None:
        super().__init__(requests)
        self.whole = whole


def shorten(request: bytes) -> bytes:
    """Leave out of a sealed invitation what its recipient was sent in exchanges 4 and 5 of the last round."""
    sealed = unpack(Sealed, request)
    invite, sealed = unpack(Invite, sealed.body), replace(sealed, body=b"")  # a body holds a whole sum: not kept twice
    return request if invite.previous is None else pack(shortened(sealed, invite))


def shortened(sealed: Sealed, invite: Invite) -> Sealed:
    """Put the short form of an invitation in the place of its body, under the signature over the whole.

    Raises:
        ValueError: it brings no sum.
    """
    if invite.previous is None:
        raise ValueError("an invitation without a sum has no short form")
    short = Recalled(
        plan=invite.plan,
        total=invite.previous.total,
        signature=invite.previous.signature,
        offers=invite.offers,
        checkpoint=invite.checkpoint,
    )
    return _with_body(sealed, short)


def is_short(request: bytes) -> bool:
    """Tell whether this is a short invitation."""
    try:
        return kind_within(request) == f"fedgap/1/{Recalled.KIND}"
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
        UnseenListError: it follows another round than the last one known here.
    """
    sealed = unpack(Sealed, request)
    short, sealed = unpack(Recalled, sealed.body), replace(sealed, body=b"")
    if short.plan.round != last.round + 1:
        raise UnseenListError(f"The invitation leaves out what round {last.round} does not tell; it is needed whole.")
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
    return pack(_with_body(sealed, invite))


def _with_body(sealed: Sealed, message: Invite | Recalled) -> Sealed:
    """Put a message in the place of another one's body; the sum in it is copied once, by `pack`."""
    body: Any = pieces(message)
    return replace(sealed, body=body)
