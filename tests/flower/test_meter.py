"""The meter: phases add up, a known load is found, unknown figures stay unknown."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower.meter import PHASES, Cost, Machine, Meter, Phase, as_document, from_document

MIB = 1 << 20


@dataclass
class Clockwork:
    """A gauge that a test moves by hand."""

    now: float = 0.0
    worked: float = 0.0
    joules: float | None = 0.0
    peak: int | None = 0

    def wall(self) -> float:
        """As set."""
        return self.now

    def cpu(self) -> float:
        """As set."""
        return self.worked

    def energy_joules(self) -> float | None:
        """As set."""
        return self.joules

    def peak_bytes(self) -> int | None:
        """As set; read once."""
        peak, self.peak = self.peak, 0 if self.peak is not None else None
        return peak


@given(st.lists(st.tuples(st.sampled_from(PHASES), st.integers(0, 100), st.integers(0, 100)), max_size=20))
def test_phases_add_up_to_the_whole(work: list[tuple[Phase, int, int]]) -> None:
    gauge = Clockwork()
    meter = Meter(gauge)
    with meter.phase("wait"):
        for phase, before, inside in work:
            gauge.now += before
            with meter.phase(phase):
                gauge.now += inside
                gauge.worked += inside

    costs = meter.take()
    assert gauge.now == sum(cost.wall_seconds for cost in costs.values())
    assert gauge.worked == sum(cost.cpu_seconds for cost in costs.values())
    assert meter.take() == {}


def test_an_inner_phase_takes_its_time_from_the_outer_one() -> None:
    gauge = Clockwork()
    meter = Meter(gauge)
    with meter.phase("crypto"):
        gauge.now, gauge.joules, gauge.peak = 1.0, 5.0, 10
        with meter.phase("train"):
            gauge.now, gauge.worked, gauge.joules, gauge.peak = 4.0, 3.0, 25.0, 70
            meter.held_gpu(seconds=2.5, peak_bytes=9)
        gauge.now, gauge.peak = 4.5, 20

    costs = meter.take()
    assert costs["crypto"] == Cost(wall_seconds=1.5, peak_bytes=20, energy_joules=5.0)
    assert costs["train"] == Cost(
        wall_seconds=3.0, cpu_seconds=3.0, peak_bytes=70, energy_joules=20.0, gpu_seconds=2.5, peak_gpu_bytes=9
    )


def test_what_cannot_be_read_is_null_and_stays_null() -> None:
    meter = Meter(Clockwork(joules=None, peak=None))
    with meter.phase("train"):
        pass

    (cost,) = meter.take().values()
    assert (cost.energy_joules, cost.peak_bytes, cost.gpu_seconds, cost.peak_gpu_bytes) == (None, None, None, None)


def test_a_counter_of_energy_that_starts_anew_gives_no_negative_figure() -> None:
    gauge = Clockwork(joules=100.0)
    meter = Meter(gauge)
    with meter.phase("train"):
        gauge.joules = 1.0

    assert meter.take()["train"].energy_joules is None


def test_bytes_count_for_the_phase_they_moved_in() -> None:
    meter = Meter(Clockwork())
    with meter.phase("transfer"):
        meter.moved(up=3, down=4)
    meter.moved(up=1, down=1)

    costs = meter.take()
    assert (costs["transfer"].bytes_up, costs["transfer"].bytes_down) == (3, 4)
    assert (costs["wait"].bytes_up, costs["wait"].bytes_down) == (1, 1)


def test_costs_survive_a_file() -> None:
    costs: dict[Phase, Cost] = {"train": Cost(wall_seconds=1.5, gpu_seconds=0.5), "wait": Cost(bytes_up=7)}

    assert costs == from_document(as_document(costs))
    assert from_document({"train": {"wall_seconds": 1.0, "unheard": 2}, "dance": {}}) == {"train": Cost(wall_seconds=1)}


def test_a_known_load_is_metered_as_other_clocks_saw_it() -> None:
    """Half a second of this process's own processor time, and some time asleep, as clocks inside and outside saw them.

    On a quiet machine the two differ by far less than five per cent; on a busy one the meter still lies between them.
    """
    meter = Meter(Machine())
    cpu_before, wall_before = time.process_time(), time.perf_counter()
    with meter.phase("wait"):
        asleep = time.perf_counter()
        time.sleep(0.2)
        asleep = time.perf_counter() - asleep
    cpu_between, wall_between = time.process_time(), time.perf_counter()
    with meter.phase("train"):
        worked = time.process_time()
        while time.process_time() - worked < 0.5:
            pass
        worked = time.process_time() - worked
    cpu_after = time.process_time()

    costs = meter.take()
    assert worked <= costs["train"].cpu_seconds <= cpu_after - cpu_between
    assert 0 <= costs["wait"].cpu_seconds <= cpu_between - cpu_before
    assert asleep <= costs["wait"].wall_seconds <= wall_between - wall_before


def test_the_peak_of_memory_belongs_to_its_phase() -> None:
    meter = Meter(Machine())
    with meter.phase("load"):
        pass
    with meter.phase("train"):
        big = np.ones(64 * MIB // 8)
        del big
    with meter.phase("wait"):
        pass

    costs = meter.take()
    before, during, after = (costs[phase].peak_bytes for phase in ("load", "train", "wait"))
    if before is None or during is None or after is None:
        pytest.skip("this system does not tell how much memory a process used")
    assert during - before == pytest.approx(64 * MIB, rel=0.05)
    assert after < during - 32 * MIB
