"""From answers to values, over any subset and any lies: the blocs add up, and the honest among themselves are exact."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fedgap.secagg.credit import CONTRACTED, DISPUTE, PROVISIONAL, VERIFIED, blocs, edges, follows, shared_pairs
from fedgap.secagg.opening import RING, centred
from fedgap.secagg.settlement import Answer, Base, Bloc, Judged, Report, Statement

Words = Mapping[tuple[int, int], int]


def answer(seat: int, values: Mapping[int, int | None]) -> Answer:
    """What a member says of its peers; None is absent."""
    reports = tuple(
        Report(peer=peer, values=() if value is None else (value % RING,)) for peer, value in sorted(values.items())
    )
    return Answer(seat=seat, period=1, listed=bytes(32), reports=reports, signature=bytes(64))


def bases_of(true: Mapping[int, int], masks: Words) -> tuple[Base, ...]:
    """<q, upload> of each member: its number plus the masks towards higher seats, minus those towards lower ones."""
    numbers = dict(true)
    for (low, high), mask in masks.items():
        numbers[low] += mask
        numbers[high] -= mask
    return tuple(Base(seat=seat, values=(numbers[seat] % RING,)) for seat in sorted(numbers))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[int, int], Words, dict[tuple[int, int], int | None], frozenset[int]]:
    """Numbers, masks, what each end says of each edge (None: nothing), and who may lie."""
    n = draw(st.integers(3, 7))
    true = {seat: draw(st.integers(-(2**27), 2**27)) for seat in range(n)}
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    masks = {pair: draw(st.integers(0, RING - 1)) for pair in pairs}
    liars = draw(st.frozensets(st.integers(0, n - 1), max_size=2))
    said: dict[tuple[int, int], int | None] = {}
    for low, high in pairs:
        for seat, peer in ((low, high), (high, low)):
            shift = draw(st.integers(0, 3)) if seat in liars else 0
            silent = draw(st.integers(0, 5)) == 0
            said[seat, peer] = None if silent else (masks[low, high] + shift) % RING
    return true, masks, said, liars


@given(cases())
def test_the_blocs_add_up_whatever_is_answered_and_honest_members_are_exact(
    case: tuple[dict[int, int], Words, dict[tuple[int, int], int | None], frozenset[int]],
) -> None:
    """The sum over blocs is the sum of the numbers; an honest bloc with no liar's word in it is exact."""
    true, masks, said, liars = case
    answers = [answer(seat, {peer: said[seat, peer] for peer in true if peer != seat}) for seat in true]
    known = edges(list(masks), answers, ())
    found = blocs(bases_of(true, masks), known)

    assert sum(bloc.values[0] for bloc in found) % RING == sum(true.values()) % RING
    assert sorted(seat for bloc in found for seat in bloc.seats) == sorted(true)
    assert not [edge for edge in known if edge.state == DISPUTE and not {edge.low, edge.high} & liars]
    vouched = {edge.low for edge in known if edge.voucher in liars} | {e.high for e in known if e.voucher in liars}
    for bloc in found:
        if not set(bloc.seats) & (liars | vouched):
            assert bloc.values[0] == centred(sum(true[seat] for seat in bloc.seats))


@given(cases())
def test_a_coalition_moves_credit_among_itself_only(
    case: tuple[dict[int, int], Words, dict[tuple[int, int], int | None], frozenset[int]],
) -> None:
    """Everybody answers, and the coalition says the same wrong number at both ends of its own edges."""
    true, masks, said, coalition = case
    both = {pair: masks[pair] + (1000 if set(pair) <= coalition else 0) for pair in masks}
    answers = [
        answer(seat, {peer: both[min(seat, peer), max(seat, peer)] for peer in true if peer != seat}) for seat in true
    ]
    found = {bloc.seats[0]: bloc.values[0] for bloc in blocs(bases_of(true, masks), edges(list(masks), answers, ()))}

    assert {seat: found[seat] for seat in true if seat not in coalition} == {
        seat: number for seat, number in true.items() if seat not in coalition
    }
    assert sum(found[seat] for seat in coalition) == sum(true[seat] for seat in coalition)
    assert said


def test_every_edge_has_one_of_four_states() -> None:
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    answers = [
        answer(0, {1: 5, 2: 6, 3: 7}),
        answer(1, {0: 5, 2: None, 3: None}),
        answer(2, {0: 8, 1: None, 3: 1}),
    ]
    judged = Judged(low=0, high=2, values=(6,), liars=(2,), evidence=bytes(32))
    found = {(edge.low, edge.high): edge for edge in edges(pairs, answers, ())}

    assert [found[pair].state for pair in pairs] == [
        VERIFIED,
        DISPUTE,
        PROVISIONAL,
        CONTRACTED,
        CONTRACTED,
        PROVISIONAL,
    ]
    assert (found[0, 3].voucher, found[2, 3].voucher) == (0, 2)
    again = {(edge.low, edge.high): edge for edge in edges(pairs, answers, [judged])}
    assert (again[0, 2].state, again[0, 2].values) == (VERIFIED, (6,))


def test_pairs_are_those_that_any_round_names_together() -> None:
    assert shared_pairs([{0, 2}, {2, 1}]) == [(0, 2), (1, 2)]
    assert shared_pairs([]) == []


def test_a_statement_without_bases_follows_only_if_it_states_no_values() -> None:
    said = Statement(
        manifest=bytes(32),
        period=1,
        revision=1,
        final=True,
        listed=bytes(32),
        answers=(),
        judged=(),
        bases=(),
        blocs=(),
    )
    stated = replace(said, blocs=(Bloc(seats=(0,), values=(1,)),))
    assert follows([(0, 1)], said, openings=1)
    assert not follows([(0, 1)], stated, openings=1)


def test_a_statement_of_any_shape_is_compared_and_never_breaks_the_member() -> None:
    pairs = [(0, 1), (0, 2), (1, 2)]
    masks = dict.fromkeys(pairs, 7)
    answers = tuple(answer(seat, {peer: 7 for peer in range(3) if peer != seat}) for seat in range(3))
    bases = bases_of({0: 1, 1: 2, 2: 3}, masks)
    good = Statement(
        manifest=bytes(32),
        period=1,
        revision=1,
        final=True,
        listed=bytes(32),
        answers=answers,
        judged=(),
        bases=bases,
        blocs=tuple(Bloc(seats=(seat,), values=(seat + 1,)) for seat in range(3)),
    )
    odd = Judged(low=0, high=1, values=(1, 2), liars=(), evidence=bytes(32))
    long = replace(answers[0], reports=(Report(peer=1, values=(1, 2)),))
    assert follows(pairs, good, openings=1)
    for wrong in (
        replace(good, bases=bases[:2]),
        replace(good, bases=(*bases, Base(seat=9, values=(0,)))),
        replace(good, bases=(replace(bases[0], values=()), *bases[1:])),
        replace(good, blocs=(replace(good.blocs[0], values=()), *good.blocs[1:])),
        replace(good, judged=(odd,)),
        replace(good, answers=(long, *answers[1:])),
    ):
        assert not follows(pairs, wrong, openings=1)
