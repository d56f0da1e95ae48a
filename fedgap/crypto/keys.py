"""Keys of organisations: Ed25519 to sign for years, X25519 to agree on a secret for one round."""

from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fedgap.crypto.canonical import Value, statement
from fedgap.crypto.errors import BadKeyError, BadSignatureError

KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """The key an organisation (or the server) signs with; it is known by the public half.

    Attributes:
        secret: Ed25519 seed, 32 bytes (RFC 8032).
        public: the public key, 32 bytes.
    """

    secret: bytes = field(repr=False)
    public: bytes = field(init=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            key = Ed25519PrivateKey.from_private_bytes(self.secret)
        except ValueError as error:
            raise BadKeyError(f"A signing key has {len(self.secret)} bytes; it needs {KEY_BYTES}.") from error
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "public", key.public_key().public_bytes_raw())

    def sign(self, label: str, *values: Value) -> bytes:
        """Sign values under a label (RFC 8032: the same statement always has the same signature), 64 bytes."""
        return self._key.sign(statement(label, *values))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a signing key is not pickled; keep it in a key file")


def is_signed(public: bytes, signature: bytes, label: str, *values: Value) -> bool:
    """Tell whether the owner of `public` signed these values under this label. A malformed key signed nothing."""
    return is_signed_statement(public, signature, statement(label, *values))


@lru_cache(maxsize=4096)
def is_signed_statement(public: bytes, signature: bytes, said: bytes) -> bool:
    """Tell whether the owner of `public` signed these bytes of a statement.

    Answers are remembered: a statement comes back in later messages, and in one process every member checks it.
    """
    return is_fresh_statement(public, signature, said)


def is_fresh_statement(public: bytes, signature: bytes, said: bytes) -> bool:
    """Tell the same without remembering the answer: for statements that are looked at once."""
    try:
        _verifier(public).verify(signature, said)
    except (InvalidSignature, BadKeyError):
        return False
    return True


def require_signature(public: bytes, signature: bytes, label: str, *values: Value) -> None:
    """Do nothing if the owner of `public` signed these values under this label.

    Raises:
        BadSignatureError: it did not.
    """
    if not is_signed(public, signature, label, *values):
        raise BadSignatureError(f"A signature under '{label}' is not valid.")


@lru_cache(maxsize=4096)
def _verifier(public: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise BadKeyError(f"A public key of {len(public)} bytes is not an Ed25519 key.") from error


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """A one-time X25519 key (RFC 7748).

    Attributes:
        secret: any 32 bytes; X25519 clamps them itself.
        public: the public key, 32 bytes.
    """

    secret: bytes = field(repr=False)
    public: bytes = field(init=False)
    _key: X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            key = X25519PrivateKey.from_private_bytes(self.secret)
        except ValueError as error:
            raise BadKeyError(f"An agreement key has {len(self.secret)} bytes; it needs {KEY_BYTES}.") from error
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "public", key.public_key().public_bytes_raw())

    def agree(self, public: bytes) -> bytes:
        """Compute the 32 bytes that this key's owner and the other's share; not uniform, so `extract` next.

        Raises:
            BadKeyError: `public` is malformed or of small order (the result would be known to everybody).
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise BadKeyError("A public agreement key is malformed or of small order.") from error

    @staticmethod
    def is_public(key: bytes) -> bool:
        """Tell whether others can agree with this public key: 32 bytes, not of small order."""
        try:
            AgreementKey(b"any" + bytes(29)).agree(key)
        except BadKeyError:
            return False
        return True

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an agreement key is not pickled; derive it again from the round's seed")
