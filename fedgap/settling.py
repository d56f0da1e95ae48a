"""SETTLEMENT: one number for each organisation and period, opened from the uploads that were aggregated.

    close     the closing exchange after the last round: everything that is not certified yet
    settle    agenda -> reveal -> answers -> disputes -> statement -> confirmations
    tell      the statement again, to those who were away

The rounds themselves are run with a `Desk`, which keeps what is needed here; of a period with several rosters each part
is settled with its own (`Desk.parts`). A settlement can be interrupted at any
point and called again: what was signed is sent again, byte for byte, and what was answered is not asked again. What the
exchanges mean stands in `fedgap.secagg.settlement`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from fedgap.secagg import clearing
from fedgap.secagg.certificates import Listing
from fedgap.secagg.clearing import Clearing
from fedgap.secagg.desk import Desk, Votes, blob
from fedgap.secagg.directions import unit
from fedgap.secagg.errors import SecaggError
from fedgap.secagg.evaluation import Row
from fedgap.secagg.inspection import inspect
from fedgap.secagg.local import Cohort
from fedgap.secagg.messages import Outcome
from fedgap.secagg.proposals import Proposal
from fedgap.secagg.reach import out_of_reach
from fedgap.secagg.revealing import Witness, begin_clearing, make_reveal, weigh
from fedgap.secagg.settlement import (
    AFTER_WINDOW,
    NO_ROOM,
    OTHER_ROSTER,
    Close,
    Reaction,
    Reveal,
    Statement,
    agenda_of,
    read_settlement,
    seal_settlement,
)
from fedgap.secagg.valuation import Settlement, Valued, valued
from fedgap.secagg.wire import Seat, pack, unpack

OBJECTED, SCALED_DOWN, UNSETTLED = "objected", "scaled-down", "unsettled"
OUT_OF_REACH = "out-of-reach"
SERVER_CHOOSES = "server-chooses-directions"
_MEANT = frozenset({AFTER_WINDOW, NO_ROOM, OTHER_ROSTER})
"""Reasons for which a whole list may be empty without anybody having failed to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Members that reacted to a final statement, in order of seats."""

    KIND: ClassVar[str] = "server-state/told/1"

    seats: tuple[Seat, ...]


class NothingToSettleError(SecaggError):
    """A period cannot be settled: no round of it has a sum, or none has a direction."""

    code = "settlement.nothing-to-settle"
    remedy = "Pay by weight for this period; look at why its rounds ended without a sum."


def close(desk: Desk, cohort: Cohort, outcome: Outcome) -> frozenset[int]:
    """Run the closing exchange: after it no member trains any more, and rows may be shown.

    Args:
        desk: what the server keeps.
        cohort: who can be asked.
        outcome: of the last round.

    Returns:
        the seats that answered. Those that did not are asked again, with the same bytes, when they settle.
    """
    request = _closing(desk, outcome)
    return _ask_to_close(desk, cohort, range(len(desk.manifest.members)), request)


def settle(
    desk: Desk,
    cohort: Cohort,
    period: int,
    *,
    rows: Sequence[Row] = (),
    witness: Witness | None = None,
    exchanges: int | None = None,
    last: int | None = None,
    final: bool = True,
) -> Settlement:
    """Open a period: ask, resolve contradictions, state what follows, and hear what members say to it.

    Args:
        desk: what the server keeps.
        cohort: who can be asked.
        period: which, from 1.
        rows: the committed rows, to be shown.
        witness: signs each direction, if the manifest names one.
        exchanges: how often silent members are asked; None takes the manifest's number.
        last: the last round that counts (the causal window); None: all do. The first call decides.
        final: whether this is the last call: what is missing then stays missing, and members erase their secrets.

    Raises:
        NothingToSettleError: the period has no round with a sum and a direction.
        BadServerMessageError: members would refuse what is to be shown; nothing was sent.
    """
    proposals = {round_: desk.proposals(round_) for round_ in _rounds(desk, period)}
    if not any(proposals.values()):
        raise NothingToSettleError(f"No round of period {period} has a sum and a direction.")
    draft, state = _begin(desk, period, proposals, rows, witness, last=last)
    if state.revision == 0 or not _stated(desk, state).final:
        state = _collect(desk, cohort, state, draft, exchanges or desk.manifest.confirm_exchanges)
        state = _resolve(desk, cohort, state)
        state, said = clearing.state_it(desk.tenure, state, final=final)
        desk.archive.put(desk.blob("statement", period, state.revision), pack(said))
        _keep(desk, state)
    return _conclude(desk, cohort, state, draft, proposals)


def tell(desk: Desk, cohort: Cohort, period: int) -> list[Reaction]:
    """Send a period's final statement to the members that have not reacted to it, so that they erase what it needed.

    Returns:
        their reactions; none if there is no final statement.
    """
    name = desk.blob("clearing", period)
    state = unpack(Clearing, desk.archive.get(name)) if desk.archive.has(name) else None
    if state is None or state.revision == 0:
        return []
    said = _stated(desk, state)
    if not said.final:
        return []
    return _hear(desk, cohort, said, set(range(len(desk.manifest.members))) - _told(desk, period))


def discard(desk: Desk, period: int) -> None:
    """Erase the uploads and directions of a settled period: from now on nobody can compute its values again."""
    for round_ in desk.opened_rounds(period):
        listing = desk.dossier(round_).listing
        desk.archive.drop(listing.plan.number, sorted(listing.seats))
        desk.archive.erase([blob("directed", round_)])


def _rounds(desk: Desk, period: int) -> list[int]:
    """The rounds of a period with a sum that ran under the desk's tenure."""
    return [r for r in desk.opened_rounds(period) if desk.tenure_of_round(r) is desk.tenure]


