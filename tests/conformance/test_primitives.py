"""Published vectors for every primitive, and what must be refused."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from fedgap.crypto import AgreementKey, BadKeyError, Identity, Keystream, extract, is_signed
from fedgap.crypto import kdf as kdf_module
from fedgap.crypto.keystream import STRIPE_BYTES, Path

of = bytes.fromhex


@pytest.mark.parametrize(
    ("scalar", "point", "product"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
    ],
)
def test_x25519_agrees_with_rfc_7748(scalar: str, point: str, product: str) -> None:
    assert of(product) == AgreementKey(of(scalar)).agree(of(point))


def test_x25519_public_keys_agree_with_rfc_7748() -> None:
    bob = AgreementKey(of("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert of("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f") == bob.public


@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_x25519_refuses_points_of_small_order(point: str) -> None:
    with pytest.raises(BadKeyError):
        AgreementKey(b"k" * 32).agree(of(point))


def test_ed25519_agrees_with_rfc_8032() -> None:
    identity = Identity(of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert of("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a") == identity.public
    assert of(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    ) == identity._key.sign(b"")


def test_ed25519_refuses_a_signature_with_the_group_order_added() -> None:
    """S + L verifies under a sloppy reading of the equation; RFC 8032, section 5.1.7, forbids it."""
    order = 2**252 + 27742317777372353535851937790883648493
    identity = Identity(b"i" * 32)
    signature = identity.sign("advert")
    second = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert is_signed(identity.public, signature, "advert")
    assert not is_signed(identity.public, signature[:32] + second, "advert")


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65), b"\xff" * 64])
def test_ed25519_refuses_malformed_signatures(signature: bytes) -> None:
    assert not is_signed(Identity(b"i" * 32).public, signature, "advert")


def test_hkdf_agrees_with_rfc_5869() -> None:
    key = extract(of("0b" * 22), salt=of("000102030405060708090a0b0c"))
    assert of("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5") == key
    assert of(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    ) == kdf_module._expand(key, of("f0f1f2f3f4f5f6f7f8f9"), 42)


@pytest.mark.parametrize("path", ["ctr", "gcm"])
def test_the_mask_stream_begins_like_test_case_14_of_the_gcm_specification(path: Path) -> None:
    assert of("cea7403d4d606b6e074ec5d3baf39d18") == Keystream(bytes(32), path).read(0, 16)


@pytest.mark.parametrize("path", ["ctr", "gcm"])
@pytest.mark.parametrize("stripe", [0, 1, 2**40 + 3])
def test_the_mask_stream_is_counter_mode_block_by_block(path: Path, stripe: int) -> None:
    key = of("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    block = Cipher(AES256(key), ECB()).encryptor()  # noqa: S305 - one block at a time is how counter mode is defined
    assert of("f3eed1bdb5d2a03c064b5a7e3db181f8") == block.update(of("6bc1bee22e409f96e93d7e117393172a"))  # SP 800-38A
    counters = b"".join(stripe.to_bytes(12, "big") + (2 + k).to_bytes(4, "big") for k in range(9))
    assert block.update(counters) == Keystream(key, path).read(stripe * STRIPE_BYTES, 144)
