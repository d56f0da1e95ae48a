"""Which engine is chosen, and that the sentence says why."""

import numpy as np
import pytest
import torch
from torch import nn

from fedgap.config.task import ImageOptions
from fedgap.learning import Rows, choose
from fedgap.learning.choose import step_flops
from fedgap.learning.images import ImageTask
from fedgap.learning.plan import LocalTraining
from fedgap.learning.processes import ProcessesEngine
from fedgap.learning.task import Task
from tests.learning.test_trial import Branches, Own

CPU = torch.device("cpu")
PLAN = LocalTraining(seed=3, lr=0.1, batch_size=4)
RNG = np.random.default_rng(0)
FLAT = Rows(RNG.normal(size=(12, 6)).astype(np.float32), RNG.integers(0, 2, 12))
IMAGES = Rows(RNG.normal(size=(8, 1, 12, 12)).astype(np.float32), RNG.integers(0, 2, 8))


def cnn(*channels: int) -> ImageTask:
    """The built-in network."""
    return ImageTask(ImageOptions(images="x", labels="y", model="cnn", channels=channels, classes=2))


def chosen(task: Task, rows: Rows, organisations: int, cores: int = 1) -> tuple[str, str]:
    """Name and reason."""
    made = choose.choose(task, rows, PLAN, CPU, organisations=organisations, cores=cores)
    return made.engine.name, made.why


def test_a_chain_of_linear_layers_is_always_written_out() -> None:
    task = Own(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)))

    assert chosen(task, FLAT, 2) == ("stacked-manual", "the model is a chain of linear layers")


def test_a_small_step_of_many_organisations_is_stacked() -> None:
    name, why = chosen(cnn(2), IMAGES, 8)

    assert name == "stacked-autograd"
    assert "MFLOP" in why


def test_few_organisations_train_one_after_the_other() -> None:
    assert chosen(cnn(2), IMAGES, 7) == ("sequential", "7 organisations are too few to gain by stacking")


def test_a_large_step_takes_every_core_and_keeps_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes or not, channels are innermost alike."""
    monkeypatch.setattr(choose, "LARGE_STEP_FLOPS", 1000)
    one = choose.choose(cnn(4), IMAGES, PLAN, CPU, organisations=8, cores=1)
    two = choose.choose(cnn(4), IMAGES, PLAN, CPU, organisations=8, cores=2)

    assert (one.engine.name, two.engine.name) == ("sequential", "processes")
    assert one.why == two.why
    assert "too much" in one.why
    assert isinstance(two.engine, ProcessesEngine)
    assert one.engine.model.channels_last  # type: ignore[attr-defined]
    assert two.engine.here.model.channels_last


def test_a_model_that_cannot_be_stacked_says_so() -> None:
    name, why = chosen(Own(Branches), FLAT, 20)

    assert name == "sequential"
    assert why.startswith("the model cannot be stacked: ")


@pytest.mark.parametrize(("gain", "name"), [(1.5, "stacked-autograd"), (0.9, "sequential")])
def test_in_between_two_steps_are_timed(monkeypatch: pytest.MonkeyPatch, gain: float, name: str) -> None:
    monkeypatch.setattr(choose, "SMALL_STEP_FLOPS", 10)
    monkeypatch.setattr(choose, "_probed", lambda *_: gain)

    assert chosen(cnn(3), IMAGES, 8)[0] == name


def test_the_probe_is_made_once_for_a_kind_of_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "SMALL_STEP_FLOPS", 10)
    monkeypatch.setattr(choose, "_GAINS", {})
    first = chosen(cnn(3), IMAGES, 8)
    monkeypatch.setattr(choose, "_cpu_s", lambda _: pytest.fail("timed again"))

    assert "two steps of it were" in first[1]
    assert chosen(cnn(3), IMAGES, 8) == first


def test_arithmetic_is_counted_as_by_hand() -> None:
    """A linear layer: 4 rows, 6 by 2 weights, 2 operations each, three passes; a convolution likewise at each pixel."""
    linear = Own(lambda: nn.Sequential(nn.Linear(6, 2), nn.Sigmoid()))
    convolution = Own(lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    assert step_flops(linear, FLAT, PLAN, CPU) == 3 * 2 * 4 * 12
    assert step_flops(convolution, IMAGES, PLAN, CPU) == 3 * 2 * 4 * (12 * 12) * 18
