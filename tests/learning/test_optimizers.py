"""Our optimisers are torch's: the same twenty steps on the same gradients end at the same place."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from fedgap.learning import optimizers
from fedgap.learning.optimizers import optimizer
from fedgap.learning.plan import LocalTraining

STEPS, SIZE = 20, 7


def gradients() -> Iterator[torch.Tensor]:
    """Twenty gradients of very different sizes."""
    drawn = np.random.default_rng(5).normal(size=(STEPS, SIZE)) * 10.0 ** np.arange(-3, 4)
    return (torch.tensor(row) for row in drawn)


def theirs(name: str, flat: torch.Tensor, weight_decay: float) -> torch.optim.Optimizer:
    """Make torch's optimiser with the same settings."""
    made: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD([flat], lr=0.05, weight_decay=weight_decay),
        "momentum": lambda: torch.optim.SGD([flat], lr=0.05, momentum=0.8, weight_decay=weight_decay),
        "nesterov": lambda: torch.optim.SGD([flat], lr=0.05, momentum=0.8, nesterov=True, weight_decay=weight_decay),
        "adam": lambda: torch.optim.Adam([flat], lr=0.05, betas=(0.7, 0.95), eps=1e-6, weight_decay=weight_decay),
        "adamw": lambda: torch.optim.AdamW([flat], lr=0.05, betas=(0.7, 0.95), eps=1e-6, weight_decay=weight_decay),
    }
    return made[name]()


def after_twenty_steps(name: str, weight_decay: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where ours and torch's are."""
    start = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    our_flat, their_flat = start.clone(), start.clone().requires_grad_()
    plan = LocalTraining(
        seed=0, optimizer=name, lr=0.05, momentum=0.8, betas=(0.7, 0.95), epsilon=1e-6, weight_decay=weight_decay
    )
    ours, other = optimizer(plan), theirs(name, their_flat, weight_decay)
    for gradient in gradients():
        ours.step(our_flat, gradient.clone())
        their_flat.grad = gradient.clone()
        other.step()
    return our_flat, their_flat.detach()


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_twenty_steps_are_those_of_torch(name: str, weight_decay: float) -> None:
    ours, other = after_twenty_steps(name, weight_decay)

    np.testing.assert_allclose(ours.numpy(), other.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stripe", [1, SIZE - 1, SIZE, SIZE + 1])
def test_adam_works_in_stripes_without_another_result(monkeypatch: pytest.MonkeyPatch, stripe: int) -> None:
    whole, _ = after_twenty_steps("adamw", 0.3)
    monkeypatch.setattr(optimizers, "_STRIPE", stripe)

    assert torch.equal(whole, after_twenty_steps("adamw", 0.3)[0])


def test_the_five_optimisers_differ() -> None:
    """The comparison with torch could not tell them apart otherwise."""
    ends = [after_twenty_steps(name, 0.3)[0] for name in ("sgd", "momentum", "nesterov", "adam", "adamw")]

    for i, one in enumerate(ends):
        for other in ends[i + 1 :]:
            assert float((one - other).abs().max()) > 1e-3


def test_an_optimiser_begins_with_nothing_remembered() -> None:
    """A second training is not moved by the first one's momentum."""
    plan = LocalTraining(seed=0, optimizer="momentum", lr=0.1)
    ends = []
    for _ in range(2):
        flat = torch.zeros(2, dtype=torch.float64)
        made = optimizer(plan)
        for _ in range(3):
            made.step(flat, torch.ones(2, dtype=torch.float64))
        ends.append(flat)

    assert ends[0].tolist() == ends[1].tolist() == pytest.approx([-0.1 * (1 + 1.9 + 2.71)] * 2)
