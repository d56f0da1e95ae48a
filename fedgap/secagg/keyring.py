"""Every secret of one organisation in one attempt, derived from one seed of 32 random bytes.

    seed -> sigma -> mask key (X25519)      b -> self mask       letter key (X25519)       polynomials of the shares
                     mask key x peer's key -> edge secret s_ij -> mask k_ij | commitment C_ij | noise

Sigma and b are field elements and are what is shared: whoever opens sigma can derive the mask key and everything below
it; b opens the self mask only. Two X25519 keys, so that opening sigma never opens a letter. An edge secret is bound to
the attempt, to everybody's keys and to both ends, so what is derived from it needs a label and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from fedgap.crypto import AgreementKey, Keystream, digest, digester, expand, expander, extract
from fedgap.secagg.shamir import WIDE_BYTES, element, split

pair_mask = expander("mask")
"""`pair_mask(s_ij)`: the key of the mask that cancels between the two ends of an edge; the smaller seat adds it."""

edge_commitment = expander("commitment")
"""`edge_commitment(s_ij)`: C_ij, which names the secret without showing it; both ends must state the same."""

share_hash = {"b": digester("share-b", 32), "sigma": digester("share-sigma", 32)}
"""`share_hash[kind](share)` names one share without showing it; its place in a signed row says whose and for whom."""

_letter_key = expander("letter-key")


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
        half = WIDE_BYTES * (t - 1)
        wide = Keystream(self._derive("polynomials", 32)).read(0, 2 * half)  # HKDF gives 8160 bytes at most
        of_b = split(self.b, seats=seats, t=t, wide=wide[:half])
        of_sigma = split(self.sigma, seats=seats, t=t, wide=wide[half:])
        return [one + other for one, other in zip(of_b, of_sigma, strict=True)]

    def _derive(self, label: str, size: int) -> bytes:
        return expand(self.seed, label, self.sid, self.seat, size=size)


@lru_cache(maxsize=1)
def keyring(seed: bytes, sid: bytes, seat: int) -> Keyring:
    """Derive a member's secrets; exchange 2 finds those of exchange 1 again, and lets go of them with `cache_clear`."""
    return Keyring(seed, sid, seat)


def mask_key(sigma: bytes, sid: bytes, seat: int) -> AgreementKey:
    """Derive a member's mask key from its element; the server does it for members that dropped."""
    return AgreementKey(expand(sigma, "mask-key", sid, seat))


def edge_secret(mine: AgreementKey, theirs: bytes, *, t1: bytes, seats: tuple[int, int]) -> bytes:
    """Agree on s_ij, 32 bytes; T1 is bound into it, so that different views of the round never cancel.

    Args:
        mine: one end's mask key.
        theirs: the other end's public mask key.
        t1: the first transcript.
        seats: both ends, in any order.

    Raises:
        BadKeyError: `theirs` is of small order.
    """
    return expand(extract(mine.agree(theirs), salt=t1), "edge", min(seats), max(seats))


def letter_key(mine: AgreementKey, theirs: bytes, *, t1: bytes) -> bytes:
    """Agree on the key of the two letters between two members, one each way.

    Raises:
        BadKeyError: `theirs` is of small order.
    """
    return _letter_key(extract(mine.agree(theirs), salt=t1))


def self_mask(b: bytes, sid: bytes, seat: int) -> bytes:
    """The key of a member's own mask."""
    return expand(b, "self-mask", sid, seat)


def self_commitment(b: bytes, sid: bytes, seat: int) -> bytes:
    """Names b without showing it; checked when b is opened."""
    return digest("self-commitment", sid, seat, b)
