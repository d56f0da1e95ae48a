"""Every primitive fedgap uses, in one place: the only package that imports `cryptography`.

Ed25519 signs, X25519 agrees on secrets, HKDF-SHA256 derives keys, AES-256-GCM seals letters, AES-256-CTR expands masks,
SHA-256 hashes canonical bytes and Merkle trees. Everything hashed, signed or derived carries a label that begins with
`fedgap/1/`, so that bytes made for one purpose mean nothing for another.
"""

from fedgap.crypto.canonical import Flow, Pieces, Value, decode, digest, digester, encode, statement
from fedgap.crypto.errors import BadBytesError, BadKeyError, BadLetterError, BadPassphraseError, BadSignatureError
from fedgap.crypto.kdf import expand, expander, extract
from fedgap.crypto.keyfile import open_key, seal_key
from fedgap.crypto.keys import (
    SIGNATURE_BYTES,
    AgreementKey,
    Identity,
    is_fresh_statement,
    is_signed,
    is_signed_statement,
    require_signature,
)
from fedgap.crypto.keystream import Keystream
from fedgap.crypto.letters import open_letter, seal_letter
from fedgap.crypto.merkle import is_leaf, leaf_paths, root_of_chunks, root_of_leaves
from fedgap.crypto.node_key import NodeKey, new_node_key, open_node_key, seal_node_key
from fedgap.crypto.randomness import Rand, seeded, system

__all__ = [
    "SIGNATURE_BYTES",
    "AgreementKey",
    "BadBytesError",
    "BadKeyError",
    "BadLetterError",
    "BadPassphraseError",
    "BadSignatureError",
    "Flow",
    "Identity",
    "Keystream",
    "NodeKey",
    "Pieces",
    "Rand",
    "Value",
    "decode",
    "digest",
    "digester",
    "encode",
    "expand",
    "expander",
    "extract",
    "is_fresh_statement",
    "is_leaf",
    "is_signed",
    "is_signed_statement",
    "leaf_paths",
    "new_node_key",
    "open_key",
    "open_letter",
    "open_node_key",
    "require_signature",
    "root_of_chunks",
    "root_of_leaves",
    "seal_key",
    "seal_letter",
    "seal_node_key",
    "seeded",
    "statement",
    "system",
]
