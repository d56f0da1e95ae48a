"""What opened numbers are worth: exact fractions of a utility unit, how far each was checked, and the ledger's records.

    value of a member = its count / (g S)                 its bloc's exact sum, split by weight, if it is contracted
                      + its weight's part of every round of the period that was left out

So the values of a period add up to the directions' products with all its sums, exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fedgap.ids import OrgId
from fedgap.records import ContributionEstimated, CreditConfirmed, CreditObjected, DirectionCommitted, OpeningAnswered
from fedgap.records import Verdict as VerdictRecord
from fedgap.records import Voice as RecordedVoice
from fedgap.secagg.answering import records_of_answer
from fedgap.secagg.credit import PROVISIONAL, edges, shared_pairs
from fedgap.secagg.inbox import Fault
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.proposals import Proposal
from fedgap.secagg.reaction import record_of_reaction
from fedgap.secagg.settlement import LeftOut, Reaction, Statement

BY_WEIGHT, VERIFIED, CONTRACTED = "by-weight", "verified", "contracted"
LIED = "settlement.lied-about-edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A round that is credited by weight: who stayed, and its totals in counts, one for each opening."""

    round: int
    seats: frozenset[int]
    totals: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """What one member gets out of a settlement.

    Attributes:
        seat, organisation: whose.
        values: in utility units, one for each opening; with two, either estimates the value from half of the rows.
        weight: its share of the roster's weight.
        standing: verified, provisional, contracted or by-weight.
        flags: what a reader must know, in alphabetical order.
        vouched_by: peers on whose word alone an edge of it rests.
    """

    seat: int
    organisation: OrgId
    values: tuple[Fraction, ...]
    weight: Fraction
    standing: str
    flags: tuple[str, ...]
    vouched_by: tuple[OrgId, ...]

    @property
    def value(self) -> Fraction:
        """The mean over the openings."""
        return sum(self.values, Fraction(0)) / len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One settled period.

    Attributes:
        period: which, from 1.
        statement: the last one.
        valued: every member of the roster, in order of seats.
        totals: what the values add up to, one for each opening.
        left_out: rounds credited by weight, and why.
        reactions: who confirmed it or objected.
        kept: the smallest part of a direction that fitted its bound; 1 unless one was scaled down.
        faults: answers that were not used.
        before: the same for the period's rounds under the roster before this one; its values are in these already.
    """

    period: int
    statement: Statement
    valued: tuple[Valued, ...]
    totals: tuple[Fraction, ...]
    left_out: tuple[LeftOut, ...]
    reactions: tuple[Reaction, ...]
    kept: float
    faults: tuple[Fault, ...] = ()
    before: "Settlement | None" = None

    @property
    def parts(self) -> "tuple[Settlement, ...]":
        """One for each roster of the period, oldest first; each with the values so far."""
        return (*(self.before.parts if self.before is not None else ()), self)


def valued(
    manifest: Manifest,
    statement: Statement,
    rounds: Sequence[frozenset[int]],
    weighed: Sequence[Weighed],
    *,
    unit: Fraction,
    flags: Mapping[int, frozenset[str]],
) -> tuple[Valued, ...]:
    """Turn a statement into values.

    Args:
        manifest: with the weights.
        statement: the counts.
        rounds: who stayed in each opened round.
        weighed: the other rounds of the period; all of them if the statement has no counts.
        unit: utility of one count, exact.
        flags: what else a reader must know, by seat.
    """
    weights = [member.weight for member in manifest.members]
    counts = [[Fraction(0)] * manifest.openings for _ in weights]
    standing, vouched = [BY_WEIGHT] * len(weights), [set[OrgId]() for _ in weights]
    for bloc in statement.blocs:
        _share(counts, bloc.seats, bloc.values, weights)
        for seat in bloc.seats:
            standing[seat] = VERIFIED if len(bloc.seats) == 1 else CONTRACTED
    for round_ in weighed:
        _share(counts, sorted(round_.seats), round_.totals, weights)
    known = edges(shared_pairs(rounds), statement.answers, statement.judged) if statement.bases else []
    for edge in known:
        if edge.state == PROVISIONAL and edge.voucher is not None:
            for seat in (edge.low, edge.high):
                vouched[seat].add(manifest.members[edge.voucher].id)
                standing[seat] = standing[seat] if standing[seat] == CONTRACTED else PROVISIONAL
    part = {seat for round_ in weighed for seat in round_.seats}
    liars = {seat for judged in statement.judged for seat in judged.liars}
    total = sum(weights)
    return tuple(
        Valued(
            seat=seat,
            organisation=member.id,
            values=tuple(count * unit for count in counts[seat]),
            weight=Fraction(member.weight, total),
            standing=standing[seat],
            flags=tuple(
                sorted(
                    flags.get(seat, frozenset())
                    | ({"vouched"} if vouched[seat] else set())
                    | ({"partly-by-weight"} if seat in part and standing[seat] != BY_WEIGHT else set())
                    | ({"lied"} if seat in liars else set())
                )
            ),
            vouched_by=tuple(sorted(vouched[seat])),
        )
        for seat, member in enumerate(manifest.members)
    )


def direction_records(manifest: Manifest, proposals: Sequence[Proposal]) -> list[DirectionCommitted]:
    """The server's records of the certified directions."""
    return [
        DirectionCommitted(
            round=proposal.round,
            slot=proposal.slot,
            commitment=proposal.hidden,
            voices=tuple(
                RecordedVoice(organisation=manifest.members[voice.seat].id, signature=voice.signature)
                for voice in proposal.voices
            ),
        )
        for proposal in proposals
        if len(proposal.voices) >= manifest.tau
    ]


