"""What was claimed is paid up to what can have been spent while the server waited, and an honest claim is untouched."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fedgap.funding.bound import MOST, Devices, bounded
from fedgap.funding.cost import cost_lines
from fedgap.funding.policy import Price
from fedgap.funding.words import explained
from fedgap.ids import OrgId
from fedgap.records import CostClaimed, Quantity, write_record
from tests.funding.cases import Story, policy

ASH = OrgId("ash")
KNOWN = ("cpu-ms", "gpu-ms", "joules")
devices_ = st.builds(Devices, processors=st.integers(1, 64), gpus=st.integers(1, 8))
amounts = st.integers(0, MOST)
RATES = policy(prices=tuple(Price(what=what, each=Fraction(1)) for what in (*KNOWN, "labour-minutes")))


def claim(*metered: tuple[str, int]) -> CostClaimed:
    """A claim of period 1."""
    quantities = tuple(Quantity(what=what, amount=amount) for what, amount in metered)
    return CostClaimed(period=1, organisation=ASH, metered=quantities, declared=())


@given(waited_ms=st.integers(0, 10**9), devices=devices_, part=st.fractions(0, 1, max_denominator=100))
def test_who_worked_no_longer_than_it_was_waited_for_is_paid_as_it_claims(
    waited_ms: int, devices: Devices, part: Fraction
) -> None:
    spent = {
        "cpu-ms": int(waited_ms * devices.processors * part),
        "gpu-ms": int(waited_ms * devices.gpus * part),
        "joules": int(waited_ms * (devices.processors + devices.gpus) * part),
    }
    honest = claim(*spent.items())
    lines = cost_lines(honest, bounded(honest, waited_ms=waited_ms, devices=devices), RATES)

    assert {line.what: line.counted for line in lines} == spent
    assert not [line for line in lines if line.flags]


@given(
    metered=st.lists(st.tuples(st.sampled_from((*KNOWN, "labour-minutes")), amounts), max_size=6),
    waited_ms=st.integers(0, 10**12),
    devices=devices_,
)
def test_nobody_is_paid_more_than_the_bound_however_it_words_its_claim(
    metered: list[tuple[str, int]], waited_ms: int, devices: Devices
) -> None:
    """One name on many lines, names that nobody meters, the largest numbers: the bound holds for the sum of a name."""
    inflated = claim(*metered)
    bound = bounded(inflated, waited_ms=waited_ms, devices=devices)
    assert (bound is None) == (not metered)
    if bound is None:
        return
    write_record(bound)
    most = {one.what: one.amount for one in bound.bounds}
    assert list(most) == sorted({what for what, _ in metered})
    paid = dict.fromkeys(most, 0)
    for line in cost_lines(inflated, bound, RATES):
        paid[line.what] += line.counted
        assert ("over-bound" in line.flags) == (line.counted < line.claimed)
    assert all(paid[what] <= most[what] for what in most)
    assert paid.get("labour-minutes", 0) == 0
    assert paid.get("cpu-ms", 0) <= waited_ms * devices.processors


def test_a_claim_above_the_bound_is_cut_and_the_statement_says_why() -> None:
    story = Story(policy())
    story.round(1)
    story.values(1, [10, 10, 10, 10])
    story.cost(1, story.orgs[0], 5000, bound=500)
    story.cost(1, story.orgs[1], 400, bound=500)
    found = story.settle()

    cheat, honest = found.lines[:2]
    assert (cheat.reimbursed, honest.reimbursed) == (5, 4)
    assert ("over-bound" in cheat.flags, "over-bound" in honest.flags) == (True, False)
    words = " ".join(explained(found, cheat))
    assert "5000 cpu-ms metered" in words
    assert "500 counted, which is all that can have been spent while the server waited for it (entry" in words
    assert "while the server waited" not in " ".join(explained(found, honest))


def test_a_bound_is_a_record_of_its_claims_period_and_organisation() -> None:
    later = replace(claim(("cpu-ms", 1)), period=7)
    bound = bounded(later, waited_ms=3, devices=Devices())

    assert bound is not None
    assert (7, ASH, (Quantity(what="cpu-ms", amount=3),)) == (bound.period, bound.organisation, bound.bounds)
