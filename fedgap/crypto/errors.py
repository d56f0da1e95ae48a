"""What can be wrong with bytes, keys, letters and signatures. No message carries any of them."""

from fedgap.errors import FedgapError


class BadBytesError(FedgapError):
    """Bytes are not what the format says: too short, too long, of a wrong kind, or written in a second way."""

    code = "crypto.bad-bytes"
    remedy = "The sender runs another version or the message was changed on its way; nothing was used."


class BadKeyError(FedgapError):
    """A public or private key is malformed or of small order."""

    code = "crypto.bad-key"
    remedy = "Ask the key's owner for the key again; nothing was derived from this one."


class BadSignatureError(FedgapError):
    """A signature does not fit the statement and the key."""

    code = "crypto.bad-signature"
    remedy = "The statement was not made by this key, or it was changed on its way; nothing was used."


class BadLetterError(FedgapError):
    """A sealed letter does not open: another key, another purpose, or changed on its way."""

    code = "crypto.bad-letter"
    remedy = "Nothing of the letter was used."


class BadPassphraseError(FedgapError):
    """A key file does not open with this passphrase, or it was changed."""

    code = "crypto.bad-passphrase"
    remedy = "Try the passphrase again; if it is lost, the organisation needs a new key (see `docs/protocol.md`)."
