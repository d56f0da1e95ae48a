"""What a round is bound to: each digest covers all that came before it, so different views never fit together.

sid   which round: manifest, round, attempt, state of the model, configuration
T1    sid and everybody's one-time keys           -> bound into every edge secret and letter
T2    T1 and the root over all key shares dealt   -> signed with every upload
D     T2 and who stayed, with upload roots        -> signed by tau members before anybody unmasks
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap.crypto import Flow, Pieces, digest
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.wire import Count, Hash, Positive, Seat, Signature

_STRIPE = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One attempt at one round; server and organisation each have their own, and they must be equal.

    Attributes:
        manifest: digest of the manifest.
        round: from 1.
        attempt: from 1; a round is tried again after it ended without a sum.
        state: digest of the model the round starts from, see `state_digest`.
        clip: C of this round.
        training: digest of the local training settings.
    """

    KIND: ClassVar[str] = "plan/1"

    manifest: Hash
    round: Count
    attempt: Count
    state: Hash
    clip: Positive
    training: Hash

    @property
    def sid(self) -> bytes:
        """32 bytes that name this attempt; no key or signature of one attempt is valid in another."""
        configuration = digest("configuration", self.clip, self.training)
        return digest("sid", self.manifest, self.round, self.attempt, self.state, configuration)

    @property
    def number(self) -> tuple[int, int]:
        """(round, attempt): journals only move up in this order."""
        return self.round, self.attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """Exchange 1, organisation to server: two one-time X25519 keys, signed."""

    KIND: ClassVar[str] = "advert/1"

    seat: Seat
    mask_public: Hash
    letter_public: Hash
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """One line of the list of who stayed: a member, the root of its upload, its signature over that root."""

    seat: Seat
    root: Hash
    signature: Signature


class Numbers(Protocol):
    """float64 numbers in memory or elsewhere, looked at in stripes."""

    @property
    def size(self) -> int:
        """How many."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """Some of them."""
        ...


def state_digest(model: NDArray[np.float32], *optimiser: Numbers, clip: float, applied: int) -> bytes:
    """Name a state of the model: float32 parameters, float64 optimiser state, C, number of sums applied so far.

    The arrays of the optimiser count as one, in this order; nothing is copied, and they are read stripe by stripe.
    """
    size = sum(8 * numbers.size for numbers in optimiser)
    memory = Flow(size, lambda: (part for numbers in optimiser for part in _stripes(numbers)))
    return digest("state", Pieces((_view(model, "<f4"),)), memory, clip, applied)


def _stripes(numbers: Numbers) -> Iterator[memoryview]:
    for at in range(0, numbers.size, _STRIPE):
        yield _view(numbers[at : at + _STRIPE], "<f8")


def _view(array: NDArray[np.generic], dtype: str) -> memoryview:
    return np.ascontiguousarray(array, dtype=dtype).reshape(-1).view(np.uint8).data


def first_transcript(manifest: Manifest, sid: bytes, adverts: Sequence[Advert]) -> bytes:
    """T1: the attempt, the encoding and every one-time key, in order of seats."""
    keys = [(advert.seat, advert.mask_public, advert.letter_public) for advert in adverts]
    return digest("T1", sid, manifest.encoding.digest, keys)


def second_transcript(t1: bytes, dealers: Sequence[int], dealt: bytes) -> bytes:
    """T2: T1, who dealt key shares, in order of seats, and the root over all that was dealt."""
    return digest("T2", t1, dealers, dealt)


def agreement(sid: bytes, t2: bytes, survivors: Sequence[Survivor]) -> bytes:
    """D: who stayed, with the roots of their uploads, in order of seats."""
    return digest("D", [(survivor.seat, survivor.root) for survivor in survivors], sid, t2)


def is_ascending(seats: Sequence[int], *, below: int) -> bool:
    """Tell whether seats are in order, without repetition, and in a roster of `below` members."""
    return all(a < b for a, b in pairwise((-1, *seats, below)))
