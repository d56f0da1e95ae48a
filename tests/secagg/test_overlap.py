"""Which rounds may be opened together, and the law behind it: one number about each honest organisation follows."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.secagg.overlap import clashing, opened_together
from fedgap.secagg.quorum import Quorum

PRIME = 2**61 - 1


def test_rounds_with_the_same_survivors_are_all_opened() -> None:
    assert opened_together({k: frozenset({0, 1, 2}) for k in range(1, 60)}, f=0) == tuple(range(1, 60))


def test_the_smallest_round_goes_and_among_equals_the_earliest() -> None:
    survivors = {
        1: frozenset(range(5)),
        2: frozenset(range(2, 7)),
        3: frozenset(range(7)),
        4: frozenset(range(6)),
    }
    assert clashing(survivors, f=2) == {1, 2}
    assert opened_together(survivors, f=2) == (2, 3, 4)
    assert opened_together({**survivors, 2: frozenset(range(1, 7))}, f=2) == (1, 2, 3, 4)


def test_three_rounds_may_clash_though_each_two_of_them_do_not() -> None:
    """Each two share two members (f = 0), but all three share none."""
    survivors = {1: frozenset({0, 1, 2, 3}), 2: frozenset({2, 3, 4, 5}), 3: frozenset({0, 1, 4, 5})}
    assert clashing({1: survivors[1], 2: survivors[2]}, f=0) == set()
    assert clashing(survivors, f=0) == {1, 2, 3}
    assert opened_together(survivors, f=0) == (2, 3)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, dict[int, frozenset[int]]]:
    """n, f and who stayed in some rounds, as the quorum allows it."""
    n = draw(st.integers(3, 8))
    quorum = Quorum.of(n)
    seats = st.frozensets(st.integers(0, n - 1), min_size=quorum.u_min)
    sets = draw(st.lists(seats, min_size=1, max_size=7))
    return n, quorum.f, dict(enumerate(sets, 1))


@given(schedules())
def test_what_is_opened_satisfies_the_rule_and_everything_is_opened_if_it_can_be(
    schedule: tuple[int, int, dict[int, frozenset[int]]],
) -> None:
    _, f, survivors = schedule
    opened = opened_together(survivors, f=f)
    assert not clashing({round_: survivors[round_] for round_ in opened}, f=f)
    assert opened
    assert (len(opened) == len(survivors)) is not bool(clashing(survivors, f=f))


@settings(max_examples=60)
@given(schedules(), st.data())
def test_at_most_one_number_about_each_honest_organisation_follows(
    schedule: tuple[int, int, dict[int, frozenset[int]]], data: st.DataObject
) -> None:
    """The rank of all that the server and f colluders see: the sums of the rounds and one number for each member.

    Unknowns are the honest members' inner products with each round's direction and the masks of honest pairs; seen are
    every upload's product, and every edge's sum over the rounds that name both ends. What they determine about the
    members' products has exactly the rank of the published numbers, and nothing else lies in it.
    """
    n, f, survivors = schedule
    opened = {round_: survivors[round_] for round_ in opened_together(survivors, f=f)}
    colluders = data.draw(st.frozensets(st.integers(0, n - 1), max_size=f))
    honest = {round_: seats - colluders for round_, seats in opened.items()}
    assert leaked_rank(honest) == published_rank(honest)
    assert all(numbers_about(honest, seat=seat) == 1 for seat in set().union(*honest.values()))


@pytest.mark.parametrize(
    "sets",
    [
        ({0, 1, 2, 3}, {2, 3, 4, 5}, {0, 1, 4, 5}),
        ({0, 1, 2}, {2, 3, 4}),
    ],
)
def test_the_rank_shows_what_the_rule_prevents(sets: Sequence[AbstractSet[int]]) -> None:
    """Sets that break the rule do leak more: the test above can fail."""
    survivors = dict(enumerate(sets, 1))
    more = leaked_rank(survivors) > published_rank(survivors)
    assert clashing(survivors, f=0)
    assert more or any(numbers_about(survivors, seat=seat) > 1 for seat in set().union(*sets))


@settings(max_examples=30)
@given(schedules(), schedules(), st.data())
def test_two_rosters_of_a_period_give_one_number_each_about_an_honest_organisation(
    before: tuple[int, int, dict[int, frozenset[int]]],
    after: tuple[int, int, dict[int, frozenset[int]]],
    data: st.DataObject,
) -> None:
    """Organisations come and go and move seats; each roster's rounds are opened by its own rule, with its own f.

    Whatever the two openings tell together are the sums and one number for each part and organisation.
    """
    orgs = data.draw(st.permutations(range(after[0] + 2)))[: after[0]]
    named = [
        {round_: frozenset(seats) for round_, seats in before[2].items()},
        {100 + round_: frozenset(orgs[seat] for seat in seats) for round_, seats in after[2].items()},
    ]
    opened = [
        {round_: seats for round_, seats in rounds.items() if round_ in opened_together(rounds, f=f)}
        for rounds, f in zip(named, (before[1], after[1]), strict=True)
    ]
    rosters = [frozenset(range(before[0])), frozenset(orgs)]
    colluders = data.draw(st.frozensets(st.integers(0, after[0] + 1), max_size=max(before[1], after[1])))
    within = all(len(colluders & roster) <= f for roster, f in zip(rosters, (before[1], after[1]), strict=True))
    colluders = colluders if within else frozenset()
    honest = [{round_: seats - colluders for round_, seats in part.items()} for part in opened]
    assert leaked_rank(*honest) == published_rank(*honest)
    for org in frozenset().union(*honest[0].values(), *honest[1].values()):
        assert numbers_about(*honest, seat=org) == sum(any(org in seats for seats in part.values()) for part in honest)


def test_members_that_answer_over_two_lists_give_two_numbers_about_one_of_them() -> None:
    """Why tau members endorse one list first: every set below obeys the rule on overlaps."""
    everybody = frozenset(range(4))
    survivors = {1: everybody, 2: everybody, 3: everybody}
    assert not clashing(survivors, f=1)
    one = {seat: {1, 2, 3} for seat in everybody}
    two = {**one, 0: {1, 2}}
    assert seen_about(survivors, one, seat=0) == 1
    assert seen_about(survivors, two, seat=0) == 2


def seen_about(honest: Mapping[int, AbstractSet[int]], lists: Mapping[int, AbstractSet[int]], *, seat: int) -> int:
    """How many independent numbers about one member follow if each member answers over a list of its own."""
    rows, masks = uploads(honest)
    columns = {name: k for k, name in enumerate(masks)}
    for end, rounds in lists.items():
        pairs = sorted({mask[1:] for mask in masks if end in mask[1:]})
        rows += [{columns[m]: 1 for m in masks if m[1:] == pair and m[0] in rounds} for pair in pairs]
    values = [(round_, other) for round_, seats in honest.items() for other in sorted(seats)]
    own = {len(masks) + k for k, (_, other) in enumerate(values) if other == seat}
    return rank(rows) - rank([{k: v for k, v in row.items() if k not in own} for row in rows])


def uploads(honest: Mapping[int, AbstractSet[int]]) -> tuple[list[dict[int, int]], list[tuple[int, int, int]]]:
    """Every upload's product: the member's own, plus masks towards higher seats, minus those towards lower ones.

    Returns:
        one row for each, and the masks, whose columns come first, in order.
    """
    values = [(round_, seat) for round_, seats in honest.items() for seat in sorted(seats)]
    masks = [(round_, i, j) for round_, seats in honest.items() for i in sorted(seats) for j in sorted(seats) if i < j]
    columns: dict[tuple[int, ...], int] = {name: k for k, name in enumerate([*masks, *values])}
    rows = []
    for round_, seat in values:
        row = {columns[round_, seat]: 1}
        for _, i, j in (mask for mask in masks if mask[0] == round_ and seat in mask[1:]):
            row[columns[round_, i, j]] = 1 if seat == i else -1
        rows.append(row)
    return rows, masks


def leaked_rank(*parts: Mapping[int, AbstractSet[int]]) -> int:
    """How many independent numbers about the members' products follow from all that is seen.

    Args:
        *parts: who stayed in each round, for what is opened together; edges are summed over one part.
    """
    rows, masks = uploads(together(parts))
    for part in parts:
        pairs = sorted({mask[1:] for mask in masks if mask[0] in part})
        rows += [{k: 1 for k, mask in enumerate(masks) if mask[1:] == pair and mask[0] in part} for pair in pairs]
    return rank(rows) - rank([{k: v for k, v in row.items() if k < len(masks)} for row in rows])


def published_rank(*parts: Mapping[int, AbstractSet[int]]) -> int:
    """The rank of what is meant to be known: the total of each round, and one number for each member and part."""
    return rank(published(parts))


def numbers_about(*parts: Mapping[int, AbstractSet[int]], seat: int) -> int:
    """How many independent numbers about this member alone follow from what is meant to be known."""
    values = [(round_, other) for round_, seats in together(parts).items() for other in sorted(seats)]
    others = {column for column, (_, other) in enumerate(values) if other != seat}
    rows = published(parts)
    return rank(rows) - rank([{k: v for k, v in row.items() if k in others} for row in rows])


def together(parts: Sequence[Mapping[int, AbstractSet[int]]]) -> dict[int, AbstractSet[int]]:
    """The rounds of all parts."""
    return {round_: seats for part in parts for round_, seats in part.items()}


def published(parts: Sequence[Mapping[int, AbstractSet[int]]]) -> list[dict[int, int]]:
    """The totals of the rounds and the numbers of the members, over the members' products in each round."""
    rounds = together(parts)
    values = [(round_, other) for round_, seats in rounds.items() for other in sorted(seats)]
    columns = {name: k for k, name in enumerate(values)}
    totals = [{columns[round_, seat]: 1 for seat in stayed} for round_, stayed in rounds.items()]
    numbers = [
        {column: 1 for (round_, of), column in columns.items() if of == seat and round_ in part}
        for part in parts
        for seat in sorted(frozenset().union(*part.values()))
    ]
    return [*totals, *numbers]


def rank(rows: Sequence[Mapping[int, int]]) -> int:
    """Rank over a prime field, by elimination of sparse rows."""
    pivots: dict[int, dict[int, int]] = {}
    for given_row in rows:
        row = {k: v % PRIME for k, v in given_row.items() if v % PRIME}
        while row:
            lead = min(row)
            if lead not in pivots:
                inverse = pow(row[lead], -1, PRIME)
                pivots[lead] = {k: v * inverse % PRIME for k, v in row.items()}
                break
            factor = row[lead]
            for k, v in pivots[lead].items():
                new = (row.get(k, 0) - factor * v) % PRIME
                if new:
                    row[k] = new
                else:
                    row.pop(k, None)
    return len(pivots)
