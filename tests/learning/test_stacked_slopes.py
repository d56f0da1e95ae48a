"""Losses and activations of many models at once are those of torch, and so are their slopes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from fedgap.learning.linear_stack import Activation, Loss
from fedgap.learning.stacked_slopes import activate, row_losses, turn_into_slopes

LOSSES: dict[Loss, Any] = {
    "softmax": lambda z, y: functional.cross_entropy(z.movedim(1, -1).flatten(0, 1), y.flatten(), reduction="none"),
    "squared": lambda z, y: 0.5 * (z[:, 0] - y).flatten() ** 2,
    "sigmoid": lambda z, y: functional.binary_cross_entropy_with_logits(z[:, 0], y, reduction="none").flatten(),
    "poisson": lambda z, y: functional.poisson_nll_loss(z[:, 0], y, reduction="none").flatten(),
}
ACTIVATIONS: dict[Activation, Any] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
cases = st.tuples(
    st.sampled_from(sorted(LOSSES)), st.integers(2, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0)
)


def drawn(loss: Loss, classes: int, models: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs, among them large ones, and targets."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(models, classes if loss == "softmax" else 1, rows)) * rng.choice(
        [0.1, 3, 200 if loss != "poisson" else 3]
    )
    if loss == "softmax":
        return z, rng.integers(0, classes, (models, rows))
    return z, rng.integers(0, 2, (models, rows)).astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_losses_and_their_slopes_are_those_of_torch(case: tuple[Loss, int, int, int, int]) -> None:
    z, y = drawn(*case)
    leaf = torch.from_numpy(z.copy()).requires_grad_()
    lost = LOSSES[case[0]](leaf, torch.from_numpy(y))
    lost.sum().backward()
    before = z.copy()

    np.testing.assert_allclose(row_losses(case[0], z, y).flatten(), lost.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(before, z)
    turn_into_slopes(case[0], z, y)
    assert leaf.grad is not None
    np.testing.assert_allclose(z, leaf.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_slopes_are_those_of_torch(activation: Activation) -> None:
    """Also where ReLU has its edge: its slope at 0 is 0."""
    z = np.concatenate([np.linspace(-30, 30, 61), [0.0, -0.0, 1e-300]])
    leaf = torch.from_numpy(z.copy()).requires_grad_()
    expected = ACTIVATIONS[activation](leaf)
    expected.sum().backward()
    slope, alone = np.empty_like(z), z.copy()
    activate(activation, z, slope)
    activate(activation, alone)

    assert leaf.grad is not None
    np.testing.assert_allclose(z, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(alone, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, leaf.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(activation: Activation) -> None:
    """A training that ran away must not look sound again."""
    z = np.array([np.nan, 1.0])
    activate(activation, z, np.empty(2))

    assert np.isnan(z[0])
    assert not np.isnan(z[1])
    outputs = np.full((1, 2, 3), np.nan)
    turn_into_slopes("softmax", outputs, np.zeros((1, 3), np.int64))
    assert np.isnan(outputs).all()
