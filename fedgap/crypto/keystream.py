"""The mask stream: AES-256 in counter mode, addressable by stripe, at the speed of the machine.

Stripe s of a key is AES-256-CTR from the initial block `s (12 bytes, big-endian) | 2 (4 bytes)`, 256 KiB long. AES-GCM
encrypts its first block with counter 2 (NIST SP 800-38D, section 7.1), so sealing zeros under nonce s gives the same
bytes and a tag nobody needs; on machines with wide AES instructions that is up to twice as fast. Both are tried once
and the faster one is used: the bits are the same. A key is used for one stream and for nothing else.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

STRIPE_WORDS = 2**16
"""Words of 4 bytes in a stripe: three stripes fit a level-2 cache of 1 MiB."""

STRIPE_BYTES = 4 * STRIPE_WORDS
TAG_BYTES = 16
BUFFER_BYTES = STRIPE_BYTES + TAG_BYTES
"""Room for a stripe and the tag behind it."""

Path = Literal["ctr", "gcm"]
_ZEROS = bytes(STRIPE_BYTES)
_ZEROS_VIEW = memoryview(_ZEROS)
_FIRST_COUNTER = (2).to_bytes(4, "big")
_Fill = Callable[[int, memoryview], object]


class Keystream:
    """The stream of one 32-byte key. Safe to use from several threads, each with its own buffer.

    Attributes:
        fill: `fill(stripe, room)` writes the beginning of a stripe (below 2**96) into all of `room` but its last 16
            bytes, which are overwritten; at most STRIPE_BYTES and these 16.
    """

    __slots__ = ("fill",)
    fill: _Fill

    def __init__(self, key: bytes, path: Path | None = None) -> None:
        """Take the key; None takes the faster path."""
        self.fill = _gcm(key) if (path or fastest()) == "gcm" else _ctr(key)

    def read(self, start: int, size_bytes: int) -> bytes:
        """Read any part of the stream; for tests, vectors and single chunks."""
        buffer, parts = memoryview(bytearray(min(start % STRIPE_BYTES + size_bytes, STRIPE_BYTES) + TAG_BYTES)), []
        while size_bytes > 0:
            stripe, offset = divmod(start, STRIPE_BYTES)
            end = min(offset + size_bytes, STRIPE_BYTES)
            self.fill(stripe, buffer[: end + TAG_BYTES])
            parts.append(bytes(buffer[offset:end]))
            start, size_bytes = start + end - offset, size_bytes - (end - offset)
        return b"".join(parts)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a mask key is not pickled")


@cache
def fastest() -> Path:
    """Name the faster of the two paths on this machine; measured once, on 1 MiB."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    return min(("gcm", "ctr"), key=lambda path: _seconds(Keystream(bytes(32), path), buffer))


def _seconds(stream: Keystream, buffer: memoryview) -> float:
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        stream.fill(0, buffer)
        best = min(best, time.perf_counter() - start)
    return best


def _gcm(key: bytes) -> _Fill:
    sealed = AESGCM(key)

    def fill(stripe: int, room: memoryview) -> None:
        sealed.encrypt_into(stripe.to_bytes(12, "big"), _ZEROS_VIEW[: len(room) - TAG_BYTES], None, room)

    return fill


def _ctr(key: bytes) -> _Fill:
    algorithm = AES256(key)

    def fill(stripe: int, room: memoryview) -> None:
        block = stripe.to_bytes(12, "big") + _FIRST_COUNTER
        Cipher(algorithm, CTR(block)).encryptor().update_into(_ZEROS_VIEW[: len(room) - TAG_BYTES], room)

    return fill
