"""Which rounds of a period are opened, and the message that says so; everything else is credited by weight.

A round is opened if tau members certified each of its directions and if it shares enough members with the other opened
rounds (`fedgap.secagg.overlap`).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedgap.secagg.account import OpenedRound
from fedgap.secagg.certificates import Listing, slot_name
from fedgap.secagg.clearing import Clearing
from fedgap.secagg.dossier import Dossier, bases_of_round
from fedgap.secagg.evaluation import Row
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.opening import RING, centred, product
from fedgap.secagg.overlap import opened_together
from fedgap.secagg.proposals import Proposal, is_certified
from fedgap.secagg.settlement import (
    AFTER_WINDOW,
    CLASH,
    NO_CERTIFICATE,
    OLDER_MANIFEST,
    UNUSABLE,
    Base,
    LeftOut,
    Reveal,
    RevealedRound,
    agenda_of,
)
from fedgap.secagg.valuation import Weighed

Proposals = Mapping[int, Sequence[Proposal]]
"""The directions of each round, in order of slots."""

Witness = Callable[[bytes, bytes], bytes]
"""Given the name of a slot and D_Q, the witness's signature."""


def choose(
    manifest: Manifest, rounds: Sequence[int], proposals: Proposals, listings: Mapping[int, Listing], *, last: int
) -> tuple[tuple[int, ...], tuple[LeftOut, ...]]:
    """Choose the rounds of a period that are opened, none after the last that counts; say why the others are not."""
    reasons = {
        round_: _obstacle(manifest, proposals.get(round_, ()), listings.get(round_)) if round_ <= last else AFTER_WINDOW
        for round_ in rounds
    }
    could = {round_: listings[round_].seats for round_, reason in reasons.items() if not reason}
    opened = opened_together(could, f=manifest.f)
    left = [LeftOut(round=round_, reason=reasons[round_] or CLASH) for round_ in rounds if round_ not in opened]
    return opened, tuple(left)


def make_reveal(
    manifest: Manifest,
    period: int,
    rounds: Sequence[int],
    proposals: Proposals,
    listings: Mapping[int, Listing],
    *,
    rows: Sequence[Row],
    witness: Witness | None,
    last: int | None = None,
) -> Reveal:
    """Write what is shown of a period, not endorsed yet; rounds after `last` do not count."""
    opened, left = choose(manifest, rounds, proposals, listings, last=max(rounds, default=0) if last is None else last)
    shown = [
        RevealedRound(
            listing=listings[round_],
            directions=tuple(
                proposal.revealed(
                    None if witness is None else witness(slot_name(proposal.agreed, proposal.slot), proposal.said),
                    tau=manifest.tau,
                )
                for proposal in proposals[round_]
            ),
        )
        for round_ in opened
    ]
    return Reveal(manifest=manifest.digest, period=period, rounds=tuple(shown), left_out=left, rows=tuple(rows))


def begin_clearing(
    reveal: Reveal,
    *,
    dossier: Callable[[int], Dossier],
    spooled: Callable[[tuple[int, int], int], bytes],
) -> Clearing:
    """Compute every member's base over the opened rounds, one round and one upload at a time.

    Args:
        reveal: what will be shown.
        dossier: gives that of a round.
        spooled: gives an upload, by (round, attempt) and seat.

    Raises:
        BadMessageError: a spooled upload is not the one in the sum.
    """
    totals: dict[int, list[int]] = {}
    for opened in reveal.rounds:
        plan = opened.listing.plan
        entries = [np.frombuffer(shown.entries, "<i2").astype(np.int16, copy=False) for shown in opened.directions]

        def upload(seat: int, number: tuple[int, int] = plan.number) -> bytes:
            return spooled(number, seat)

        for seat, numbers in bases_of_round(dossier(plan.round), entries, upload).items():
            before = totals.get(seat, [0] * len(numbers))
            totals[seat] = [(one + other) % RING for one, other in zip(before, numbers, strict=True)]
    return Clearing(
        period=reveal.period,
        listed=agenda_of(reveal).listed,
        rounds=tuple(
            OpenedRound(
                round=opened.listing.plan.round,
                attempt=opened.listing.plan.attempt,
                seats=tuple(sorted(opened.listing.seats)),
            )
            for opened in reveal.rounds
        ),
        bases=tuple(Base(seat=seat, values=tuple(totals[seat])) for seat in sorted(totals)),
    )


def weigh(dossier: Dossier, proposals: Sequence[Proposal]) -> Weighed:
    """Compute what a round that is not opened was worth in all: its directions' products with its sum."""
    total = np.frombuffer(dossier.total, dtype="<u4")
    plan = dossier.listing.plan
    return Weighed(
        round=plan.round,
        seats=dossier.listing.seats,
        totals=tuple(centred(product(proposal.direction, total)) for proposal in proposals),
    )


def _obstacle(manifest: Manifest, proposals: Sequence[Proposal], listing: Listing | None) -> str:
    """Why a round cannot be opened, whatever the others are; empty if it can."""
    if listing is None or not proposals or any(proposal.reason for proposal in proposals):
        return UNUSABLE
    if listing.plan.manifest != manifest.digest:
        return OLDER_MANIFEST
    return "" if all(is_certified(manifest, proposal) for proposal in proposals) else NO_CERTIFICATE
