"""Signing and agreement keys: what is accepted, what is refused, and that secrets stay out of sight."""

import pickle

import pytest

from fedgap.crypto import (
    AgreementKey,
    BadBytesError,
    BadKeyError,
    BadPassphraseError,
    BadSignatureError,
    Identity,
    Keystream,
    is_signed,
    open_key,
    require_signature,
    seal_key,
    seeded,
    system,
)

ALICE = Identity(b"a" * 32)
BOB = Identity(b"b" * 32)
PHRASE = "correct horse"


def test_a_signature_holds_for_its_statement_and_key_only() -> None:
    signature = ALICE.sign("advert", 1, b"x")
    assert is_signed(ALICE.public, signature, "advert", 1, b"x")
    assert not is_signed(ALICE.public, signature, "upload", 1, b"x")
    assert not is_signed(ALICE.public, signature, "advert", 2, b"x")
    assert not is_signed(BOB.public, signature, "advert", 1, b"x")


def test_a_missing_signature_is_named_by_its_label() -> None:
    require_signature(ALICE.public, ALICE.sign("advert", 1), "advert", 1)
    with pytest.raises(BadSignatureError, match="advert"):
        require_signature(ALICE.public, BOB.sign("advert", 1), "advert", 1)


@pytest.mark.parametrize("bit", [0, 255, 256, 511])
def test_one_flipped_bit_breaks_a_signature(bit: int) -> None:
    changed = bytearray(ALICE.sign("advert", 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert not is_signed(ALICE.public, bytes(changed), "advert", 1)


def test_both_ends_agree_and_nobody_else() -> None:
    alice, bob, eve = (AgreementKey(bytes([k]) * 32) for k in (1, 2, 3))
    assert alice.agree(bob.public) == bob.agree(alice.public)
    assert alice.agree(bob.public) != eve.agree(bob.public)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_a_wrong_length_are_refused(size: int) -> None:
    wrong = bytes(size)
    for make in (Identity, AgreementKey, AgreementKey(b"k" * 32).agree):
        with pytest.raises(BadKeyError):
            make(wrong)
    assert not is_signed(wrong, ALICE.sign("advert"), "advert")


@pytest.mark.parametrize("secret", [Identity(b"s" * 32), AgreementKey(b"s" * 32), Keystream(b"s" * 32)])
def test_secrets_are_neither_shown_nor_pickled(secret: object) -> None:
    assert "ssss" not in repr(secret)
    assert "7373" not in repr(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_plain_key_file_opens_again() -> None:
    assert open_key(seal_key(ALICE, passphrase=None, salt=bytes(16)), passphrase=None) == ALICE


def test_a_sealed_key_file_opens_with_its_passphrase_only() -> None:
    content = seal_key(ALICE, passphrase=PHRASE, salt=b"0123456789abcdef")
    assert ALICE.secret not in content
    assert open_key(content, passphrase=PHRASE) == ALICE
    for wrong in ("correct hors", None):
        with pytest.raises(BadPassphraseError):
            open_key(content, passphrase=wrong)


def test_a_changed_key_file_is_refused() -> None:
    content = seal_key(ALICE, passphrase=None, salt=bytes(16))
    other = content.replace(ALICE.public, BOB.public)
    for wrong in (other, content[:-1], content + b"\0", b"", content.replace(b"plain", b"plane")):
        with pytest.raises(BadBytesError):
            open_key(wrong, passphrase=None)


def test_system_randomness_does_not_repeat() -> None:
    assert len(system(32)) == 32
    assert system(32) != system(32)


def test_seeded_randomness_repeats_for_its_purpose_and_never_within_it() -> None:
    one, again, other = seeded("test", 1), seeded("test", 1), seeded("test", 2)
    first = [one(32), one(5), one(32)]
    assert first == [again(32), again(5), again(32)]
    assert first[0] != first[2]
    assert first[0] != other(32)