def server_records(
    settlement: Settlement, intervals: Mapping[OrgId, tuple[Fraction, Fraction]]
) -> list[ContributionEstimated | VerdictRecord]:
    """The server's records of a settlement: everybody's value, and every proven fault.

    Args:
        settlement: what was opened.
        intervals: 95 % interval of a value in utility units, where there is one.
    """
    said = settlement.statement.digest  # once: thousands may have a value
    estimated = [
        ContributionEstimated(
            period=settlement.period,
            organisation=one.organisation,
            value=one.value,
            low=intervals.get(one.organisation, (None, None))[0],
            high=intervals.get(one.organisation, (None, None))[1],
            weight=one.weight,
            standing=one.standing,
            flags=one.flags,
            vouched_by=one.vouched_by,
            statement=said,
        )
        for one in settlement.valued
    ]
    verdicts = [
        VerdictRecord(
            period=settlement.period,
            organisation=settlement.valued[seat].organisation,
            fault=LIED,
            evidence=judged.evidence,
        )
        for judged in settlement.statement.judged
        for seat in judged.liars
    ]
    return [*estimated, *verdicts]


def member_records(
    manifest: Manifest, settlement: Settlement
) -> list[tuple[OpeningAnswered | CreditConfirmed | CreditObjected, bytes]]:
    """The members' records of a settlement, each with its member's signature."""
    found: list[tuple[OpeningAnswered | CreditConfirmed | CreditObjected, bytes]] = []
    said = settlement.statement
    for answer in said.answers:
        records = records_of_answer(manifest, answer.seat, said.period, said.listed, answer.reports)
        found += zip(records, answer.recorded, strict=True)
    for reaction in settlement.reactions:
        record = record_of_reaction(manifest, reaction.seat, said.period, said.digest, reaction.code)
        found.append((record, reaction.recorded))
    return found


def _share(counts: list[list[Fraction]], seats: Sequence[int], totals: Sequence[int], weights: Sequence[int]) -> None:
    """Split exact totals among members by weight; equally if none of them has one."""
    whole = sum(weights[seat] for seat in seats)
    for seat in seats:
        part = Fraction(weights[seat], whole) if whole else Fraction(1, len(seats))
        for slot, total in enumerate(totals):
            counts[seat][slot] += total * part
