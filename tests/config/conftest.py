"""A configuration that is right, for tests to make wrong in one place."""

from collections.abc import Callable
from typing import Any

import pytest

Document = dict[str, Any]


def right() -> Document:
    """Every section, as TOML gives it."""
    return {
        "federation": {"id": "clinics", "task": "tabular-classification", "seed": 7},
        "task": {"label": "diagnosis", "categorical": ["sex"], "levels": {"sex": ["f", "m"]}},
        "organisation": [
            {"id": "north", "data": "north.csv"},
            {"id": "south", "data": "south.csv"},
            {"id": "west", "name": "Clinic West", "data": "west.csv", "behave": "noise:0.4"},
            {"id": "twin", "behave": "copy:north"},
        ],
        "training": {"rounds": 20, "lr": 1},
        "server": {"optimizer": "fedadam"},
        "secagg": {},
        "settlement": {"periods": 2},
        "evaluation": {},
        "baselines": {"splits": 3},
    }


@pytest.fixture(scope="session")
def document() -> Callable[[], Document]:
    """Make a fresh one each time."""
    return right
