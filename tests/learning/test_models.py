"""The built-in models have the shapes they promise, and dropout is a function of its key and row."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedgap.learning.models import ACTIVATIONS, CounterDropout, cnn, linear, mlp


def test_the_linear_model_is_one_matrix_and_one_vector() -> None:
    model = linear(6, 3)

    assert [tuple(p.shape) for p in model.parameters()] == [(3, 6), (3,)]
    assert model(torch.zeros(5, 2, 3)).shape == (5, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_has_the_widths_asked_for(activation: str) -> None:
    model = mlp(4, (8, 5), 2, activation, dropout=0.0)

    assert [tuple(p.shape) for p in model.parameters()] == [(8, 4), (8,), (5, 8), (5,), (2, 5), (2,)]
    assert sum(isinstance(layer, ACTIVATIONS[activation]) for layer in model.modules()) == 2


@given(
    side=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    colours=st.sampled_from([1, 3]),
    channels=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_a_cnn_takes_images_of_any_size(side: tuple[int, int], colours: int, channels: list[int]) -> None:
    """Also those too small to be halved once a block."""
    model = cnn(colours, side, 4, tuple(channels), dropout=0.1)

    assert model(torch.zeros(2, colours, *side)).shape == (2, 4)


def test_no_built_in_model_has_running_statistics() -> None:
    for model in (linear(2, 2), mlp(2, (3,), 2, "relu", 0.1), cnn(1, (8, 8), 2, (4, 8), 0.1)):
        assert list(model.buffers()) == []


def dropped(share: float, key: int, x: torch.Tensor, first_row: int = 0, layer: int = 0) -> torch.Tensor:
    """Let one layer drop."""
    made = CounterDropout(share, layer).train()
    made.place(key, first_row)
    out: torch.Tensor = made(x)
    return out


@given(cut=st.integers(1, 11), key=st.integers(0, 2**64 - 1))
def test_a_batch_in_pieces_gets_the_mask_of_the_whole(cut: int, key: int) -> None:
    x = torch.ones(12, 5)

    pieces = torch.cat([dropped(0.5, key, x[:cut]), dropped(0.5, key, x[cut:], first_row=cut)])

    assert torch.equal(pieces, dropped(0.5, key, x))


def test_another_step_and_another_layer_drop_others() -> None:
    x = torch.ones(20, 20)

    assert not torch.equal(dropped(0.5, 1, x), dropped(0.5, 2, x))
    assert not torch.equal(dropped(0.5, 1, x), dropped(0.5, 1, x, layer=1))
    assert torch.equal(dropped(0.5, 1, x), dropped(0.5, 1, x))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_share_is_dropped_and_the_expectation_stays(share: float) -> None:
    out = dropped(share, 3, torch.ones(200, 200)).numpy()

    assert abs((out == 0).mean() - share) < 0.01
    assert np.unique(out).tolist() == pytest.approx([0.0, 1 / (1 - share)])
    assert abs(out.mean() - 1) < 0.05


def test_nothing_is_dropped_in_evaluation() -> None:
    layer = CounterDropout(0.9, 0).eval()

    assert layer(torch.ones(3, 3)).tolist() == [[1.0] * 3] * 3


def test_every_dropout_of_an_mlp_draws_for_itself() -> None:
    layers = [layer for layer in mlp(2, (3, 3), 2, "relu", 0.2).modules() if isinstance(layer, CounterDropout)]

    assert [layer.layer for layer in layers] == [0, 1]
    assert not any(isinstance(layer, CounterDropout) for layer in mlp(2, (3,), 2, "relu", 0.0).modules())
    assert [type(layer) for layer in cnn(1, (8, 8), 2, (4,), 0.2).children()][-2:] == [CounterDropout, nn.Linear]
    assert [type(layer) for layer in cnn(1, (8, 8), 2, (4,), 0.0).children()][-2:] == [nn.Flatten, nn.Linear]
