"""The pinned vectors: rebuilt without a difference, recomputed by a second implementation, and the cheats refused."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from fedgap.crypto import Identity
from fedgap.secagg.encoding import Contribution
from fedgap.secagg.errors import RefusalError
from fedgap.secagg.local import MemoryVault, Trainer
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Shares, Upload
from fedgap.secagg.participant import Participant
from fedgap.secagg.transcript import Advert
from fedgap.secagg.wire import unpack

FOLDER = Path(__file__).parent.parent / "vectors" / "secagg"
HONEST = sorted(path for path in FOLDER.iterdir() if path.is_dir() and not path.name.endswith("_fail"))
CHEATS = sorted(path for path in FOLDER.iterdir() if path.name.endswith("_fail"))
Words = np.ndarray[Any, np.dtype[np.uint32]]


def _case(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "case.json").read_text())
    return content


def test_the_vectors_are_rebuilt_without_a_difference() -> None:
    script = [sys.executable, str(FOLDER / "make.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run(script, check=False, env=environment).returncode == 0


def test_there_are_honest_cases_and_cheats() -> None:
    assert len(HONEST) >= 3
    assert len(CHEATS) >= 6


# --- a second implementation, from docs/protocol.md, with nothing of fedgap's ---


def _head(major: int, count: int) -> bytes:
    """The beginning of a value: its sort and its count, as short as it can be."""
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if count < 24:
            return bytes([32 * major + count])
        if count < 256 ** struct.calcsize(form):
            return bytes([32 * major + info]) + struct.pack(form, count)
    raise AssertionError(count)


def _value(value: bytes | str | int | tuple[Any, ...]) -> bytes:
    """Canonical bytes."""
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    return _head(4, len(value)) + b"".join(map(_value, value))


def _hash(label: str, *values: Any) -> bytes:  # noqa: ANN401 - any values
    return hashlib.sha256(_value(("fedgap/1/" + label, *values))).digest()


def _expand(key: bytes, label: str, *context: Any) -> bytes:  # noqa: ANN401 - any values
    return HKDFExpand(SHA256(), 32, _value(("fedgap/1/" + label, *context))).derive(key)


def _stream(key: bytes, words: int) -> Words:
    initial = bytes(12) + struct.pack(">I", 2)
    return np.frombuffer(Cipher(AES256(key), CTR(initial)).encryptor().update(bytes(4 * words)), "<u4")


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_a_second_implementation_gets_the_same_secrets_masks_and_sum(folder: Path) -> None:
    case = _case(folder)
    sid, prime = bytes.fromhex(case["sid"]), 2**255 - 19
    adverts = {seat: unpack(Advert, _sent(folder, "01b-advert", seat)) for seat in range(len(case["members"]))}
    keys = [(seat, a.mask_public, a.letter_public) for seat, a in sorted(adverts.items())]
    t1 = _hash("T1", sid, bytes.fromhex(case["encoding_digest"]), tuple(keys))
    total = np.zeros(len(case["sum"]), np.uint32)
    for member in case["members"]:
        seat, seed = member["seat"], bytes.fromhex(member["seed"])
        info = _value(("fedgap/1/sigma", sid, seat))
        sigma = int.from_bytes(HKDFExpand(SHA256(), 48, info).derive(seed), "little") % prime
        assert sigma.to_bytes(32, "little").hex() == member["sigma"]
        private = X25519PrivateKey.from_private_bytes(_expand(bytes.fromhex(member["sigma"]), "mask-key", sid, seat))
        assert private.public_key().public_bytes_raw() == adverts[seat].mask_public
        own = _stream(_expand(bytes.fromhex(member["b"]), "self-mask", sid, seat), len(total))
        assert own.tobytes().hex() == member["self_mask"]
        hidden = np.asarray(member["encoded"], np.uint32) + own
        for edge in member["edges"]:
            low, high = sorted((seat, edge["peer"]))
            shared = private.exchange(X25519PublicKey.from_public_bytes(adverts[edge["peer"]].mask_public))
            secret = HKDF(SHA256(), 32, t1, _value(("fedgap/1/edge", low, high))).derive(shared)
            assert secret.hex() == edge["secret"]
            assert _expand(secret, "commitment").hex() == edge["commitment"]
            mask = _stream(_expand(secret, "mask"), len(total))
            assert mask.tobytes().hex() == edge["mask"]
            hidden = hidden + mask if seat == low else hidden - mask
        if (folder / f"03b-upload-{seat}-server.bin").exists():
            assert unpack(Upload, _sent(folder, "03b-upload", seat)).body == hidden.astype("<u4").tobytes()
            total += np.asarray(member["encoded"], np.uint32)
    assert total.tolist() == case["sum"]


def _sent(folder: Path, what: str, seat: int) -> bytes:
    return (folder / f"{what}-{seat}-server.bin").read_bytes()


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_a_second_implementation_deals_the_same_rows(folder: Path) -> None:
    case = _case(folder)
    sid, count, prime = bytes.fromhex(case["sid"]), len(case["members"]), 2**255 - 19
    adverts = {seat: unpack(Advert, _sent(folder, "01b-advert", seat)) for seat in range(count)}
    keys = tuple((seat, a.mask_public, a.letter_public) for seat, a in sorted(adverts.items()))
    t1 = _hash("T1", sid, bytes.fromhex(case["encoding_digest"]), keys)
    powers = unpack(Manifest, (folder / "manifest.bin").read_bytes()).quorum.t - 1
    for member in case["members"]:
        seat, seed = member["seat"], bytes.fromhex(member["seed"])
        stream = _stream(_expand(seed, "polynomials", sid, seat), 24 * powers).tobytes()
        drawn = [int.from_bytes(stream[at : at + 48], "little") for at in range(0, len(stream), 48)]
        polynomials = [
            [*half, int.from_bytes(bytes.fromhex(member[name]), "little")]
            for half, name in ((drawn[:powers], "b"), (drawn[powers:], "sigma"))
        ]
        private = X25519PrivateKey.from_private_bytes(_expand(seed, "letter-key", sid, seat))
        identity = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(member["identity_secret"]))
        shares = unpack(Shares, _sent(folder, "02b-shares", seat))
        commitments = {edge["peer"]: bytes.fromhex(edge["commitment"]) for edge in member["edges"]}
        for holder in range(count):
            dealt = [
                (sum(c * (holder + 1) ** k for k, c in enumerate(reversed(polynomial))) % prime).to_bytes(32, "little")
                for polynomial in polynomials
            ]
            if holder == seat:
                key, commitment = (
                    _expand(seed, "own-letter", sid, seat),
                    _hash("self-commitment", sid, seat, bytes.fromhex(member["b"])),
                )
            else:
                shared = private.exchange(X25519PublicKey.from_public_bytes(adverts[holder].letter_public))
                key = HKDF(SHA256(), 32, t1, _value(("fedgap/1/letter-key",))).derive(shared)
                commitment = commitments.get(holder, shares.rows[holder][:32])
            names = commitment + _hash("share-b", dealt[0]) + _hash("share-sigma", dealt[1])
            nonce = bytes(11) + bytes([holder < seat])
            letter = AESGCM(key).encrypt(nonce, b"".join(dealt), _value(("fedgap/1/letter",)))
            assert shares.rows[holder] == names + letter
            said = _value(("fedgap/1/row", t1, (seat, holder), _hash("row-head", names) + letter))
            assert shares.signatures[64 * holder : 64 * (holder + 1)] == identity.sign(said)


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_adverts_are_signed_as_documented(folder: Path) -> None:
    case = _case(folder)
    for member in case["members"]:
        advert = unpack(Advert, _sent(folder, "01b-advert", member["seat"]))
        said = _value(
            ("fedgap/1/advert", bytes.fromhex(case["sid"]), member["seat"], advert.mask_public, advert.letter_public)
        )
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(member["identity_secret"]))
        assert key.sign(said) == advert.signature


@pytest.mark.parametrize("folder", CHEATS, ids=lambda path: path.name)
def test_a_cheat_is_refused_with_its_code(folder: Path) -> None:
    case = _case(folder)
    manifest = unpack(Manifest, (folder / "manifest.bin").read_bytes())
    secrets = {m["seat"]: m["identity_secret"] for m in _case(FOLDER / "five-one-drops-before-its-upload")["members"]}
    identity = Identity(bytes.fromhex(secrets[case["member"]]))
    seat = case["member"]
    trained = Contribution(
        update=np.asarray([(seat + 1) * (k - 2) / 64 for k in range(5)], np.float32),
        statistics=np.asarray([seat / 4, -1.0], np.float32),
        metrics={"loss": 0.5 + seat},
    )
    member = Participant(
        Me(manifest, seat, identity),
        MemoryVault(),
        Trainer(lambda _: trained),
        rand=lambda _: bytes.fromhex(case["seed"]),
        simulation=True,
    )
    for before in sorted(folder.glob("*-before.bin")):
        member.handle(before.read_bytes())
    with pytest.raises(RefusalError) as caught:
        member.handle((folder / "refused.bin").read_bytes())
    assert caught.value.code == case["refused_with"]
