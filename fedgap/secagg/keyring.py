"""Every secret of one organisation in one attempt, derived from one seed of 32 random bytes.

    seed -> sigma -> mask key (X25519)      b -> self mask       letter key (X25519)       polynomials of the shares
                     mask key x peer's key -> edge secret s_ij -> mask k_ij | commitment C_ij | noise

Sigma and b are field elements and are what is shared: whoever opens sigma can derive the mask key and everything below
it; b opens the self mask only. Two X25519 keys, so that opening sigma never opens a letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from fedgap.crypto import AgreementKey, Keystream, digest, expand, extract
from fedgap.secagg.shamir import WIDE_BYTES, element, split


@dataclass(frozen=True)
class Keyring:
    """The secrets of one seat in one attempt.

    Attributes:
        seed: 32 random bytes, used for this attempt and no other.
        sid: the attempt.
        seat: whose secrets they are.
    """

    seed: bytes = field(repr=False)
    sid: bytes
    seat: int

    @cached_property
    def sigma(self) -> bytes:
        """The element the mask key is derived from."""
        return element(self._derive("sigma", WIDE_BYTES))

    @cached_property
    def b(self) -> bytes:
        """The element the self mask is derived from."""
        return element(self._derive("b", WIDE_BYTES))

    @cached_property
    def mask_key(self) -> AgreementKey:
        """The one-time key whose agreements are edge secrets."""
        return mask_key(self.sigma, self.sid, self.seat)

    @cached_property
    def letter_key(self) -> AgreementKey:
        """The one-time key letters are sealed with."""
        return AgreementKey(self._derive("letter-key", 32))

    @cached_property
    def own_letter(self) -> bytes:
        """The key of the letter a member writes to itself."""
        return self._derive("own-letter", 32)

    def shares(self, seats: Sequence[int], *, t: int) -> list[bytes]:
        """Share both elements, t of the seats open them: 64 bytes for each seat, self mask first."""
        ours = (self.b, "b-polynomial"), (self.sigma, "sigma-polynomial")
        parts = [split(secret, seats=seats, t=t, wide=self._wide(label, t)) for secret, label in ours]
        return [of_b + of_sigma for of_b, of_sigma in zip(*parts, strict=True)]

    def _derive(self, label: str, size: int) -> bytes:
        return expand(self.seed, label, self.sid, self.seat, size=size)

    def _wide(self, label: str, t: int) -> bytes:
        """Enough uniform bytes for t - 1 coefficients: a key stream, as HKDF gives 8160 bytes at most."""
        return Keystream(self._derive(label, 32)).read(0, WIDE_BYTES * (t - 1))


@lru_cache(maxsize=1)
def keyring(seed: bytes, sid: bytes, seat: int) -> Keyring:
    """Derive a member's secrets; exchange 2 finds those of exchange 1 again, and lets go of them with `cache_clear`."""
    return Keyring(seed, sid, seat)


@dataclass(frozen=True, slots=True)
class Edge:
    """What two organisations share in one attempt, seen from either end.

    Attributes:
        secret: s_ij, 32 bytes.
        low: the smaller seat; it adds the mask, the other subtracts it.
        high: the larger seat.
    """

    secret: bytes = field(repr=False)
    low: int
    high: int

    @property
    def mask(self) -> bytes:
        """The key of the mask that cancels between the two."""
        return pair_mask(self.secret, self.low, self.high)

    @property
    def commitment(self) -> bytes:
        """C_ij: names the secret without showing it; both ends must state the same."""
        return expand(self.secret, "commitment", self.low, self.high)


def pair_mask(secret: bytes, low: int, high: int) -> bytes:
    """Derive the key of the mask that cancels between the two ends of an edge."""
    return expand(secret, "mask", low, high)


def mask_key(sigma: bytes, sid: bytes, seat: int) -> AgreementKey:
    """Derive a member's mask key from its element; the server does it for members that dropped."""
    return AgreementKey(expand(sigma, "mask-key", sid, seat))


def edge(mine: AgreementKey, theirs: bytes, *, t1: bytes, seats: tuple[int, int]) -> Edge:
    """Agree on the secret of an edge; T1 is bound into it, so that different views of the round never cancel.

    Args:
        mine: one end's mask key.
        theirs: the other end's public mask key.
        t1: the first transcript.
        seats: both ends, in any order.

    Raises:
        BadKeyError: `theirs` is of small order.
    """
    low, high = sorted(seats)
    secret = expand(extract(mine.agree(theirs), salt=t1), "edge", low, high)
    return Edge(secret, low, high)


def letter_key(mine: AgreementKey, theirs: bytes, *, t1: bytes) -> bytes:
    """Agree on the key of the two letters between two members, one each way.

    Raises:
        BadKeyError: `theirs` is of small order.
    """
    return expand(extract(mine.agree(theirs), salt=t1), "letter-key")


def self_mask(b: bytes, sid: bytes, seat: int) -> bytes:
    """The key of a member's own mask."""
    return expand(b, "self-mask", sid, seat)


def self_commitment(b: bytes, sid: bytes, seat: int) -> bytes:
    """Names b without showing it; checked when b is opened."""
    return digest("self-commitment", sid, seat, b)


def share_hash(share: bytes, *, kind: str) -> bytes:
    """Names a share without showing it; `kind` is "b" or "sigma". Its place in a row says whose it is, and for whom."""
    return digest("share-b" if kind == "b" else "share-sigma", share)
