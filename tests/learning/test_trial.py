"""A model that cannot be stacked is found out by trying, and the reason says what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedgap.learning import Rows, Task
from fedgap.learning.plan import LocalTraining
from fedgap.learning.trial import obstacle, trial_rows

CPU = torch.device("cpu")
PLAN = LocalTraining(seed=3, lr=0.1, batch_size=8)
RNG = np.random.default_rng(0)
LIKE = Rows(RNG.normal(size=(40, 6)).astype(np.float32), RNG.integers(0, 2, 40))


class Own(Task):
    """A model somebody wrote."""

    kind = "classification"

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self.make = make

    def load(self, source: Path) -> Rows:
        """Not needed."""
        raise NotImplementedError(str(source))

    def model(self, rows: Rows) -> nn.Module:
        """The module."""
        del rows
        return self.make()


class Counts(nn.Module):
    """Writes to a buffer, which a stack would share."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale by how often it was called."""
        self.seen.add_(1)  # type: ignore[operator]
        made: Tensor = self.linear(x) / self.seen
        return made


class Branches(nn.Module):
    """Does one thing or the other, depending on the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Turn around where the sum is negative."""
        made: Tensor = self.linear(x)
        return made if x.sum() > 0 else -made


class Recurrent(nn.Module):
    """A layer for which torch has no batching rule."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The last state."""
        made: Tensor = self.out(self.lstm(x.view(-1, 3, 2))[0][:, -1])
        return made


def test_models_that_can_be_stacked_have_no_obstacle() -> None:
    assert obstacle(Own(lambda: nn.Linear(6, 2)), LIKE, PLAN, CPU) is None
    assert obstacle(Own(lambda: nn.Sequential(nn.Linear(6, 4), nn.ELU(), nn.Linear(4, 2))), LIKE, PLAN, CPU) is None


def test_a_normalisation_over_the_batch_is_found_by_the_rows_that_fill_it_up() -> None:
    """Without a short batch it would pass: the trial must have one."""
    task = Own(lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)))

    assert "learns something else" in str(obstacle(task, LIKE, PLAN, CPU))


def test_a_buffer_that_is_written_to_is_found() -> None:
    assert "writes to the buffer seen" in str(obstacle(Own(Counts), LIKE, PLAN, CPU))


def test_a_branch_on_the_data_is_found() -> None:
    assert "data-dependent" in str(obstacle(Own(Branches), LIKE, PLAN, CPU))


@pytest.mark.parametrize("make", [Recurrent, lambda: nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.5))])
def test_layers_torch_cannot_map_are_found(make: Callable[[], nn.Module]) -> None:
    """No batching rule; and torch's own random numbers, which know no organisation."""
    assert "torch cannot run it" in str(obstacle(Own(make), LIKE, PLAN, CPU))


def test_a_loss_that_couples_rows_is_found() -> None:
    class Coupled(Own):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            """Compare with the mean of whatever rows there are."""
            return super().loss(outputs - outputs.mean(dim=0), targets)

    assert "learns something else" in str(obstacle(Coupled(lambda: nn.Linear(6, 2)), LIKE, PLAN, CPU))


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_the_trial_has_a_full_and_a_short_batch_however_few_rows_there_are(rows: int) -> None:
    short, full = trial_rows(LIKE.take(np.arange(rows)), 8)

    assert (len(short), len(full)) == (12, 16)
