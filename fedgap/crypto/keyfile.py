"""The bytes of a key file: a signing key, sealed under a passphrase if there is one.

With a passphrase the sealing key is scrypt(passphrase, salt; N = 2**17, r = 8, p = 1): 128 MiB and about half a second
for each guess. `fedgap.storage.write_key` puts the bytes on disk, readable by their owner only.
"""

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedgap.crypto.canonical import decode, encode
from fedgap.crypto.errors import BadBytesError, BadLetterError, BadPassphraseError
from fedgap.crypto.keys import KEY_BYTES, Identity
from fedgap.crypto.letters import open_letter, seal_letter

_PLAIN = "fedgap/1/key-file/plain"
_SEALED = "fedgap/1/key-file/sealed"
_SALT_BYTES = 16


def seal_key(identity: Identity, *, passphrase: str | None, salt: bytes) -> bytes:
    """Write a signing key as the bytes of a key file.

    Args:
        identity: the key.
        passphrase: None leaves the key readable to whoever can read the file.
        salt: 16 fresh random bytes.
    """
    if passphrase is None:
        return encode((_PLAIN, identity.public, identity.secret))
    sealed = seal_letter(stretch(passphrase, salt), identity.secret, "key-file", identity.public, salt)
    return encode((_SEALED, identity.public, salt, sealed))


def open_key(content: bytes, *, passphrase: str | None) -> Identity:
    """Read the bytes of a key file.

    Raises:
        BadBytesError: they are no key file.
        BadPassphraseError: it is sealed and the passphrase is missing or wrong, or the file was changed.
    """
    match decode(content):
        case (str(kind), bytes(public), bytes(secret)) if kind == _PLAIN and len(secret) == KEY_BYTES:
            pass
        case (str(kind), bytes(public), bytes(salt), bytes(sealed)) if kind == _SEALED and len(salt) == _SALT_BYTES:
            if passphrase is None:
                raise BadPassphraseError("The key file is sealed and no passphrase was given.")
            try:
                secret = open_letter(stretch(passphrase, salt), sealed, "key-file", public, salt)
            except BadLetterError as error:
                raise BadPassphraseError("The key file does not open with this passphrase.") from error
        case _:
            raise BadBytesError("This is not a fedgap key file.")
    identity = Identity(secret)
    if identity.public != public:
        raise BadBytesError("The two halves of the key file do not belong together.")
    return identity


def stretch(passphrase: str, salt: bytes) -> bytes:
    """Turn a passphrase into a sealing key, slowly: 128 MiB and about half a second."""
    return Scrypt(salt=salt, length=KEY_BYTES, n=2**17, r=8, p=1).derive(passphrase.encode())
