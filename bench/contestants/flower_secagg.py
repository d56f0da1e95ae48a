"""Flower's SecAgg+ as a contestant: its own functions, in the order of secaggplus_mod.py and secaggplus_workflow.py."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.common import ndarray_to_bytes
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

from bench.contestants.timing import Seconds, cpu_s

MOD, CLIP, TARGET = 2**32, 8.0, 2**22
"""Flower's defaults: modulus, clipping range, target range."""


@dataclass(frozen=True)
class Mail:
    """What a client has before stage 2: the others' letters, the key they open with, the key pair of its masks."""

    letters: list[bytes]
    key: bytes
    stored: bytes
    public: bytes


@dataclass(frozen=True)
class Flower:
    """One client of Flower's protocol among n, on a complete graph."""

    n: int
    t: int
    update: np.ndarray[Any, np.dtype[np.float32]]

    def prepare(self) -> list[bytes]:
        """Stages 0 and 1: two key pairs, shares of seed and key, one ciphertext for each peer."""
        sk1, _ = generate_key_pairs()
        sk2, pk2 = generate_key_pairs()
        stored1, stored2, public = private_key_to_bytes(sk1), private_key_to_bytes(sk2), public_key_to_bytes(pk2)
        b_shares = create_shares(os.urandom(32), self.t, self.n)
        sk_shares = create_shares(stored1, self.t, self.n)
        return [
            encrypt(
                generate_shared_key(bytes_to_private_key(stored2), bytes_to_public_key(public)),
                share_keys_plaintext_concat(0, peer, b_shares[peer], sk_shares[peer]),
            )
            for peer in range(1, self.n)
        ]

    def quantised(self) -> list[Any]:
        """Stage 2, first half: scale, quantise, put the weight in front."""
        return factor_combine(TARGET, quantize(parameters_multiply([self.update], 1.0), CLIP, TARGET))

    def mask(self, vector: list[Any], agree: Callable[[int], bytes] = lambda peer: bytes([peer]) * 32) -> list[Any]:
        """Stage 2, second half: own mask and one for each peer."""
        shapes = [part.shape for part in vector]
        vector = parameters_addition(vector, pseudo_rand_gen(bytes(32), MOD, shapes))
        for peer in range(1, self.n):
            mask = pseudo_rand_gen(agree(peer), MOD, shapes)
            vector = parameters_addition(vector, mask) if peer % 2 else parameters_subtraction(vector, mask)
        return parameters_mod(vector, MOD)

    def step(self, mail: Mail) -> bytes:
        """Stage 2 as a whole: open the letters, quantise, agree on each mask key, mask, turn into bytes."""
        for letter in mail.letters:
            share_keys_plaintext_separate(decrypt(mail.key, letter))
        stored, public = mail.stored, mail.public

        def agree(_: int) -> bytes:
            return generate_shared_key(bytes_to_private_key(stored), bytes_to_public_key(public))

        return ndarray_to_bytes(self.mask(self.quantised(), agree)[-1])

    def mail(self) -> Mail:
        """Letters as `step` gets them, and the keys it has from before."""
        own, public = generate_key_pairs()
        key = generate_shared_key(own, own.public_key())
        share = create_shares(private_key_to_bytes(own), self.t, self.n)[0]
        plaintext = share_keys_plaintext_concat(0, 1, share, share)
        letters = [encrypt(key, plaintext) for _ in range(1, self.n)]
        return Mail(letters, key, private_key_to_bytes(own), public_key_to_bytes(public))

    def add(self, vector: list[Any]) -> list[Any]:
        """Stage 3 at the server: add one upload to the sum."""
        return parameters_addition(vector, vector)

    def shares_s(self, dropped: int) -> Seconds:
        """Stage 3 at the server: open every client's secret from all shares; one of each kind timed, and multiplied."""
        seed = create_shares(os.urandom(32), self.t, self.n)
        key = create_shares(private_key_to_bytes(generate_key_pairs()[0]), self.t, self.n)
        answers = self.n - dropped
        of_seed = cpu_s(lambda: combine_shares(seed[:answers]), repeats=2)
        of_key = cpu_s(lambda: combine_shares(key[:answers]), repeats=2)
        return (self.n - dropped) * of_seed + dropped * of_key

    def unmask_s(self, dropped: int) -> Seconds:
        """Stage 3 at the server: one mask expanded and subtracted, times the number of masks; keys agreed on before."""
        vector = self.quantised()
        shapes = [part.shape for part in vector]
        one = cpu_s(lambda: parameters_subtraction(vector, pseudo_rand_gen(bytes(32), MOD, shapes)), repeats=2)
        return one * ((self.n - dropped) + dropped * (self.n - 1))
