"""Memory with a large model: measured with 25 million parameters, where one more copy of it would be seen.

`fedgap bench round --large` measures the same with a hundred million.
"""

from pathlib import Path

import pytest

from bench.contestants.large_model import TINY, deploy

pytestmark = pytest.mark.slow

PARAMETERS = 25_000_000
MOST_SERVER, MOST_CLIENT = 4.0, 6.0
"""Times the model, beyond what the processes need anyway; 3.4 and 5.3 when this was written."""


def test_neither_server_nor_participant_holds_many_copies_of_a_model(tmp_path: Path) -> None:
    """A tiny model shows what the processes need anyway; what a large one needs beyond grows with the model."""
    for name in ("tiny", "large"):
        (tmp_path / name).mkdir()
    base = deploy(tmp_path / "tiny", TINY)
    most = deploy(tmp_path / "large", PARAMETERS)

    assert most.server_bytes - base.server_bytes <= MOST_SERVER * most.model_bytes, (base, most)
    assert most.client_bytes - base.client_bytes <= MOST_CLIENT * most.model_bytes, (base, most)
