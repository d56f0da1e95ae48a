"""An organisation's side of a round: five pure steps over frozen states.

    on_invite      -> Advertised    our one-time keys are out
    on_adverts     -> Shared        key shares for everybody are out
    on_relay       -> Ready         everybody's shares for us fit; now train     (or a complaint: the attempt is over)
    upload         -> Uploaded      the masked update is out
    on_survivors   -> Agreed        we signed who stayed                         (or LeftOut: we say nothing more)
    on_certificate -> Answered      one share for each member is out, never both

Each step takes the state, the server's bytes and what it may not invent itself (a random seed, the model's state), and
returns the next state and the reply. It raises a `RefusalError` instead of answering anything doubtful. States are
written with `fedgap.secagg.wire.pack`; only what later steps need is in them.
"""

from collections.abc import Sequence

from fedgap.crypto import (
    BadKeyError,
    digest,
    root_of_chunks,
)
from fedgap.secagg.checks import check_adverts, check_certificate, check_relay, check_survivors
from fedgap.secagg.dealing import deal, receive
from fedgap.secagg.errors import (
    BadServerMessageError,
    EquivocationError,
    OutOfOrderError,
    PlanMismatchError,
)
from fedgap.secagg.keyring import keyring, pair_mask, self_mask
from fedgap.secagg.masking import Ring, masked
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Accusation,
    Adverts,
    Agree,
    Certificate,
    Complaint,
    Invite,
    Relay,
    Survivors,
    Unmask,
    Upload,
)
from fedgap.secagg.states import (
    Advertised,
    Agreed,
    Answered,
    Complained,
    Kept,
    LeftOut,
    Peer,
    Ready,
    Shared,
    Uploaded,
)
from fedgap.secagg.transcript import Advert, Plan, agreement, first_transcript, second_transcript
from fedgap.secagg.wire import pack


def on_invite(me: Me, request: bytes, *, expected: Plan, seed: bytes) -> tuple[Advertised, bytes]:
    """Exchange 1: check the plan against our own and send two one-time keys.

    Args:
        me: who we are.
        request: the server's Invite.
        expected: the plan we computed ourselves, from the manifest and the sums so far.
        seed: 32 fresh random bytes for this attempt.

    Raises:
        PlanMismatchError: the server's plan is another.
    """
    invite = me.read(Invite, request)
    if invite.plan != expected:
        raise PlanMismatchError(_difference(invite.plan, expected))
    encoding = me.manifest.encoding
    if expected.manifest != me.manifest.digest or not encoding.clip_low <= expected.clip <= encoding.clip_high:
        raise PlanMismatchError("The plan belongs to another manifest, or its clip norm is outside the bounds.")
    keys = keyring(seed, invite.sid, me.seat)
    public = keys.mask_key.public, keys.letter_key.public
    signature = me.identity.sign("advert", invite.sid, me.seat, *public)
    advert = Advert(seat=me.seat, mask_public=public[0], letter_public=public[1], signature=signature)
    return Advertised(sid=invite.sid, seed=seed), pack(advert)


def on_adverts(me: Me, state: Advertised, request: bytes) -> tuple[Shared, bytes]:
    """Exchange 2: check everybody's keys, and deal shares of our two secrets in sealed letters.

    Raises:
        BadServerMessageError: an advert is not its member's, or a key is of small order.
        EquivocationError: our own advert is not the one we sent.
    """
    message = me.read(Adverts, request)
    _require_sid(state.sid, message.sid)
    check_adverts(me.manifest, message)
    peers = tuple(Peer(seat=a.seat, mask_public=a.mask_public, letter_public=a.letter_public) for a in message.adverts)
    keys = keyring(state.seed, state.sid, me.seat)
    keyring.cache_clear()
    ours = Peer(seat=me.seat, mask_public=keys.mask_key.public, letter_public=keys.letter_key.public)
    if ours not in peers:
        raise EquivocationError("Our own advert is missing or was changed.")
    t1 = first_transcript(me.manifest, state.sid, message.adverts)
    try:
        after, reply = deal(me, keys, peers, t1=t1)
    except BadKeyError as error:
        raise BadServerMessageError(f"A one-time key cannot be used: {error.cause}") from error
    return after, pack(reply)


def on_relay(me: Me, state: Shared, request: bytes) -> tuple[Ready, None] | tuple[Complained, bytes]:
    """Exchange 3, before training: open every letter and check every share and commitment against what was signed.

    Returns:
        Ready and nothing to send yet, or Complained and a signed complaint.

    Raises:
        BadServerMessageError: the server changed what a dealer signed.
        EquivocationError: others saw other keys than we did.
    """
    message = me.read(Relay, request)
    _require_sid(state.sid, message.sid)
    seats = [agreement.seat for agreement in state.agreements]
    if (message.recipient, message.position, message.count) != (me.seat, seats.index(me.seat), len(seats)):
        raise BadServerMessageError("The key shares are meant for another member.")
    if message.t1 != state.t1:
        raise EquivocationError("Others were shown other one-time keys than we were.")
    check_relay(me.manifest, message)
    dealers = [entry.seat for entry in message.entries]
    if me.seat not in dealers or not set(dealers) <= set(seats):
        raise BadServerMessageError("Our own key shares are missing, or a dealer sent no advert.")
    held, edges, accusations = receive(me, state, message.entries)
    if accusations:
        return _complain(me, state.sid, accusations)
    t2 = second_transcript(state.t1, dealers, message.dealt)
    return Ready(sid=state.sid, t2=t2, b=state.b, held=tuple(held), edges=tuple(edges)), None


