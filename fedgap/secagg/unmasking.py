"""Opening a sum: from t answers back the secrets of every member, and from those the masks to take off.

For a survivor that is its self mask; for a member that dealt shares and did not stay, its mask key, and with it the
masks that the survivors share with it. Every secret is checked against what its dealer committed to. If one does not
fit, each share is checked against the hash its dealer signed: a holder that changed a share is named and the others'
are used; if all are as dealt, the dealer is named and the sum is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fedgap.crypto import leaf_paths
from fedgap.secagg.dealt import columns
from fedgap.secagg.encoding import CANARIES
from fedgap.secagg.errors import UnusableSumError
from fedgap.secagg.evidence import ShareEvidence, fits_dealer, share_fits
from fedgap.secagg.inbox import Fault
from fedgap.secagg.keyring import edge_secret, mask_key, pair_mask, self_mask
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring, masked
from fedgap.secagg.messages import Shares, Unmask, Voice
from fedgap.secagg.shamir import is_element, recover
from fedgap.secagg.transcript import Advert, Plan, Survivor
from fedgap.secagg.wire import Hash, pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmasking:
    """Somebody may have unmasked: only this sum may be opened on this state of the model. Kept on disk until it is.

    Attributes:
        plan: the round.
        adverts: the transcript, with `t1`, `t2`, `shares`, `survivors` and `agreed`.
        total: the sum of the masked vectors, uint32 little-endian.
        voices: tau signatures over D.
        answers: who has unmasked so far.
        faults: answers that were not used.
    """

    KIND: ClassVar[str] = "server-state/unmasking/1"

    plan: Plan
    adverts: tuple[Advert, ...]
    t1: Hash
    t2: Hash
    shares: tuple[Shares, ...]
    survivors: tuple[Survivor, ...]
    agreed: Hash
    total: bytes
    voices: tuple[Voice, ...]
    answers: tuple[Unmask, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Dealt:
    """One dealer's secret and who answered with shares of it."""

    dealer: Shares
    kind: str
    shares: dict[int, bytes] = field(repr=False)


def open_secrets(manifest: Manifest, state: Unmasking) -> tuple[dict[int, bytes] | None, list[Fault]]:
    """Recover each member's secret that the answers open: b of a survivor, sigma of another.

    Returns:
        the secrets by seat, or None if too few honest answers are there yet; and who answered with a wrong share.

    Raises:
        UnusableSumError: a dealer's shares do not fit what it committed to.
    """
    survivors = {survivor.seat for survivor in state.survivors}
    secrets: dict[int, bytes] = {}
    faults: list[Fault] = []
    enough = True
    for index, dealer in enumerate(state.shares):
        dealt = _Dealt(
            dealer,
            "b" if dealer.seat in survivors else "sigma",
            {answer.seat: answer.shares[32 * index : 32 * index + 32] for answer in state.answers},
        )
        secret, wrong = _open(manifest, state, dealt)
        faults += wrong
        if secret is None:
            enough = False
        else:
            secrets[dealer.seat] = secret
    return (secrets if enough else None), faults


def open_sum(manifest: Manifest, state: Unmasking, secrets: dict[int, bytes], *, threads: int = 1) -> Ring:
    """Take every mask off the sum.

    Raises:
        UnusableSumError: the canaries do not count the survivors.
    """
    survivors = [survivor.seat for survivor in state.survivors]
    public = {advert.seat: advert.mask_public for advert in state.adverts}
    sid = state.plan.sid
    plus: list[bytes] = []
    minus: list[bytes] = []
    for seat, secret in secrets.items():
        if seat in survivors:
            minus.append(self_mask(secret, sid, seat))
            continue
        key = mask_key(secret, sid, seat)
        for other in survivors:
            mask = pair_mask(edge_secret(key, public[other], t1=state.t1, seats=(seat, other)))
            (minus if other < seat else plus).append(mask)
    total = masked(np.frombuffer(state.total, dtype="<u4"), plus=plus, minus=minus, threads=threads)
    start = manifest.encoding.parameters + manifest.encoding.statistics
    if any(total[start : start + CANARIES] != len(survivors)):
        raise UnusableSumError("The canaries of the sum do not count its members: somebody masked with other keys.")
    return total


def _open(manifest: Manifest, state: Unmasking, dealt: _Dealt) -> tuple[bytes | None, list[Fault]]:
    """Open one secret; with the first t answers if they fit, else with those whose shares are as dealt."""
    sid, t = state.plan.sid, manifest.quorum.t
    first = dict(list(dealt.shares.items())[:t])
    secret = recover(first) if all(map(is_element, first.values())) else b""
    if fits_dealer(secret, sid=sid, adverts=state.adverts, dealer=dealt.dealer, kind=dealt.kind):
        return secret, []
    positions = {advert.seat: position for position, advert in enumerate(state.adverts)}
    right = {
        holder: share
        for holder, share in dealt.shares.items()
        if share_fits(share, dealer=dealt.dealer, position=positions[holder], kind=dealt.kind)
    }
    faults = [
        Fault(
            seat=holder,
            exchange="unmask",
            reason="a share is not the one it was dealt",
            evidence=pack(_proof(state, dealt.dealer, accused=holder, of_dealing=False, holders=[holder])),
        )
        for holder in dealt.shares.keys() - right.keys()
    ]
    if len(right) < t:
        return None, faults
    chosen = dict(list(right.items())[:t])
    secret = recover(chosen)
    if fits_dealer(secret, sid=sid, adverts=state.adverts, dealer=dealt.dealer, kind=dealt.kind):
        return secret, faults
    raise UnusableSumError(
        f"The key shares that member {dealt.dealer.seat} dealt do not open what it committed to.",
        evidence=pack(_proof(state, dealt.dealer, accused=dealt.dealer.seat, of_dealing=True, holders=list(chosen))),
    )


def _proof(
    state: Unmasking, dealer: Shares, *, accused: int, of_dealing: bool, holders: Sequence[int]
) -> ShareEvidence:
    """Gather what shows others that a holder changed a share, or that a dealer dealt shares that do not fit."""
    answers = tuple(answer for answer in state.answers if answer.seat in holders)
    positions = {advert.seat: position for position, advert in enumerate(state.adverts)}
    index = state.shares.index(dealer)
    return ShareEvidence(
        accused=accused,
        of_dealing=of_dealing,
        sid=state.plan.sid,
        adverts=state.adverts,
        dealers=tuple(shares.seat for shares in state.shares),
        columns=columns(state.shares, count=len(state.adverts)),
        survivors=state.survivors,
        dealer=dealer,
        answers=answers,
        paths=tuple(
            leaf_paths([shares.slips[positions[answer.seat]] for shares in state.shares])[index] for answer in answers
        ),
    )
