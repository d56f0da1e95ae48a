"""The server's side of a round: five pure steps that collect answers and never wait for any single one.

    invite        -> Inviting      on_adverts    -> Sharing       on_shares -> Uploading
    on_uploads    -> Agreeing      on_agreements -> Unmasking     on_unmasks -> Opened, or Unmasking still

An answer that is missing, late or wrong counts as a dropout, and a wrong one is noted as a `Fault`. Below the quorum
the attempt ends with `QuorumLostError` and nothing was revealed; only after somebody may have unmasked (exchange 5)
does a round wait instead: `Unmasking` is kept and asked again until t members have answered. The server holds one
vector of D words, however many upload.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from fedgap.crypto import SIGNATURE_BYTES, AgreementKey, Identity, digest, root_of_chunks
from fedgap.secagg.dealt import columns, dealt_root, relays
from fedgap.secagg.errors import BadManifestError, BadMessageError, ComplaintError
from fedgap.secagg.inbox import Inbox
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.messages import (
    EVERYBODY,
    Adverts,
    Agree,
    Certificate,
    Complaint,
    Invite,
    Outcome,
    Shares,
    Survivors,
    Unmask,
    Upload,
    Voice,
    seal,
    sealed,
)
from fedgap.secagg.recall import Invitations, shortened
from fedgap.secagg.stages import Agreeing, Inviting, Opened, Sharing, Uploading
from fedgap.secagg.transcript import Advert, Plan, Survivor, agreement, first_transcript, second_transcript
from fedgap.secagg.unmasking import Unmasking, open_secrets, open_sum
from fedgap.secagg.wire import kind_of, pack

Requests: TypeAlias = Mapping[int, bytes]
"""What to send, for each seat."""

Replies: TypeAlias = Iterable[tuple[int, bytes]]
"""What came back, in any order; the seat is who the transport says it is from."""


@dataclass(frozen=True, slots=True)
class Server:
    """Who we are: the manifest, our signing key, and how many threads may unmask.

    Raises:
        BadManifestError: the key is not the server's.
    """

    manifest: Manifest
    identity: Identity
    threads: int = 1

    def __post_init__(self) -> None:
        if self.manifest.server != self.identity.public:
            raise BadManifestError("The signing key is not the server's of this manifest.")


def invite(
    server: Server,
    plan: Plan,
    *,
    previous: Outcome | None,
    cohort: Iterable[int],
    offers: tuple[bytes, ...] = (),
    checkpoint: bytes = b"",
    knowing: Iterable[int] = (),
    again: Callable[[], Outcome] | None = None,
) -> tuple[Inviting, Requests]:
    """Exchange 1: send the plan, what the last round gave, and what members are asked to sign for settlement.

    `knowing` are the seats that answered exchange 5 of the last round: of it they are sent the sum only. Whoever lacks
    the rest after all is sent everything; then `again` gives `previous` once more.
    """
    message = Invite(plan=plan, previous=previous, offers=offers, checkpoint=checkpoint)
    signed, asked, seats = sealed(server.identity, message), set(cohort), set(knowing)
    if not seats or previous is None:
        return Inviting(plan=plan), dict.fromkeys(sorted(asked), pack(signed))
    fetch = again or (lambda: previous)
    short = pack(shortened(signed, message))
    request = b"" if asked <= seats else pack(signed)  # each holds the whole sum

    def whole() -> bytes:
        return seal(server.identity, Invite(plan=plan, previous=fetch(), offers=offers, checkpoint=checkpoint))

    return Inviting(plan=plan), Invitations(
        {seat: short if seat in seats else request for seat in sorted(asked)}, whole
    )


def on_adverts(server: Server, state: Inviting, replies: Replies) -> tuple[Sharing, Requests]:
    """Exchange 2: show everybody's one-time keys to everybody.

    Raises:
        QuorumLostError: fewer than u_min sent theirs.
    """
    inbox = Inbox(server.manifest, "advertise", state.faults)
    sid = state.plan.sid
    adverts = {}
    for seat, advert in inbox.read(Advert, replies):
        if not (AgreementKey.is_public(advert.mask_public) and AgreementKey.is_public(advert.letter_public)):
            inbox.note(seat, "a one-time key is of small order")
        elif inbox.accepts(seat, advert.signature, "advert", sid, seat, advert.mask_public, advert.letter_public):
            adverts[seat] = advert
    inbox.require(len(adverts))
    listed = tuple(adverts[seat] for seat in sorted(adverts))
    request = seal(server.identity, Adverts(sid=sid, adverts=listed))
    t1 = first_transcript(server.manifest, sid, listed)
    return Sharing(plan=state.plan, adverts=listed, t1=t1, faults=inbox.noted()), dict.fromkeys(adverts, request)


def on_shares(server: Server, state: Sharing, replies: Replies) -> tuple[Uploading, Requests]:
    """Exchange 3: give each member what the others dealt to it.

    Raises:
        QuorumLostError: fewer than u_min dealt.
    """
    inbox = Inbox(server.manifest, "share", state.faults, among=[advert.seat for advert in state.adverts])
    seats = [advert.seat for advert in state.adverts]
    dealt = {}
    for seat, shares in inbox.read(Shares, replies):
        if len(shares.rows) != len(seats) or len(shares.signatures) != SIGNATURE_BYTES * len(seats):
            inbox.note(seat, "it dealt to another number of members")
        elif inbox.accepts_all(seat, shares.signed(state.t1, seats)):  # every row: its holder would blame us for one
            dealt[seat] = shares
    inbox.require(len(dealt))
    ordered = tuple(dealt[seat] for seat in sorted(dealt))
    told = relays(state.plan.sid, t1=state.t1, seats=seats, dealt=ordered)
    requests = {seat: seal(server.identity, told[seat]) for seat in seats if seat in dealt}
    root = dealt_root(columns(ordered, count=len(seats)))
    t2 = second_transcript(state.t1, [shares.seat for shares in ordered], root)
    after = Uploading(plan=state.plan, adverts=state.adverts, t1=state.t1, t2=t2, shares=ordered, faults=inbox.noted())
    return after, requests


def on_uploads(server: Server, state: Uploading, replies: Replies) -> tuple[Agreeing, Requests]:
    """Exchange 4: add the masked vectors as they come, and show who stayed, with a receipt for each.

    Raises:
        ComplaintError: a member complained; nobody's vector is used.
        QuorumLostError: fewer than u_min uploaded.
    """
    manifest = server.manifest
    inbox = Inbox(server.manifest, "upload", state.faults, among=[shares.seat for shares in state.shares])
    total = np.zeros(manifest.encoding.words, np.uint32)
    stayed: dict[int, Survivor] = {}
    accused: dict[int, tuple[int, ...]] = {}
    for seat, reply in replies:
        if _is_complaint(reply):
            for named in inbox.complaint(seat, reply, state.plan.sid):
                accused[named] = (*accused.get(named, ()), seat)
        elif (survivor := _add(inbox, state, seat, reply, total)) is not None:
            stayed[seat] = survivor
        del reply  # large, and the next one is read before the name is given away
    if accused:
        raise ComplaintError(accused)
    inbox.require(len(stayed))
    survivors = tuple(stayed[seat] for seat in sorted(stayed))
    sid = state.plan.sid
    message = Survivors(sid=sid, t2=state.t2, survivors=survivors)
    requests = {
        survivor.seat: seal(
            server.identity,
            message,
            receipt=server.identity.sign("receipt", sid, survivor.seat, survivor.root),
        )
        for survivor in survivors
    }
    after = Agreeing(
        plan=state.plan,
        adverts=state.adverts,
        t1=state.t1,
        t2=state.t2,
        shares=state.shares,
        survivors=survivors,
        agreed=agreement(sid, state.t2, survivors),
        total=total,
        faults=inbox.noted(),
    )
    return after, requests


def _add(inbox: Inbox, state: Uploading, seat: int, reply: bytes, total: Ring) -> Survivor | None:
    """Add a member's masked vector to the total, if it is one; tell who it is from."""
    for _, sent in inbox.read(Upload, [(seat, reply)]):
        if len(sent.body) != 4 * len(total):
            inbox.note(seat, "its vector has another length")
            continue
        root = root_of_chunks("upload", sent.body)
        if inbox.accepts(seat, sent.signature, "upload", state.t2, seat, len(total), root):
            np.add(total, np.frombuffer(sent.body, dtype="<u4"), out=total)
            return Survivor(seat=seat, root=root, signature=sent.signature)
    return None


