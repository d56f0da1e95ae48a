"""What ledger and money need to know of a manifest, read from its canonical bytes.

They do not know secure aggregation; what they share with it is this value and its digest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from fedgap.crypto import BadBytesError, decode, digest, is_signed
from fedgap.ids import FederationId, OrgId, is_id
from fedgap.records.errors import BadRecordError

_FIELDS = 18
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterMember:
    """One organisation of record: identifier, legal name, Ed25519 key, weight."""

    id: OrgId
    name: str
    public: bytes
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """A manifest without what only the protocol needs.

    Attributes:
        digest: 32 bytes that name the manifest.
        federation, version: which manifest this is.
        members: the organisations of record, ordered by id; the position is the seat.
        server: the server's Ed25519 key.
        f, tau: colluders and quorum.
        evaluation, policy: digests of the evaluation specification and of the money rule's first version.
        periods, confirm_exchanges, openings: P, V, openings for each organisation and period.
        amended_by: who must sign the next version: `quorum` or `all`.
        simulation: keys come from a seed.
    """

    digest: bytes
    federation: FederationId
    version: int
    members: tuple[RosterMember, ...]
    server: bytes
    f: int
    tau: int
    evaluation: bytes
    policy: bytes
    periods: int
    confirm_exchanges: int
    openings: int
    amended_by: str
    simulation: bool

    @classmethod
    def of(cls, manifest: bytes) -> Self:
        """Read the canonical bytes of a manifest (`fedgap.secagg.manifest.Manifest`), by position.

        Raises:
            BadRecordError: they are none.
        """
        try:
            value: Any = decode(manifest)
            return cls._of(value, digest("manifest", manifest))
        except (BadBytesError, TypeError, ValueError) as error:
            raise BadRecordError("A manifest is not readable.") from error

    @classmethod
    def _of(cls, value: Any, name: bytes) -> Self:  # noqa: ANN401 - any canonical value
        kind, federation, version, members, server, f, tau, _encoding, *rest = value
        if kind != "fedgap/1/manifest/1" or len(value) != _FIELDS:
            raise ValueError(kind)
        _model, _start, _training, evaluation, policy, periods, confirm_exchanges, openings, amended_by, flag = rest
        return cls(
            digest=name,
            federation=FederationId(federation),
            version=version,
            members=tuple(
                RosterMember(id=OrgId(id_), name=name, public=public, weight=weight)
                for id_, name, public, weight in members
            ),
            server=server,
            f=f,
            tau=tau,
            evaluation=evaluation,
            policy=policy,
            periods=periods,
            confirm_exchanges=confirm_exchanges,
            openings=openings,
            amended_by=amended_by,
            simulation=bool(flag),
        )

    def __post_init__(self) -> None:
        if not self._is_sound():
            raise BadRecordError("A manifest contradicts itself.")

    def _is_sound(self) -> bool:
        ids = [member.id for member in self.members]
        keys = [self.server, *(member.public for member in self.members)]
        numbers = (self.version, self.f, self.tau, self.periods, self.confirm_exchanges, self.openings)
        weights = [member.weight for member in self.members]
        return (
            all(type(number) is int and number >= 0 for number in (*numbers, *weights))
            and all(type(text) is str for text in (self.federation, *ids, *(member.name for member in self.members)))
            and all(is_id(text) for text in (self.federation, *ids))
            and ids == sorted(set(ids))
            and all(type(key) is bytes and len(key) == _KEY_BYTES for key in (*keys, self.evaluation, self.policy))
            and len(keys) == len(set(keys))
            and sum(weights) > 0
            and len(ids) + self.f < 2 * self.tau <= 2 * len(ids)
            and self.amended_by in {"quorum", "all"}
        )

    def member(self, organisation: OrgId) -> RosterMember | None:
        """Give an organisation of record, None if it is none."""
        return next((member for member in self.members if member.id == organisation), None)

    def seat_of(self, organisation: OrgId) -> int | None:
        """Give an organisation's position, None if it is not of record."""
        return next((seat for seat, member in enumerate(self.members) if member.id == organisation), None)

    def approved_by(self, approvals: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
        """Which keys signed this manifest, validly."""
        return {public for public, signature in approvals if is_signed(public, signature, "manifest", self.digest)}

    def may_follow(self, before: Self | None, approvals: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Say what is wrong with this version as the next one, None if nothing is (PROTOCOL section 1).

        The first needs every member; a later one its new members and new keys, and tau (or all) of those before.
        """
        signers = self.approved_by(approvals)
        known = {} if before is None else {member.id: member.public for member in before.members}
        new = {member.public for member in self.members if known.get(member.id) != member.public}
        if not new <= signers:
            return f"{len(new - signers)} new members or new keys have not signed it"
        if before is None:
            return None if self.version == 1 else "it is not a first version"
        if (self.federation, self.version) != (before.federation, before.version + 1):
            return "it does not follow the version before it"
        needed = before.tau if before.amended_by == "quorum" else len(known)
        present = len(signers & set(known.values()))
        return None if present >= needed else f"{present} of the old roster signed it, {needed} must"