def upload(me: Me, state: Ready, vector: Ring) -> tuple[Uploaded, Kept, bytes]:
    """Exchange 3, after training: hide the encoded update behind our own mask and one for each peer.

    Args:
        me: who we are.
        state: what `on_relay` left.
        vector: the encoded update, uint32, shape (D,); overwritten with what is uploaded, so keep what must be kept.

    Returns:
        the next state, what is kept until the round is settled, and the reply.
    """
    if vector.shape != (me.manifest.encoding.words,):
        raise ValueError(f"the vector has {vector.size} words; the manifest says {me.manifest.encoding.words}")
    hidden = hide(state, vector, seat=me.seat, threads=me.threads)
    body = hidden.astype("<u4", copy=False).tobytes()
    root = root_of_chunks("upload", body)
    signature = me.identity.sign("upload", state.t2, me.seat, len(vector), root)
    after = Uploaded(sid=state.sid, t2=state.t2, root=root, held=state.held)
    kept = Kept(sid=state.sid, t2=state.t2, root=root, edges=state.edges)
    return after, kept, pack(Upload(seat=me.seat, signature=signature, body=body))


def hide(state: Ready, vector: Ring, *, seat: int, threads: int) -> Ring:
    """Add, in place, the self mask and one for each peer: added towards higher seats, subtracted towards lower ones."""
    plus = [pair_mask(peer.secret) for peer in state.edges if seat < peer.seat]
    minus = [pair_mask(peer.secret) for peer in state.edges if peer.seat < seat]
    plus.append(self_mask(state.b, state.sid, seat))
    return masked(vector, plus=plus, minus=minus, threads=threads, out=vector)


def on_survivors(me: Me, state: Uploaded, request: bytes) -> tuple[Agreed, bytes] | tuple[LeftOut, None]:
    """Exchange 4: check who stayed and sign it, once.

    Returns:
        Agreed and our signature; or LeftOut and nothing, if our upload is not in the list.

    Raises:
        BadServerMessageError: an upload in the list is not its member's, or its member dealt no shares.
        EquivocationError: others were relayed other shares than we were, or another upload is said to be ours.
    """
    message = me.read(Survivors, request)
    _require_sid(state.sid, message.sid)
    if message.t2 != state.t2:
        raise EquivocationError("Others were relayed other key shares than we were.")
    check_survivors(me.manifest, t2=message.t2, survivors=message.survivors)
    roots = {survivor.seat: survivor.root for survivor in message.survivors}
    if not roots.keys() <= {held.seat for held in state.held}:
        raise BadServerMessageError("A member is said to have stayed that dealt no key shares.")
    if me.seat not in roots:
        return LeftOut(sid=state.sid), None
    if roots[me.seat] != state.root:
        raise EquivocationError("Another upload than the one we sent is said to be ours.")
    agreed = agreement(state.sid, state.t2, message.survivors)
    reply = Agree(seat=me.seat, signature=me.identity.sign("agree", state.sid, me.seat, agreed))
    after = Agreed(
        sid=state.sid,
        root=state.root,
        survivors=tuple(roots),
        agreement=agreed,
        held=state.held,
    )
    return after, pack(reply)


def on_certificate(me: Me, state: Agreed, request: bytes) -> tuple[Answered, bytes]:
    """Exchange 5: once tau members signed the same list, give one share for each member: never both.

    Raises:
        BadServerMessageError: fewer than tau signed.
        EquivocationError: they signed another list than we did.
    """
    message = me.read(Certificate, request)
    _require_sid(state.sid, message.sid)
    if message.agreement != state.agreement:
        raise EquivocationError("Others signed another list of who stayed than we did.")
    check_certificate(me.manifest, message)
    shares = b"".join(held.of_b if held.seat in state.survivors else held.of_sigma for held in state.held)
    signature = me.identity.sign("unmask", state.agreement, me.seat, digest("unmask-shares", shares))
    after = Answered(sid=state.sid, root=state.root, survivors=state.survivors, agreement=state.agreement)
    return after, pack(Unmask(seat=me.seat, shares=shares, signature=signature))


def _complain(me: Me, sid: bytes, accusations: Sequence[Accusation]) -> tuple[Complained, bytes]:
    named = [(accusation.seat, accusation.reason) for accusation in accusations]
    signature = me.identity.sign("complaint", sid, me.seat, named)
    complaint = Complaint(seat=me.seat, accusations=tuple(accusations), signature=signature)
    return Complained(sid=sid), pack(complaint)


def _require_sid(ours: bytes, theirs: bytes) -> None:
    if ours != theirs:
        raise OutOfOrderError("The request belongs to another attempt.")


def _difference(theirs: Plan, ours: Plan) -> str:
    names = [name for name in Plan.__slots__ if getattr(theirs, name) != getattr(ours, name)]
    return f"The server's plan and ours differ in: {', '.join(names)}."