def on_agreements(server: Server, state: Agreeing, replies: Replies) -> tuple[Unmasking, Requests]:
    """Exchange 5: show that tau members signed the same list.

    Raises:
        QuorumLostError: fewer than tau signed it.
    """
    seats = [survivor.seat for survivor in state.survivors]
    inbox = Inbox(server.manifest, "agree", state.faults, among=seats)
    voices = {}
    for seat, reply in inbox.read(Agree, replies):
        if inbox.accepts(seat, reply.signature, "agree", state.plan.sid, seat, state.agreed):
            voices[seat] = Voice(seat=seat, signature=reply.signature)
    inbox.require(len(voices), needed=server.manifest.tau)
    after = Unmasking(
        plan=state.plan,
        adverts=state.adverts,
        t1=state.t1,
        t2=state.t2,
        shares=state.shares,
        survivors=state.survivors,
        agreed=state.agreed,
        total=state.total.astype("<u4", copy=False).tobytes(),
        voices=tuple(voices[seat] for seat in sorted(voices)[: server.manifest.tau]),
        faults=inbox.noted(),
    )
    return after, unmask_requests(server, after)


def unmask_requests(server: Server, state: Unmasking) -> Requests:
    """Ask for shares whoever signed the list and has not answered; the same bytes each time."""
    message = Certificate(sid=state.plan.sid, agreement=state.agreed, voices=state.voices)
    request = seal(server.identity, message)
    answered = {answer.seat for answer in state.answers}
    return {survivor.seat: request for survivor in state.survivors if survivor.seat not in answered}


