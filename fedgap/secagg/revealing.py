"""Which rounds of a period are opened, and the message that says so; everything else is credited by weight.

A round is opened if tau members certified each of its directions and if it shares enough members with the other opened
rounds of its tenure (`fedgap.secagg.overlap`, `fedgap.secagg.tenures`).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedgap.secagg.account import OpenedRound
from fedgap.secagg.certificates import Listing, slot_name
from fedgap.secagg.clearing import Clearing
from fedgap.secagg.dossier import Dossier, bases_of_round
from fedgap.secagg.evaluation import Row
from fedgap.secagg.opening import RING, centred, product
from fedgap.secagg.overlap import opened_together
from fedgap.secagg.proposals import Proposal, is_certified
from fedgap.secagg.settlement import (
    AFTER_WINDOW,
    CLASH,
    NO_CERTIFICATE,
    NO_ROOM,
    OTHER_ROSTER,
    UNUSABLE,
    Base,
    LeftOut,
    Reveal,
    RevealedRound,
    agenda_of,
)
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.valuation import Weighed

Proposals = Mapping[int, Sequence[Proposal]]
"""The directions of each round, in order of slots."""

Witness = Callable[[bytes, bytes], bytes]
"""Given the name of a slot and D_Q, the witness's signature."""


def choose(
    tenure: Tenure,
    rounds: Sequence[int],
    proposals: Proposals,
    listings: Mapping[int, Listing],
    *,
    last: int,
    room: bool = True,
) -> tuple[tuple[int, ...], tuple[LeftOut, ...]]:
    """Choose the rounds of a period that are opened for a tenure; say why the others are not.

    Args:
        tenure: whose rounds.
        rounds: of the period.
        proposals: their directions.
        listings: their survivors, where there is a sum.
        last: the last round that counts.
        room: whether one more opening is within the bound on periods.
    """
    reasons = {
        round_: _obstacle(tenure, proposals.get(round_, ()), listings.get(round_), is_late=round_ > last, has_room=room)
        for round_ in rounds
    }
    could = {round_: listings[round_].seats for round_, reason in reasons.items() if not reason}
    opened = opened_together(could, f=tenure.manifest.f)
    left = [LeftOut(round=round_, reason=reasons[round_] or CLASH) for round_ in rounds if round_ not in opened]
    return opened, tuple(left)


def make_reveal(  # noqa: PLR0913 - what a period has
    tenure: Tenure,
    period: int,
    rounds: Sequence[int],
    proposals: Proposals,
    listings: Mapping[int, Listing],
    *,
    rows: Sequence[Row],
    witness: Witness | None,
    last: int | None = None,
    room: bool = True,
) -> Reveal:
    """Write what is shown of a tenure's part of a period, not endorsed yet; arguments as in `choose`."""
    last = max(rounds, default=0) if last is None else last
    opened, left = choose(tenure, rounds, proposals, listings, last=last, room=room)
    shown = [
        RevealedRound(
            listing=listings[round_],
            directions=tuple(
                proposal.revealed(
                    None if witness is None else witness(slot_name(proposal.agreed, proposal.slot), proposal.said),
                    tau=tenure.manifest.tau,
                )
                for proposal in proposals[round_]
            ),
        )
        for round_ in opened
    ]
    return Reveal(manifest=tenure.name, period=period, rounds=tuple(shown), left_out=left, rows=tuple(rows))


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


def _obstacle(
    tenure: Tenure, proposals: Sequence[Proposal], listing: Listing | None, *, is_late: bool, has_room: bool
) -> str:
    """Why a round cannot be opened, whatever the others are; empty if it can."""
    if listing is not None and listing.plan.manifest not in tenure.versions:
        return OTHER_ROSTER
    if is_late:
        return AFTER_WINDOW
    if not has_room:
        return NO_ROOM
    if listing is None or not proposals or any(proposal.reason for proposal in proposals):
        return UNUSABLE
    return "" if all(is_certified(tenure.manifest, proposal) for proposal in proposals) else NO_CERTIFICATE
