"""One thread, as in every process that trains: faster for small models, and the same bits."""

import pytest
import torch

from fedgap.learning.threads import use_one_thread


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """By now torch is loaded, so that its threads are limited too."""
    use_one_thread()
    assert torch.get_num_threads() == 1
