"""HKDF-SHA256 (RFC 5869): one secret in, as many independent keys out as there are labels."""

from collections.abc import Callable
from hashlib import sha256

from fedgap.crypto.canonical import Value, statement

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def extract(secret: bytes, *, salt: bytes) -> bytes:
    """Concentrate a secret that is not uniform (an X25519 result) into a 32-byte key.

    Source: RFC 5869, section 2.2.
    """
    return _hmac(salt, secret)


def expand(key: bytes, label: str, *context: Value, size: int = 32) -> bytes:
    """Derive a key for one purpose; whoever has it learns nothing about the others.

    Args:
        key: a uniform 32-byte key.
        label: the purpose.
        *context: what else the key is bound to, for instance both ends of an edge.
        size: length in bytes, at most 8160.

    Source: RFC 5869, section 2.3, with the canonical label and context as `info`.
    """
    return _expand(key, statement(label, *context), size)


def expander(label: str) -> Callable[[bytes], bytes]:
    """Build `expand(key, label)` for keys that are bound to their context already: a round derives thousands."""
    info = statement(label) + b"\1"

    def expanded(key: bytes) -> bytes:
        return _hmac(key, info)

    return expanded


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """T(1) | T(2) | ..., each the HMAC of the one before, the info and a counter; almost always one is enough."""
    block = _hmac(key, info + b"\1")
    if size == len(block):
        return block
    blocks = [block]
    for counter in range(2, -(-size // len(block)) + 1):
        block = _hmac(key, block + info + counter.to_bytes(1, "big"))
        blocks.append(block)
    return b"".join(blocks)[:size]


def _hmac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) as two hashes: half the time of `hmac.digest`, which looks up its algorithm every time."""
    padded = (key if len(key) <= _BLOCK_BYTES else sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(padded.translate(_INNER) + content).digest()
    return sha256(padded.translate(_OUTER) + inner).digest()
