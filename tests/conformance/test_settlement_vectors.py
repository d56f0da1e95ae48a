"""The pinned settlements: rebuilt without a difference, recomputed by a second implementation, the cheats refused."""

import hashlib
import json
import math
import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from fedgap.secagg.dispute import EdgeEvidence, verify_liar
from fedgap.secagg.errors import RefusalError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.settlement import Answer, Report
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.wire import unpack
from tests.settling.settled_run import ROWS, SettledRun
from tests.vectors.settlement.make import Play, closed

FOLDER = Path(__file__).parent.parent / "vectors" / "settlement"
HONEST = sorted(path for path in FOLDER.iterdir() if (path / "case.json").exists() and not path.name.endswith("_fail"))
CHEATS = sorted(path for path in FOLDER.iterdir() if path.name.endswith("_fail"))
BOUND = 2**16 // 3
MASK = 2**64 - 1


def _case(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "case.json").read_text())
    return content


def test_the_vectors_are_rebuilt_without_a_difference() -> None:
    script = [sys.executable, str(FOLDER / "make.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(FOLDER.parents[2]), *sys.path]))}
    assert subprocess.run(script, check=False, env=environment).returncode == 0


def test_there_are_honest_cases_and_cheats() -> None:
    assert len(HONEST) >= 4
    assert len(CHEATS) >= 6
    assert ROWS


# --- a second implementation, from docs/protocol.md, with nothing of fedgap's ---


def _head(major: int, count: int) -> bytes:
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if count < 24:
            return bytes([32 * major + count])
        if count < 256 ** struct.calcsize(form):
            return bytes([32 * major + info]) + struct.pack(form, count)
    raise AssertionError(count)


def _value(value: bytes | str | float | tuple[Any, ...] | list[Any]) -> bytes:
    """Canonical bytes."""
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    return _head(4, len(value)) + b"".join(map(_value, value))


def _digest(label: str, *values: Any) -> bytes:  # noqa: ANN401 - any values
    return hashlib.sha256(_value(("fedgap/1/" + label, *values))).digest()


def _mask(secret: str, words: int) -> list[int]:
    key = HKDFExpand(SHA256(), 32, _value(("fedgap/1/mask",))).derive(bytes.fromhex(secret))
    stream = Cipher(AES256(key), CTR(bytes(12) + struct.pack(">I", 2))).encryptor().update(bytes(4 * words))
    return list(struct.unpack(f"<{words}I", stream))


def _draws(seed: int, round_: int, slot: int, count: int) -> list[float]:
    """The public rounding: 16 bits for each coordinate of the counter hash."""
    state = hashlib.sha256()
    for part in (seed, "direction-rounding", round_, slot):
        body = str(part).encode()
        state.update((b"s" if isinstance(part, str) else b"i") + len(body).to_bytes(8, "big") + body)
    key, found = int.from_bytes(state.digest()[:8], "big"), []
    for k in range(-(-count // 4)):
        z = (key + (k + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        found += [((z >> (16 * lane)) & 0xFFFF) for lane in range(4)]
    return [(draw + 0.5) / 65536 for draw in found[:count]]


def _centred(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_a_second_implementation_gets_the_same_directions_and_digests(folder: Path) -> None:
    case = _case(folder)
    shares = {m["seat"]: m["weight"] / max(n["weight"] for n in case["members"]) for m in case["members"]}
    for one in case["rounds"]:
        v = np.asarray(one["unrounded"])
        step = one["clip"] / math.fsum(shares[seat] for seat in one["seats"])
        if one is case["rounds"][0]:
            assert one["scale"] == pytest.approx(BOUND / 2 / (step * float(np.sqrt((v * v).sum()))), rel=1e-12)
        draws = _draws(case["seed"], one["round"], 1, len(v))
        q = [math.floor(x * step * one["scale"] + draw) for x, draw in zip(v.tolist(), draws, strict=True)]
        assert one["direction"] == q
        assert sum(x * x for x in q) <= BOUND**2
        hidden = _digest("direction", bytes.fromhex(one["salt"]), struct.pack(f"<{len(q)}h", *q))
        name = _digest("slot", bytes.fromhex(one["agreed"]), 1)
        said = _digest("D_Q", bytes.fromhex(one["agreed"]), 1, one["scale"], hidden)
        assert (hidden.hex(), name.hex(), said.hex()) == (one["hidden"], one["slot"], one["said"])
    context = _digest("settling", bytes.fromhex(case["manifest_digest"]), 1)
    rounds = [(one["round"], bytes.fromhex(one["agreed"]), (bytes.fromhex(one["said"]),)) for one in case["rounds"]]
    assert _digest("listed", context, rounds).hex() == case["listed"]


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_a_second_implementation_gets_the_same_answers_and_values(folder: Path) -> None:
    case = _case(folder)
    truth = {(low, high): values for low, high, values, _ in case["judged"]}
    numbers: dict[int, int] = {}
    for member in case["members"]:
        seat, own, edges = member["seat"], 0, dict[int, int]()
        for one in case["rounds"]:
            if seat not in one["seats"]:
                continue
            words = member["encoded"][str(one["round"])]
            own += sum(q * x for q, x in zip(one["direction"], words, strict=False))
            for peer in set(one["seats"]) - {seat}:
                mask = _mask(member["edges"][str(one["round"])][str(peer)], len(one["direction"]))
                edges[peer] = edges.get(peer, 0) + sum(q * m for q, m in zip(one["direction"], mask, strict=True))
        numbers[seat] = _centred(own)
        path = folder / f"03b-answer-{seat}-server.bin"
        if not path.exists():
            continue
        answer = unpack(Answer, path.read_bytes())
        expected = [Report(peer=peer, values=(edges[peer] % 2**32,)) for peer in sorted(edges)]
        assert [report.peer for report in answer.reports] == sorted(edges)
        lied = {sum(ends) - seat for *ends, _, liars in case["judged"] if seat in liars}
        assert {report.peer for report in answer.reports if report not in expected} == lied
        assert all([edges[high] % 2**32] == values for (low, high), values in truth.items() if low == seat)
        context = _digest("settling", bytes.fromhex(case["manifest_digest"]), 1)
        reports = [(report.peer, report.values) for report in answer.reports]
        said = _digest("reports", bytes.fromhex(case["listed"]), reports)
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(member["identity_secret"]))
        assert key.sign(_value(("fedgap/1/answer", context, seat, said))) == answer.signature
    assert case["blocs"] == [[[seat], [number]] for seat, number in sorted(numbers.items())]
    worth = 1 / (Fraction(case["rounds"][0]["scale"]) * case["amplitude"])
    assert case["values"] == [[str(number * worth)] for _, number in sorted(numbers.items())]


def test_the_liar_of_the_vector_is_named_by_its_evidence() -> None:
    folder = FOLDER / "four-one-lies"
    manifest = unpack(Manifest, (folder / "manifest.bin").read_bytes())
    evaluation = unpack(Evaluation, (folder / "evaluation.bin").read_bytes())
    proof = unpack(EdgeEvidence, (folder / "evidence-1-0-2.bin").read_bytes())

    assert verify_liar(Tenure.of(manifest), evaluation, proof)[1] == {2}


@pytest.mark.parametrize("folder", CHEATS, ids=lambda path: path.name)
def test_a_cheat_is_refused_with_its_code(folder: Path) -> None:
    case = _case(folder)
    run: SettledRun = closed() if case["closed"] else Play(n=4).run()
    for member in run.members:
        with pytest.raises(RefusalError) as caught:
            member.handle((folder / "refused.bin").read_bytes())
        assert caught.value.code == case["refused_with"]