def on_unmasks(server: Server, state: Unmasking, replies: Replies) -> Opened | Unmasking:
    """Open the sum once t members have answered; until then keep what came.

    Raises:
        UnusableSumError: the sum is open and not usable, because a dealer's shares do not fit its commitments or
            because somebody masked with other keys.
    """
    seats = [survivor.seat for survivor in state.survivors]
    inbox = Inbox(server.manifest, "unmask", state.faults, among=seats)
    answers = {answer.seat: answer for answer in state.answers}
    for seat, answer in inbox.read(Unmask, replies):
        shares = digest("unmask-shares", answer.shares)
        if len(answer.shares) != 32 * len(state.shares):
            inbox.note(seat, "it sent another number of shares")
        elif inbox.accepts(seat, answer.signature, "unmask", state.agreed, seat, shares):
            answers.setdefault(seat, answer)
    kept = tuple(answers[seat] for seat in sorted(answers))
    state = replace(state, answers=kept, faults=inbox.noted())
    if len(kept) < server.manifest.quorum.t:
        return state
    secrets, faults = open_secrets(server.manifest, state)
    state = replace(state, faults=tuple(dict.fromkeys((*state.faults, *faults))))
    if secrets is None:
        return state
    body = open_sum(server.manifest, state, secrets, threads=server.threads).astype("<u4", copy=False).tobytes()
    outcome = Outcome(
        plan=state.plan,
        t2=state.t2,
        survivors=state.survivors,
        voices=state.voices,
        total=body,
        signature=server.identity.sign("sum", state.agreed, EVERYBODY, root_of_chunks("sum", body)),
    )
    answered = tuple(answer.seat for answer in kept)
    total = np.frombuffer(body, dtype="<u4")
    return Opened(outcome=outcome, total=total, faults=state.faults, secrets=secrets, answered=answered)


def _is_complaint(reply: bytes) -> bool:
    try:
        return kind_of(reply) == f"fedgap/1/{Complaint.KIND}"
    except BadMessageError:
        return False
