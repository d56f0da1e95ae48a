"""Three ways to one mean: masked and unmasked integers are equal bit for bit, plain floats to within a rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedgap.config import FederationConfig, SecAgg
from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.engine import Update
from fedgap.secagg.errors import BadUpdateError, QuorumLostError
from fedgap.simulation.aggregate import MOST_MASKED, ProtocolError, aggregation, choose_protocol
from tests.simulation.tiny import config

SIZE = 50
ROWS = {OrgId("a"): 10, OrgId("b"): 20, OrgId("c"): 90, OrgId("d"): 20}


def updates(number: int, scale: float = 1.0) -> list[Update]:
    """One update an organisation, different in every round."""
    found = []
    for position, org in enumerate(ROWS):
        drawn = np.random.default_rng([number, position]).normal(size=SIZE).astype(np.float32) * np.float32(scale)
        found.append(
            Update(org=org, delta=drawn.astype(np.float64), steps=1, loss=0.5 + position, cpu_seconds=0, wall_seconds=0)
        )
    return found


def settings(folder: Path, **secagg: float) -> FederationConfig:
    """A configuration with these numbers in [secagg]."""
    return replace(config(folder), secagg=SecAgg.model_validate(secagg))


def test_masked_and_unmasked_sums_are_equal_bit_for_bit_over_rounds(tmp_path: Path) -> None:
    """Mean, loss and the clip norm that follows from them; a round later still."""
    chosen = settings(tmp_path, clip_start=5.0)
    masked, unmasked = (aggregation(name, chosen, ROWS, SIZE) for name in ("full", "sum"))
    state = server.begin(np.zeros(SIZE, np.float32))
    for number in (1, 2, 3):
        one, other = (way.add(number, state, updates(number)) for way in (masked, unmasked))
        state = server.step(server.ServerRule(), state, one.mean)

        assert one.mean.tobytes() == other.mean.tobytes()
        assert one.loss == other.loss
        assert one.bytes_up > other.bytes_up == 4 * len(ROWS) * (SIZE + 6)


def test_masked_and_unmasked_sums_are_equal_when_somebody_is_away(tmp_path: Path) -> None:
    """The mean and the loss are of those who are there; who is back finds the protocol where it is."""
    chosen = settings(tmp_path, clip_start=5.0)
    masked, unmasked, plain = (aggregation(name, chosen, ROWS, SIZE) for name in ("full", "sum", "plain"))
    state = server.begin(np.zeros(SIZE, np.float32))
    for number, away in enumerate("bbd", 1):
        there = [update for update in updates(number) if update.org != away]
        one, other, third = (way.add(number, state, there) for way in (masked, unmasked, plain))
        state = server.step(server.ServerRule(), state, one.mean)

        assert one.mean.tobytes() == other.mean.tobytes()
        assert one.loss == other.loss == pytest.approx(third.loss, abs=1e-5)


@pytest.mark.parametrize("protocol", ["full", "sum"])
def test_too_few_open_nothing_masked_or_not(tmp_path: Path, protocol: str) -> None:
    way = aggregation(protocol, settings(tmp_path), ROWS, SIZE)

    with pytest.raises(QuorumLostError):
        way.add(1, server.begin(np.zeros(SIZE, np.float32)), updates(1)[:2])


def test_unclipped_integers_are_the_plain_mean_to_within_their_step(tmp_path: Path) -> None:
    """A coordinate is rounded to a multiple of C / 2**14, before the weights divide it."""
    chosen = settings(tmp_path, clip_start=10.0)
    state = server.begin(np.zeros(SIZE, np.float32))
    plain, rounded = (aggregation(n, chosen, ROWS, SIZE).add(1, state, updates(1)) for n in ("plain", "sum"))

    assert np.abs(plain.mean - rounded.mean).max() < 10.0 / 2**12 * 4
    assert plain.loss == pytest.approx(rounded.loss, abs=1e-5)
    parts = {OrgId("a"): 10, OrgId("b"): 20, OrgId("c"): 60, OrgId("d"): 20}
    assert plain.mean == pytest.approx(sum(parts[update.org] / 110 * update.delta for update in updates(1)))


def test_an_update_longer_than_the_clip_norm_is_scaled_down_and_the_norm_follows(tmp_path: Path) -> None:
    chosen = settings(tmp_path, clip_start=1.0)
    way = aggregation("sum", chosen, ROWS, SIZE)
    state = server.begin(np.zeros(SIZE, np.float32))

    first, second = (np.linalg.norm(way.add(n, state, updates(1, 100.0)).mean) for n in (1, 2))

    assert first < 1.01
    assert second == pytest.approx(1.36 * first, rel=0.02)


def test_numbers_that_are_not_finite_are_never_added(tmp_path: Path) -> None:
    broken = updates(1)
    broken[2].delta[0] = np.nan
    with pytest.raises(BadUpdateError):
        aggregation("sum", settings(tmp_path), ROWS, SIZE).add(1, server.begin(np.zeros(SIZE, np.float32)), broken)


def test_the_default_is_the_whole_protocol_where_it_is_possible(tmp_path: Path) -> None:
    """Up to 128 organisations full, above them sum; two organisations or uncapped weights cannot be hidden."""
    small = config(tmp_path)
    many = replace(small, organisations=small.organisations * MOST_MASKED)
    two = replace(small, organisations=small.organisations[:2])
    uncapped = replace(small, server=small.server.model_copy(update={"weights": "rows"}))

    assert [choose_protocol(c, None)[0] for c in (small, many, two, uncapped)] == ["full", "sum", "plain", "plain"]
    assert choose_protocol(small, "sum") == ("sum", "asked for")
    for impossible in (two, uncapped):
        with pytest.raises(ProtocolError, match="not possible"):
            choose_protocol(impossible, "full")
    with pytest.raises(ProtocolError, match="no protocol"):
        choose_protocol(small, "half")
