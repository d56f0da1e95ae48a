"""Records of who takes part and of what happened in each round. Digests and sums only: nothing of one organisation."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fedgap.crypto.codec import Count, Hash, Key, Signature
from fedgap.records.values import CHANGES, Author, Number, OneOf, Organisation, Utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A signature under a manifest's digest, with the key it was made with."""

    public: Key
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """An organisation that stayed in a round, and the root of its upload."""

    organisation: Organisation
    root: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """An organisation's signature over what a record says was agreed."""

    organisation: Organisation
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSigned:
    """A version of the manifest took effect; the first entry of every ledger is one.

    Attributes:
        manifest: its canonical bytes; `Roster.of` reads them.
        approvals: who signed its digest.
    """

    KIND: ClassVar[str] = "record/manifest-signed/1"
    AUTHOR: ClassVar[Author] = "server"

    manifest: bytes
    approvals: tuple[Approval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySigned:
    """The money rule, or its next version.

    Attributes:
        version: from 1, without gaps.
        policy: canonical bytes; `fedgap.funding` reads them. The manifest names the digest of version 1.
        from_period: the first period it applies to: 1 for version 1, else one that nothing was written about yet.
    """

    KIND: ClassVar[str] = "record/policy-signed/1"
    AUTHOR: ClassVar[Author] = "server-or-funder"

    version: Number
    policy: bytes
    from_period: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyApproved:
    """A member goes along with the next version of the money rule, before it is signed.

    Attributes:
        version: from 2.
        policy: digest of its canonical bytes.
        from_period: from when it is to apply.
        organisation: whose approval this is.
    """

    KIND: ClassVar[str] = "record/policy-approved/1"
    AUTHOR: ClassVar[Author] = "organisation"

    version: Number
    policy: Hash
    from_period: Number
    organisation: Organisation


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChanged:
    """What a new version of the manifest changed about one organisation.

    Attributes:
        organisation: whom it is about.
        version: of the manifest with the change.
        change: joined, left, key, weight or name.
        manifest: digest of that version.
    """

    KIND: ClassVar[str] = "record/member-changed/1"
    AUTHOR: ClassVar[Author] = "server"

    organisation: Organisation
    version: Number
    change: Annotated[str, OneOf(CHANGES)]
    manifest: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened:
    """Organisations were invited to a round.

    Attributes:
        round, attempt: from 1; an attempt that gave no sum is followed by the next.
        sid: names the attempt (`fedgap.secagg.transcript.Plan.sid`).
        manifest: digest of the manifest it runs under.
        cohort: who was invited, in the order of the roster.
    """

    KIND: ClassVar[str] = "record/round-opened/1"
    AUTHOR: ClassVar[Author] = "server"

    round: Number
    attempt: Number
    sid: Hash
    manifest: Hash
    cohort: tuple[Organisation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterAgreed:
    """Who dealt key shares in an attempt, and T2, which binds all that they said."""

    KIND: ClassVar[str] = "record/roster-agreed/1"
    AUTHOR: ClassVar[Author] = "server"

    round: Number
    attempt: Number
    t2: Hash
    organisations: tuple[Organisation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateReleased:
    """The sum of a round is known.

    Attributes:
        round, attempt: which.
        agreed: D, over who stayed with which upload.
        sum_root: Merkle root of the sum's bytes.
        state: digest of the model that the sum leads to.
        survivors: who is in the sum, in the order of the roster.
        voices: signatures of at least tau of them over D.
    """

    KIND: ClassVar[str] = "record/aggregate-released/1"
    AUTHOR: ClassVar[Author] = "server"

    round: Number
    attempt: Number
    agreed: Hash
    sum_root: Hash
    state: Hash
    survivors: tuple[Survivor, ...]
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionCommitted:
    """A direction was fixed before anybody answered: its salted hash, signed by at least tau organisations.

    Attributes:
        round: whose sum the direction belongs to.
        slot: which of that round's directions, from 1.
        commitment: H(direction, salt).
        voices: signatures over D_Q.
    """

    KIND: ClassVar[str] = "record/direction-committed/1"
    AUTHOR: ClassVar[Author] = "server"

    round: Number
    slot: Number
    commitment: Hash
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityObserved:
    """How good the common model is.

    Attributes:
        round: after which round; 0 is the model that everybody started from.
        utility: in units of 1e-9.
        evaluation: digest of what it was measured on.
    """

    KIND: ClassVar[str] = "record/utility-observed/1"
    AUTHOR: ClassVar[Author] = "server"

    round: Count
    utility: Utility
    evaluation: Hash
