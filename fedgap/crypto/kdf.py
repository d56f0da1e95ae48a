"""HKDF-SHA256 (RFC 5869): one secret in, as many independent keys out as there are labels."""

import hashlib
import hmac

from fedgap.crypto.canonical import Value, statement


def extract(secret: bytes, *, salt: bytes) -> bytes:
    """Concentrate a secret that is not uniform (an X25519 result) into a 32-byte key.

    Source: RFC 5869, section 2.2.
    """
    return hmac.digest(salt, secret, hashlib.sha256)


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


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """T(1) | T(2) | ..., each the HMAC of the one before, the info and a counter; almost always one is enough."""
    block = hmac.digest(key, info + b"\1", hashlib.sha256)
    blocks = [block]
    for counter in range(2, -(-size // len(block)) + 1):
        block = hmac.digest(key, block + info + counter.to_bytes(1, "big"), hashlib.sha256)
        blocks.append(block)
    return b"".join(blocks)[:size]
