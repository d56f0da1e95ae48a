"""A model is one flat vector that its parameters live in, and its start is drawn from names alone."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load
from torch import Tensor, nn

from fedgap.learning import Rows, Task
from fedgap.learning import vector as vectors
from fedgap.learning.models import cnn, mlp
from fedgap.learning.parameters import ModelError, digest, file_parts, packed
from fedgap.learning.vector import FlatModel, build, initial, pick_device

CPU = torch.device("cpu")
ROWS = Rows(np.ones((5, 4), np.float32), np.array([0, 1, 0, 1, 1]))


class Own(Task):
    """A task around any module."""

    kind = "classification"

    def __init__(self, make: type[nn.Module] | None = None) -> None:
        self.make = make

    def load(self, source: Path) -> Rows:
        """Refuse: nothing is loaded here."""
        raise NotImplementedError(source)

    def model(self, rows: Rows) -> nn.Module:
        """Build the model."""
        return mlp(rows.x.shape[1], (3,), 2, "tanh", 0.0) if self.make is None else self.make()


def flat(module: nn.Module, dtype: torch.dtype = torch.float32) -> FlatModel:
    """Make the module flat, with the loss of a classification."""
    return FlatModel(module, Own().loss, CPU, dtype)


def test_what_is_written_is_what_the_module_computes_with() -> None:
    model = flat(nn.Linear(2, 1))
    model.write(np.array([2.0, 3.0, 5.0], np.float32))

    assert model.read().tolist() == [2, 3, 5]
    assert model.module(torch.tensor([[1.0, 10.0]])).item() == 2 + 30 + 5
    model.read()[:] = 0
    assert model.read().tolist() == [2, 3, 5]


def test_the_vector_follows_named_parameters() -> None:
    module = cnn(1, (4, 4), 2, (4,), 0.0)
    before = torch.cat([parameter.detach().reshape(-1) for _, parameter in module.named_parameters()])

    assert flat(module).read().tolist() == before.tolist()


def test_backward_fills_one_flat_gradient() -> None:
    model = flat(nn.Linear(2, 1))
    model.module(torch.tensor([[3.0, 4.0]])).sum().backward()

    assert model.gradient.tolist() == [3, 4, 1]
    model.gradient.zero_()
    assert [p.grad is not None and p.grad.sum().item() for p in model.module.parameters()] == [0, 0]


def test_outputs_do_not_depend_on_how_rows_are_cut() -> None:
    model = build(Own(), ROWS, CPU)
    vector = initial(Own(), ROWS, 3)
    rows = Rows(np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32), np.zeros(23, np.int64))

    np.testing.assert_allclose(model.outputs(vector, rows, chunk=5), model.outputs(vector, rows), rtol=1e-6)
    assert model.outputs(vector, rows).shape == (23, 2)
    assert len(model.outputs(vector, rows.take(np.zeros(0, np.int64)))) == 0


def test_outputs_are_those_of_evaluation() -> None:
    model = flat(nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 1)))
    model.module.train()

    assert model.outputs(np.ones(5, np.float32), ROWS).tolist() == [[5.0]] * 5


class Empty(nn.Module):
    """Nothing to train."""

    def forward(self, x: Tensor) -> Tensor:
        """Pass x through."""
        return x


class Mixed(nn.Module):
    """A parameter that is no float."""

    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.ones(2))
        self.whole = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        (Empty(), "no parameters"),
        (Mixed(), "int64"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "BatchNorm1d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), "BatchNorm2d"),
        (nn.InstanceNorm1d(2, affine=True, track_running_stats=True), "InstanceNorm1d"),
    ],
)
def test_a_model_a_federation_cannot_carry_is_refused(module: nn.Module, cause: str) -> None:
    with pytest.raises(ModelError, match=cause) as caught:
        flat(module)
    assert (caught.value.code, caught.value.exit_status) == ("learning.model", 2)


def test_norms_without_running_statistics_are_welcome() -> None:
    for layer in (nn.GroupNorm(1, 2), nn.LayerNorm(2), nn.InstanceNorm1d(2, affine=True)):
        assert flat(layer).size == 4


def test_the_start_is_a_function_of_the_seed_and_of_names() -> None:
    torch.manual_seed(1)
    first = initial(Own(), ROWS, 3)
    torch.manual_seed(2)
    drawn = torch.rand(1)

    assert digest(first) == digest(initial(Own(), ROWS, 3))
    assert digest(first) != digest(initial(Own(), ROWS, 4))
    torch.manual_seed(2)
    initial(Own(), ROWS, 3)
    assert torch.rand(1) == drawn, "drawing a model must not move torch's own generator"


def test_the_start_is_uniform_within_one_over_the_root_of_the_inputs() -> None:
    class Wide(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Linear(100, 200))

    start = initial(Own(Wide), ROWS, 0)

    assert start.dtype == np.float32
    assert abs(start).max() <= 0.1
    assert abs(start).max() > 0.0999
    assert abs(start.mean()) < 5 * 0.1 / np.sqrt(3 * start.size)
    assert start.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)


def test_other_layers_keep_what_they_draw_under_the_seed() -> None:
    class Words(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Embedding(50, 8))

    starts = [initial(Own(Words), ROWS, seed) for seed in (0, 0, 1)]

    assert digest(starts[0]) == digest(starts[1]) != digest(starts[2])
    assert starts[0].std() == pytest.approx(1, rel=0.2)


def test_the_digest_is_sha256_of_little_endian_float32() -> None:
    assert digest(np.array([1.0], np.float32)) == hashlib.sha256(bytes([0, 0, 0x80, 0x3F])).hexdigest()
    assert digest(np.array([0.0], np.float32)) != digest(np.array([-0.0], np.float32))


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_model_is_written_in_parts_without_a_copy(size: int) -> None:
    vector = np.arange(size, dtype=np.float32)
    head, content = file_parts(vector, {"task": "x:Y", "of": "Zürich"})

    assert len(head) % 8 == 0
    assert load(head + content)["parameters"].tolist() == vector.tolist()
    assert size == 0 or np.shares_memory(np.frombuffer(content, np.float32), vector)
    assert digest(vector) == hashlib.sha256(vector.tobytes()).hexdigest()


@pytest.mark.parametrize("stripe", [1, 3, 4, 5, 20])
def test_the_first_model_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch, stripe: int) -> None:
    whole = initial(Own(), ROWS, 7)
    monkeypatch.setattr(vectors, "_STRIPE", stripe)

    assert initial(Own(), ROWS, 7).tobytes() == whole.tobytes()


def test_a_packed_model_can_be_read_with_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(np.array([1.5, -2.0], np.float32), {"task": "x:Y"}))

    with safe_open(path, framework="numpy") as file:
        assert file.get_tensor("parameters").tolist() == [1.5, -2.0]
        assert file.metadata() == {"task": "x:Y"}


def test_a_device_that_is_not_there_is_refused() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    missing = [
        name
        for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not there
    ]
    for name in missing:
        with pytest.raises(ModelError, match=name):
            pick_device(name)
    assert missing, "no machine has both"
