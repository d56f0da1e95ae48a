"""From answers to values: every edge has one number, no number, or two that contradict each other.

    both equal        verified
    both, different   dispute: contracted until the edge is opened and a liar is named
    one               provisional: used, on the word of the end that gave it
    none              contracted: only the exact sum of both ends is known

    value of i = <q, upload of i> - own masks -/+ r_ij for every edge that is known

Contracted members form a bloc. Inside it the masks cancel, so its sum is exact, and the blocs add up to the direction's
product with the sums whatever anybody answers: colluders can only move credit among themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedgap.secagg.opening import centred
from fedgap.secagg.settlement import Answer, Base, Bloc, Judged, Statement

VERIFIED, PROVISIONAL, CONTRACTED, DISPUTE = "verified", "provisional", "contracted", "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What is known of the masks between two members.

    Attributes:
        low, high: its ends.
        state: verified, provisional, contracted or dispute.
        values: r_ij, one for each opening; empty if contracted or disputed.
        voucher: the end whose word alone stands for a provisional edge.
    """

    low: int
    high: int
    state: str
    values: tuple[int, ...] = ()
    voucher: int | None = None


def shared_pairs(rounds: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """List the pairs of members that any of these lists of survivors names together."""
    distinct = {frozenset(seats) for seats in rounds}
    return sorted({(i, j) for seats in distinct for i in seats for j in seats if i < j})


def edges(pairs: Sequence[tuple[int, int]], answers: Iterable[Answer], judged: Iterable[Judged]) -> list[Edge]:
    """Compare what both ends of every edge said."""
    said = {(answer.seat, report.peer): report.values for answer in answers for report in answer.reports}
    true = {(verdict.low, verdict.high): verdict.values for verdict in judged}
    return [_edge(low, high, said, true) for low, high in pairs]


def _edge(
    low: int,
    high: int,
    said: Mapping[tuple[int, int], tuple[int, ...]],
    true: Mapping[tuple[int, int], tuple[int, ...]],
) -> Edge:
    one, other = said.get((low, high), ()), said.get((high, low), ())
    if one and other:
        if one == other:
            return Edge(low=low, high=high, state=VERIFIED, values=one)
        if (low, high) in true:
            return Edge(low=low, high=high, state=VERIFIED, values=true[low, high])
        return Edge(low=low, high=high, state=DISPUTE)
    if one or other:
        return Edge(low=low, high=high, state=PROVISIONAL, values=one or other, voucher=low if one else high)
    return Edge(low=low, high=high, state=CONTRACTED)


def blocs(bases: Sequence[Base], known: Iterable[Edge]) -> tuple[Bloc, ...]:
    """Take the masks of every known edge off; members joined by an unknown one are one bloc.

    Returns:
        in the order of their first members, which is that of seats; sums centred around zero.
    """
    listed = list(known)
    group = {base.seat: base.seat for base in bases}
    for edge in listed:
        if not edge.values:
            kept, gone = sorted((group[edge.low], group[edge.high]))
            group = {seat: kept if name == gone else name for seat, name in group.items()}
    totals: dict[int, list[int]] = {}
    for base in bases:
        into = totals.setdefault(group[base.seat], [0] * len(base.values))
        for slot, value in enumerate(base.values):
            into[slot] += value
    for edge in listed:
        for slot, value in enumerate(edge.values):
            totals[group[edge.low]][slot] -= value
            totals[group[edge.high]][slot] += value
    return tuple(
        Bloc(
            seats=tuple(seat for seat in sorted(group) if group[seat] == name),
            values=tuple(centred(value) for value in totals[name]),
        )
        for name in sorted(totals)
    )


def follows(pairs: Sequence[tuple[int, int]], statement: Statement, *, openings: int) -> bool:
    """Tell whether stated values are what the stated answers, verdicts and bases give.

    Args:
        pairs: members that any opened round names together.
        statement: from the server, so anything.
        openings: numbers for each edge and member.
    """
    if not statement.bases:
        return not statement.blocs
    reports = [report.values for answer in statement.answers for report in answer.reports]
    parts = [base.values for base in statement.bases]
    parts += [judged.values for judged in statement.judged]
    parts += [bloc.values for bloc in statement.blocs]
    seats = [base.seat for base in statement.bases]
    if (
        seats != sorted({seat for pair in pairs for seat in pair})
        or any(len(values) != openings for values in parts)
        or any(len(values) not in {0, openings} for values in reports)
    ):
        return False
    return blocs(statement.bases, edges(pairs, statement.answers, statement.judged)) == statement.blocs
