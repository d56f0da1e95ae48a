"""Sealed letters: what one organisation writes to another through a server that must not read it (AES-256-GCM).

A letter's key is derived for two correspondents and one round, and seals one letter each way: the turn is the nonce.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedgap.crypto.canonical import Value, statement
from fedgap.crypto.errors import BadLetterError

SEAL_BYTES = 16
"""A letter is this much longer than its content."""

_NONCES = (bytes(12), bytes(11) + b"\1")


def seal_letter(key: bytes, content: bytes, label: str, *context: Value, turn: int = 0) -> bytes:
    """Seal the one letter of this key and turn (0 or 1); label and context are authenticated with it and not sent."""
    return AESGCM(key).encrypt(_NONCES[turn], content, statement(label, *context))


def open_letter(key: bytes, letter: bytes, label: str, *context: Value, turn: int = 0) -> bytes:
    """Open a letter sealed with the same key, turn, label and context.

    Raises:
        BadLetterError: it was not, or it was changed.
    """
    try:
        return AESGCM(key).decrypt(_NONCES[turn], letter, statement(label, *context))
    except (InvalidTag, ValueError) as error:
        raise BadLetterError("A sealed letter does not open.") from error
