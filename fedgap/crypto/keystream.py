"""The mask stream: AES-256 in counter mode, addressable by stripe, at the speed of the machine.

Stripe s of a key is AES-256-CTR from the initial block `s (12 bytes, big-endian) | 2 (4 bytes)`, 256 KiB long. AES-GCM
encrypts its first block with counter 2 (NIST SP 800-38D, section 7.1), so sealing zeros under nonce s gives the same
bytes and a tag nobody needs; on machines with wide AES instructions that is up to twice as fast. Both are tried once
and the faster one is used: the bits are the same. A key is used for one stream and for nothing else.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias

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

Path: TypeAlias = Literal["ctr", "gcm"]
_ZEROS = bytes(STRIPE_BYTES)
_ZEROS_VIEW = memoryview(_ZEROS)
_FIRST_COUNTER = (2).to_bytes(4, "big")
Place: TypeAlias = tuple[bytes, memoryview, None, memoryview]
"""Which part of a stream is written where; the same for every key (see `place`)."""

Fill: TypeAlias = Callable[[bytes, memoryview, None, memoryview], object]


def place(stripe: int, room: memoryview) -> Place:
    """Ask for the beginning of a stripe, below 2**96: it fills all of `room` but its last 16 bytes.

    Those are overwritten too. `room` has at most STRIPE_BYTES and these 16.
    """
    return stripe.to_bytes(12, "big"), _ZEROS_VIEW[: len(room) - TAG_BYTES], None, room


class Keystream:
    """The stream of one 32-byte key. Safe to use from several threads, each with its own buffer.

    Attributes:
        fill: `fill(*place(stripe, room))` writes the beginning of a stripe into `room`.
    """

    __slots__ = ("fill",)
    fill: Fill

    def __init__(self, key: bytes, path: Path | None = None) -> None:
        """Take the key; None takes the faster path."""
        self.fill = _gcm(key) if (path or fastest()) == "gcm" else _ctr(key)

    def read(self, start: int, size_bytes: int) -> bytes:
        """Read any part of the stream; for tests, vectors and single chunks."""
        buffer, parts = memoryview(bytearray(min(start % STRIPE_BYTES + size_bytes, STRIPE_BYTES) + TAG_BYTES)), []
        while size_bytes > 0:
            stripe, offset = divmod(start, STRIPE_BYTES)
            end = min(offset + size_bytes, STRIPE_BYTES)
            self.fill(*place(stripe, buffer[: end + TAG_BYTES]))
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
    best, beginning = float("inf"), place(0, buffer)
    for _ in range(4):
        start = time.perf_counter()
        stream.fill(*beginning)
        best = min(best, time.perf_counter() - start)
    return best


def _gcm(key: bytes) -> Fill:
    return AESGCM(key).encrypt_into


def _ctr(key: bytes) -> Fill:
    algorithm = AES256(key)

    def fill(nonce: bytes, zeros: memoryview, _: None, room: memoryview) -> None:
        Cipher(algorithm, CTR(nonce + _FIRST_COUNTER)).encryptor().update_into(zeros, room)

    return fill
