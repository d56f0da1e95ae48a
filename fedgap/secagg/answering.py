"""The numbers an organisation opens: for every peer one, the directions' product with the masks of their edge.

An edge is answered in full or not at all: a part of its rounds would be another number. Our own product and the total
are computed at the same time, so that the statement can be checked when the directions are long gone.
"""

from collections.abc import Sequence

import numpy as np

from fedgap.crypto import Identity
from fedgap.errors import FedgapError
from fedgap.records import EdgeAnswer, OpeningAnswered, sign_record
from fedgap.secagg.account import Shelf, name, sum_name
from fedgap.secagg.inspection import entries_of
from fedgap.secagg.keyring import pair_mask
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.me import Me
from fedgap.secagg.opening import RING, mask_products, product
from fedgap.secagg.settlement import Answer, Report, Reveal, Word, reports_digest
from fedgap.secagg.states import Kept
from fedgap.secagg.wire import unpack


def make_answer(
    me: Me, context: bytes, period: int, listed: bytes, reports: tuple[Report, ...], *, origin: bytes
) -> Answer:
    """Sign the numbers for the peers, and the same as the ledger's records.

    Args:
        me: who we are.
        context: of the settlement (see `fedgap.secagg.settlement.settling`).
        period: which.
        listed: digest of the list of rounds and directions.
        reports: the numbers.
        origin: digest of the federation's first manifest.
    """
    identity: Identity = me.identity
    said = reports_digest(listed, reports)
    records = records_of_answer(me.manifest, me.seat, period, listed, reports)
    return Answer(
        seat=me.seat,
        period=period,
        listed=listed,
        reports=reports,
        signature=identity.sign("answer", context, me.seat, said),
        recorded=tuple(sign_record(record, identity, origin=origin) for record in records),
    )


def records_of_answer(
    manifest: Manifest, seat: int, period: int, listed: bytes, reports: Sequence[Report]
) -> list[OpeningAnswered]:
    """Write an answer as the ledger's records, one for each opening; server and organisation write the same."""
    ids = [member.id for member in manifest.members]
    return [
        OpeningAnswered(
            period=period,
            opening=slot + 1,
            organisation=ids[seat],
            listed=listed,
            answers=tuple(
                EdgeAnswer(peer=ids[report.peer], answer=report.values[slot] if report.values else None)
                for report in reports
            ),
        )
        for slot in range(manifest.openings)
    ]


def open_numbers(me: Me, shelf: Shelf, reveal: Reveal) -> tuple[tuple[Report, ...], tuple[Word, ...] | None]:
    """Sum the products of the directions with each edge's masks, and with our own updates.

    Returns:
        one report for each peer that any listed round names beside us; and our own products, None if one is lost.
    """
    openings = me.manifest.openings
    sums: dict[int, list[int]] = {}
    missing: set[int] = set()
    own, whole = [0] * openings, True
    for opened in reveal.rounds:
        peers = opened.listing.seats - {me.seat}
        if len(peers) == len(opened.listing.seats):
            continue
        for peer in peers:
            sums.setdefault(peer, [0] * openings)
        entries = [entries_of(me.manifest, revealed) for revealed in opened.directions]
        found = kept_of(shelf, opened.listing.plan.number)
        if found is None:
            missing |= peers
            whole = False
            continue
        kept, update = found
        own = [(number + product(q, update)) % RING for number, q in zip(own, entries, strict=True)]
        masks = [pair_mask(edge.secret) for edge in kept.edges if edge.seat in peers]
        seats = [edge.seat for edge in kept.edges if edge.seat in peers]
        missing |= peers - set(seats)
        for seat, numbers in zip(seats, mask_products(entries, masks), strict=True):
            sums[seat] = [(one + other) % RING for one, other in zip(sums[seat], numbers, strict=True)]
    reports = [Report(peer=peer, values=() if peer in missing else tuple(sums[peer])) for peer in sorted(sums)]
    return tuple(reports), tuple(own) if whole else None


def total_of(me: Me, shelf: Shelf, reveal: Reveal) -> tuple[Word, ...] | None:
    """The directions' products with the sums; None if we never received one of them."""
    totals = [0] * me.manifest.openings
    for opened in reveal.rounds:
        plan = opened.listing.plan
        try:
            total = np.frombuffer(shelf.get(sum_name(plan.round, plan.manifest)), dtype="<u4")
        except (KeyError, FedgapError):
            return None
        for slot, revealed in enumerate(opened.directions):
            totals[slot] = (totals[slot] + product(entries_of(me.manifest, revealed), total)) % RING
    return tuple(totals)


def kept_of(shelf: Shelf, number: tuple[int, int]) -> tuple[Kept, Ring] | None:
    """Secrets and own encoded update of a round; None if they are lost."""
    try:
        return unpack(Kept, shelf.get(name(number, "kept"))), np.frombuffer(
            shelf.get(name(number, "update")), dtype="<u4"
        )
    except (KeyError, FedgapError):
        return None
