"""The key a site shows Flower: ECDSA on P-384, known to the server by one line in OpenSSH's format.

It opens the door to the server's Fleet API and nothing else; what an organisation says is signed with its Ed25519
identity. The file is sealed like that of the identity (`fedgap.crypto.keyfile`).
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from fedgap.crypto.canonical import decode, encode
from fedgap.crypto.errors import BadBytesError, BadLetterError, BadPassphraseError
from fedgap.crypto.keyfile import stretch
from fedgap.crypto.letters import open_letter, seal_letter

_PLAIN = "fedgap/1/node-key-file/plain"
_SEALED = "fedgap/1/node-key-file/sealed"
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node's key pair.

    Attributes:
        private: what Flower signs requests with.
        public: one line, `ecdsa-sha2-nistp384 ...`, without a comment.
    """

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: str = field(init=False)

    def __post_init__(self) -> None:
        line = self.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        object.__setattr__(self, "public", line)


def new_node_key() -> NodeKey:
    """Draw a key from the operating system."""
    return NodeKey(ec.generate_private_key(ec.SECP384R1()))


def seal_node_key(key: NodeKey, *, passphrase: str | None, salt: bytes) -> bytes:
    """Write the bytes of a key file.

    Args:
        key: the key.
        passphrase: None leaves the key readable to whoever can read the file.
        salt: 16 fresh random bytes.
    """
    secret = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if passphrase is None:
        return encode((_PLAIN, key.public, secret))
    return encode((_SEALED, key.public, salt, seal_letter(stretch(passphrase, salt), secret, "node-key", key.public)))


def open_node_key(content: bytes, *, passphrase: str | None) -> NodeKey:
    """Read the bytes of a key file.

    Raises:
        BadBytesError: they are no key file.
        BadPassphraseError: it is sealed and the passphrase is missing or wrong, or the file was changed.
    """
    match decode(content):
        case (str(kind), str(public), bytes(secret)) if kind == _PLAIN:
            pass
        case (str(kind), str(public), bytes(salt), bytes(sealed)) if kind == _SEALED and len(salt) == _SALT_BYTES:
            if passphrase is None:
                raise BadPassphraseError("The node's key file is sealed and no passphrase was given.")
            try:
                secret = open_letter(stretch(passphrase, salt), sealed, "node-key", public)
            except BadLetterError as error:
                raise BadPassphraseError("The node's key file does not open with this passphrase.") from error
        case _:
            raise BadBytesError("This is not the file of a node's key.")
    try:
        private = load_der_private_key(secret, None)
    except ValueError as error:
        raise BadBytesError("The node's key cannot be read.") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or NodeKey(private).public != public:
        raise BadBytesError("The two halves of the node's key file do not belong together.")
    return NodeKey(private)