def _closing(desk: Desk, outcome: Outcome) -> bytes:
    """Write the closing request once."""
    name = blob("close")
    if not desk.archive.has(name):
        close_ = Close(
            manifest=desk.tenure.name,
            outcome=outcome,
            offers=desk.offers(outcome),
            checkpoint=desk.checkpoint(),
        )
        desk.archive.put(name, seal_settlement(desk.server.identity, close_))
    return desk.archive.get(name)


def _ask_to_close(desk: Desk, cohort: Cohort, seats: Iterable[int], request: bytes) -> frozenset[int]:
    """Ask for signatures over what the closing request offers; count them, and say who answered.

    At the seats of an older roster, members hear that the run is closed, and no more: they sign with seats of now.
    """
    answered: set[int] = set()

    def heard(replies: Iterable[tuple[int, bytes]]) -> Iterable[tuple[int, bytes]]:
        for seat, reply in replies:
            answered.add(seat)
            yield seat, reply

    replies = heard(cohort.exchange(dict.fromkeys(seats, request)))
    if desk.tenure is desk.tenures[-1]:
        sent = read_settlement(desk.manifest.server, request)
        assert isinstance(sent, Close)  # noqa: S101 - it is what was kept under this name; tells mypy
        desk.expect(sent.offers, sent.outcome)
        replies = desk.joined(replies)
    deque(replies, maxlen=0)
    return frozenset(answered)


def _begin(
    desk: Desk,
    period: int,
    proposals: Mapping[int, Sequence[Proposal]],
    rows: Sequence[Row],
    witness: Witness | None,
    *,
    last: int | None,
) -> tuple[Reveal, Clearing]:
    """Decide once what is opened, compute the bases, and keep both before anybody is asked."""
    archive, state = desk.archive, desk.blob("clearing", period)
    if not archive.has(state):
        listings: dict[int, Listing] = {r: desk.dossier(r).listing for r in desk.opened_rounds(period)}
        rounds, room = desk.periods.rounds_of(period), desk.has_room(period)
        draft = make_reveal(
            desk.tenure, period, rounds, proposals, listings, rows=rows, witness=witness, last=last, room=room
        )
        fresh = begin_clearing(draft, dossier=desk.dossier, spooled=archive.uploaded)
        archive.put(desk.blob("draft", period), pack(draft))
        archive.put(desk.blob("agenda", period), seal_settlement(desk.server.identity, agenda_of(draft)))
        archive.put(state, pack(fresh))
    return unpack(Reveal, archive.get(desk.blob("draft", period))), unpack(Clearing, archive.get(state))


def _collect(desk: Desk, cohort: Cohort, state: Clearing, draft: Reveal, exchanges: int) -> Clearing:
    """Ask until all have answered or the exchanges are used up: first to close the run, then for the one list.

    Members that are in none of the opened rounds are asked once: they have nothing to open, and check all the same.
    """
    closing, shown = blob("close"), desk.blob("reveal", state.period)
    idle = set(range(len(desk.manifest.members))) - {base.seat for base in state.bases}
    for _ in range(exchanges):
        if not state.silent:
            break
        if desk.archive.has(closing):
            _ask_to_close(desk, cohort, sorted(state.silent | idle), desk.archive.get(closing))
        if not desk.archive.has(shown):
            _ask_to_endorse(desk, cohort, draft)
        if desk.archive.has(shown):
            replies = cohort.exchange(dict.fromkeys(sorted(state.silent | idle), desk.archive.get(shown)))
            idle = set()
            state = clearing.on_answers(desk.tenure, state, replies, origin=desk.origin)
            _keep(desk, state)
    return state


def _ask_to_endorse(desk: Desk, cohort: Cohort, draft: Reveal) -> None:
    """Ask for signatures over the list; with tau of them the rows may be shown."""
    manifest, votes = desk.manifest, desk.blob("endorsed", draft.period)
    agenda = agenda_of(draft)
    kept = unpack(Votes, desk.archive.get(votes)).voices if desk.archive.has(votes) else ()
    voices = {voice.seat: voice for voice in kept}
    missing = sorted(set(range(len(manifest.members))) - voices.keys())
    for seat, reply in cohort.exchange(dict.fromkeys(missing, desk.archive.get(desk.blob("agenda", draft.period)))):
        voice = clearing.endorsement(manifest, agenda, seat, reply)
        if voice is not None:
            voices[seat] = voice
    ordered = tuple(voices[seat] for seat in sorted(voices))
    desk.archive.put(votes, pack(Votes(voices=ordered)))
    if len(ordered) >= manifest.tau:
        reveal = replace(draft, voices=ordered[: manifest.tau])
        inspect(desk.tenure, desk.evaluation, reveal)
        desk.archive.put(desk.blob("reveal", draft.period), seal_settlement(desk.server.identity, reveal))


