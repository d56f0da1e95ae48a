"""The manifest: who takes part, with which keys, weights, quorum, model and encoding. Signed by all, pinned by digest.

A client computes everything the server could be tempted to choose (quorum, encoding, weights, who is in the roster)
from the manifest it approved. A change is a new version, which counts once every new member and enough of the old
roster have signed it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias

from fedgap.crypto import Identity, digest, is_signed
from fedgap.ids import FederationId, OrgId, is_id
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.quorum import Quorum
from fedgap.secagg.wire import Between, Count, Hash, Key, Signature, pack

WEIGHT_CAP = 3
"""No weight is above this many times the median."""

Weight: TypeAlias = Annotated[int, Between(0, 2**40)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One organisation of the roster.

    Attributes:
        id: its identifier; the roster is ordered by it, and the position is the member's seat.
        name: its legal name.
        public: Ed25519 key it signs with.
        weight: p, public and attested.
    """

    id: OrgId
    name: str
    public: Key
    weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What everybody agreed on before the first round (PROTOCOL section 1).

    Attributes:
        federation, version: which manifest this is.
        members: the roster, ordered by id.
        server: the server's Ed25519 key.
        f, tau: colluders and quorum; the other numbers follow.
        encoding: how updates become whole numbers.
        model, start, training: digests of the model's code, of the first state, and of the local training settings.
        evaluation, policy: digests of the evaluation specification and of the money rule.
        periods, confirm_exchanges, openings: P, V, and how many numbers are opened for each organisation and period.
        amended_by: who must sign the next version: tau of the old roster, or all of it.
        simulation: keys come from a seed; a deployed client refuses such a manifest.
    """

    KIND: ClassVar[str] = "manifest/1"

    federation: FederationId
    version: Count
    members: tuple[Member, ...]
    server: Key
    f: Count
    tau: Count
    encoding: Encoding
    model: Hash
    start: Hash
    training: Hash
    evaluation: Hash
    policy: Hash
    periods: Count
    confirm_exchanges: Count
    openings: Count
    amended_by: str
    simulation: bool

    def __post_init__(self) -> None:
        ids = [member.id for member in self.members]
        keys = {member.public for member in self.members} | {self.server}
        weights = [member.weight for member in self.members]
        faults = {
            "an identifier is malformed": not all(is_id(name) for name in (self.federation, *ids)),
            "a name cannot be shown as it is": not all(member.name.isprintable() for member in self.members),
            "the roster is not ordered by id, or one is there twice": any(a >= b for a, b in pairwise(ids)),
            "two members, or a member and the server, have one key": len(keys) <= len(ids),
            "a weight is negative, or nobody has one": min(weights, default=0) < 0 or not any(weights),
            f"a weight is above {WEIGHT_CAP} times the median": list(capped(weights)) != weights,
            "its version is not 1 or more": self.version < 1,
            "sums of uploads could wrap": len(ids) << self.encoding.upload_bits >= 2**31,
            "it does not say who decides the next version": self.amended_by not in {"quorum", "all"},
        }
        for fault, is_so in faults.items():
            if is_so:
                raise BadManifestError(f"The manifest cannot be used: {fault}.")
        _ = self.quorum

    @property
    def quorum(self) -> Quorum:
        """The numbers that follow from n, f and tau."""
        return Quorum.of(len(self.members), f=self.f, tau=self.tau)

    @property
    def digest(self) -> bytes:
        """32 bytes that name this manifest; every round is bound to it."""
        return digest("manifest", pack(self))

    def share(self, seat: int) -> float:
        """Weight of a member divided by the largest."""
        return self.shares([seat])[0]

    def shares(self, seats: Iterable[int]) -> list[float]:
        """Weights of some members divided by the largest."""
        largest = max(member.weight for member in self.members)
        return [self.members[seat].weight / largest for seat in seats]

    def seat_of(self, org: OrgId) -> int:
        """Find a member's position.

        Raises:
            BadManifestError: it is not in the roster.
        """
        for seat, member in enumerate(self.members):
            if member.id == org:
                return seat
        raise BadManifestError(f"'{org}' is not in the roster of '{self.federation}'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A signature under a manifest's digest, with the key it was made with."""

    public: Key
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedManifest:
    """A manifest and whoever approved it so far."""

    KIND: ClassVar[str] = "signed-manifest/1"

    manifest: Manifest
    approvals: tuple[Approval, ...] = field(default=())

    def approved_by(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which of these keys signed this manifest, validly."""
        name = self.manifest.digest
        valid = {a.public for a in self.approvals if is_signed(a.public, a.signature, "manifest", name)}
        return valid & set(keys)


def approve(manifest: Manifest, identity: Identity) -> Approval:
    """Sign a manifest one has read."""
    return Approval(public=identity.public, signature=identity.sign("manifest", manifest.digest))


def check_founding(signed: SignedManifest) -> None:
    """Check that a first version is signed by all its members.

    Raises:
        BadManifestError: a member has not signed, or it is not a first version.
    """
    _require_new_members(signed, [member.public for member in signed.manifest.members])
    if signed.manifest.version != 1:
        raise BadManifestError(f"Version {signed.manifest.version} needs the version before it to be checked against.")


def check_amendment(old: Manifest, signed: SignedManifest) -> None:
    """Check that a version may follow another, between two rounds.

    New members and members with a new key must have signed with that key; so must tau of the old roster (or all of
    it, if the old version says so; there a lost key cannot be replaced). So a new key is vouched for by the old key
    among others, or by tau of the other members.

    Raises:
        BadManifestError: it may not.
    """
    new = signed.manifest
    if (new.federation, new.version) != (old.federation, old.version + 1):
        raise BadManifestError(
            f"Version {new.version} of '{new.federation}' does not follow version {old.version} of '{old.federation}'."
        )
    before = {member.id: member.public for member in old.members}
    _require_new_members(signed, [member.public for member in new.members if before.get(member.id) != member.public])
    old_signers = signed.approved_by(before.values())
    needed = old.quorum.tau if old.amended_by == "quorum" else len(before)
    if len(old_signers) < needed:
        raise BadManifestError(f"{len(old_signers)} of the old roster signed version {new.version}; {needed} must.")


def capped(weights: Sequence[int]) -> list[int]:
    """Cut weights at three times their median, as every manifest must have them."""
    ordered = sorted(weights)
    twice_median = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2] if ordered else 0
    return [min(weight, WEIGHT_CAP * twice_median // 2) for weight in weights]


def _require_new_members(signed: SignedManifest, keys: list[bytes]) -> None:
    missing = len(set(keys) - signed.approved_by(keys))
    if missing:
        raise BadManifestError(f"{missing} of {len(keys)} new members or new keys have not signed the manifest.")
