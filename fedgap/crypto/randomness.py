"""Where secret bytes come from: the operating system in a deployment, a seed in tests and in simulation only."""

import secrets
from collections.abc import Callable
from typing import TypeAlias

from fedgap.crypto.canonical import Value, digest
from fedgap.crypto.keystream import Keystream

Rand: TypeAlias = Callable[[int], bytes]
"""Gives that many secret random bytes, new ones at each call."""


def system(size: int) -> bytes:
    """Draw secret bytes from the operating system."""
    return secrets.token_bytes(size)


def seeded(*purpose: Value) -> Rand:
    """Make a repeatable source for simulation and tests: whoever knows the purpose knows every byte.

    Never use it in a deployment; a manifest with `simulation` set is what allows it, and every client refuses those.
    """
    stream, position = Keystream(digest("simulation-randomness", *purpose)), 0

    def draw(size: int) -> bytes:
        nonlocal position
        start, position = position, position + size
        return stream.read(start, size)

    return draw