def _resolve(desk: Desk, cohort: Cohort, state: Clearing) -> Clearing:
    """Have every contradiction opened, edge by edge, and keep the evidence of who lied."""
    for edge in clearing.disputes(state):
        requests = clearing.challenge(desk.tenure, desk.server.identity, state, edge)
        state, proof = clearing.judge(
            desk.tenure,
            desk.evaluation,
            state,
            edge,
            cohort.exchange(requests),
            reveal=desk.archive.get(desk.blob("reveal", state.period)),
            dossier=desk.dossier,
        )
        if proof is not None:
            desk.archive.put(desk.blob("evidence", state.period, edge.low, edge.high), pack(proof))
        _keep(desk, state)
    return state


def _conclude(
    desk: Desk, cohort: Cohort, state: Clearing, draft: Reveal, proposals: Mapping[int, Sequence[Proposal]]
) -> Settlement:
    """Send the statement, hear what members say to it, and turn counts into values."""
    manifest, said = desk.manifest, _stated(desk, state)
    reactions = _hear(desk, cohort, said, range(len(manifest.members)))
    opened = {one.listing.plan.round for one in draft.rounds} if said.bases else set()
    opened |= {gone.round for gone in draft.left_out if gone.reason == AFTER_WINDOW}
    closed = [(desk.dossier(round_), found) for round_, found in proposals.items() if round_ not in opened]
    weighed = [weigh(kept, found) for kept, found in closed]
    some = next(proposal for found in proposals.values() for proposal in found)
    kept = min(proposal.kept for found in proposals.values() for proposal in found)
    per_count = unit(manifest.encoding, some.scale)
    beyond = out_of_reach(manifest, draft.rounds, said.blocs)
    flags = _flags(desk, said, draft, kept, {reaction.seat for reaction in reactions if reaction.code}, beyond)
    rounds = [one.listing.seats for one in draft.rounds]
    values = valued(manifest, said, rounds, weighed, unit=per_count, flags=flags)
    return Settlement(
        period=state.period,
        statement=said,
        valued=values,
        totals=_totals(values, manifest.openings),
        left_out=draft.left_out,
        reactions=tuple(reactions),
        kept=kept,
        faults=state.faults,
    )


def _hear(desk: Desk, cohort: Cohort, said: Statement, seats: Iterable[int]) -> list[Reaction]:
    """Send a statement, and keep who reacted."""
    request = seal_settlement(desk.server.identity, said)
    replies = cohort.exchange(dict.fromkeys(sorted(seats), request))
    reactions = clearing.on_reactions(desk.manifest, said, replies, origin=desk.origin)
    told = _told(desk, said.period) | {reaction.seat for reaction in reactions}
    if said.final:
        desk.archive.put(desk.blob("told", said.period), pack(Told(seats=tuple(sorted(told)))))
    return reactions


def _told(desk: Desk, period: int) -> set[int]:
    """Who reacted to a period's final statement."""
    name = desk.blob("told", period)
    return set(unpack(Told, desk.archive.get(name)).seats) if desk.archive.has(name) else set()


def _flags(
    desk: Desk, said: Statement, draft: Reveal, kept: float, objecting: set[int], beyond: frozenset[int]
) -> dict[int, frozenset[str]]:
    """What a reader must know about everybody's value."""
    reasons = {gone.reason for gone in draft.left_out}
    everybody = {
        UNSETTLED: not said.bases and not (reasons <= _MEANT and not draft.rounds),
        NO_ROOM: NO_ROOM in reasons,
        SCALED_DOWN: kept < 1,
        SERVER_CHOOSES: desk.evaluation.source == "server_chooses_directions",
    }
    common = {flag for flag, is_so in everybody.items() if is_so}
    return {
        seat: frozenset(
            common | ({OBJECTED} if seat in objecting else set()) | ({OUT_OF_REACH} if seat in beyond else set())
        )
        for seat in range(len(desk.manifest.members))
    }


def _totals(values: Sequence[Valued], openings: int) -> tuple[Fraction, ...]:
    return tuple(sum((one.values[slot] for one in values), Fraction(0)) for slot in range(openings))


def _stated(desk: Desk, state: Clearing) -> Statement:
    return unpack(Statement, desk.archive.get(desk.blob("statement", state.period, state.revision)))


def _keep(desk: Desk, state: Clearing) -> None:
    desk.archive.put(desk.blob("clearing", state.period), pack(state))
