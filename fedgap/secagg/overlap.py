"""Which rounds of a period may be opened together: sets of survivors that vary must not leak a second number.

An opening adds the masked products of all its rounds. If two of them shared too few honest members, their masks would
cancel in parts, and sums over parts of the rounds would follow. Any two opened rounds share at least f + 2 members, any
three at least f + 1: then at least two, and one, of those shared are honest, and the only number about an organisation
is its sum over all the opened rounds it was in (a test computes the rank of all that is published).
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import combinations


def clashing(survivors: Mapping[int, AbstractSet[int]], *, f: int) -> set[int]:
    """Name the rounds that share too few members with another one, or with two others.

    Args:
        survivors: U of each round, as seats.
        f: colluders.
    """
    distinct = {_bits(seats) for seats in survivors.values()}
    clashes = {bits for pair in combinations(distinct, 2) if (pair[0] & pair[1]).bit_count() < f + 2 for bits in pair}
    for triple in combinations(distinct, 3):
        if (triple[0] & triple[1] & triple[2]).bit_count() < f + 1:
            clashes.update(triple)
    return {round_ for round_, seats in survivors.items() if _bits(seats) in clashes}


def opened_together(survivors: Mapping[int, AbstractSet[int]], *, f: int) -> tuple[int, ...]:
    """Choose the rounds that are opened: while some share too few members, the smallest of them goes, earliest first.

    Everybody who knows who stayed in each round computes the same choice.
    """
    left = dict(survivors)
    while found := clashing(left, f=f):
        del left[min(found, key=lambda round_: (len(left[round_]), round_))]
    return tuple(sorted(left))


def _bits(seats: AbstractSet[int]) -> int:
    return sum(1 << seat for seat in seats)
