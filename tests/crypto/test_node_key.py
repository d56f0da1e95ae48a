"""The key a site shows Flower: made, kept, sealed, and refused when it is something else."""

import pytest

from fedgap.crypto import (
    BadBytesError,
    BadPassphraseError,
    Identity,
    NodeKey,
    encode,
    new_node_key,
    open_node_key,
    seal_key,
    seal_node_key,
)

WORD = "one"
SALT = bytes(range(16))


@pytest.fixture(scope="module")
def key() -> NodeKey:
    """One key for all tests."""
    return new_node_key()


def test_two_keys_differ_and_their_public_half_is_one_line(key: NodeKey) -> None:
    assert new_node_key().public != key.public
    assert key.public.startswith("ecdsa-sha2-nistp384 ")
    assert key.public.split() == key.public.split(" ")


def test_the_secret_is_not_shown(key: NodeKey) -> None:
    assert "private" not in repr(key)


@pytest.mark.parametrize("passphrase", [None, "correct horse", "ümläut"])
def test_a_key_reads_back_the_same(key: NodeKey, passphrase: str | None) -> None:
    assert (
        open_node_key(seal_node_key(key, passphrase=passphrase, salt=SALT), passphrase=passphrase).public == key.public
    )


def test_a_sealed_key_needs_its_passphrase_and_hides_its_secret(key: NodeKey) -> None:
    sealed = seal_node_key(key, passphrase=WORD, salt=SALT)
    plain = seal_node_key(key, passphrase=None, salt=SALT)

    assert plain[-60:] not in sealed
    for wrong in (None, "two"):
        with pytest.raises(BadPassphraseError):
            open_node_key(sealed, passphrase=wrong)
    with pytest.raises(BadPassphraseError):
        open_node_key(sealed[:-1] + bytes([sealed[-1] ^ 1]), passphrase=WORD)


def test_something_else_is_refused(key: NodeKey) -> None:
    whole = seal_node_key(key, passphrase=None, salt=SALT)
    other = new_node_key()
    halves = seal_node_key(other, passphrase=None, salt=SALT).replace(other.public.encode(), key.public.encode())
    identity = seal_key(Identity(bytes(32)), passphrase=None, salt=SALT)
    for content in (b"", whole[:-1], halves, identity, encode(("fedgap/1/node-key-file/plain", "x", b"y"))):
        with pytest.raises(BadBytesError):
            open_node_key(content, passphrase=None)
