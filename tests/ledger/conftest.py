"""A federation that wrote a ledger."""

from pathlib import Path

import pytest

from tests.ledger.tale import Tale


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tale, Path]:
    """A whole ledger of two rounds, a settlement and a payment; tests copy it before they change it."""
    path = tmp_path_factory.mktemp("told") / "ledger.sqlite"
    return Tale().write(path), path
