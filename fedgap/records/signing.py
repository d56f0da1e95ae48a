"""Records as bytes, by kind, and the signature of the organisation that makes one."""

from typing import Final, TypeAlias

from fedgap.crypto import BadBytesError, Identity, codec, is_signed
from fedgap.ids import OrgId
from fedgap.records.credits import (
    CheckpointCosigned,
    ContributionEstimated,
    CreditConfirmed,
    CreditObjected,
    OpeningAnswered,
    Verdict,
)
from fedgap.records.errors import BadRecordError
from fedgap.records.money import CostBounded, CostClaimed, FundingSettled
from fedgap.records.rounds import (
    AggregateReleased,
    DirectionCommitted,
    ManifestSigned,
    MemberChanged,
    PolicyApproved,
    PolicySigned,
    RosterAgreed,
    RoundOpened,
    UtilityObserved,
)

Record: TypeAlias = (
    ManifestSigned
    | PolicySigned
    | PolicyApproved
    | MemberChanged
    | RoundOpened
    | RosterAgreed
    | AggregateReleased
    | DirectionCommitted
    | UtilityObserved
    | OpeningAnswered
    | ContributionEstimated
    | CreditConfirmed
    | CreditObjected
    | Verdict
    | CostClaimed
    | CostBounded
    | FundingSettled
    | CheckpointCosigned
)

KINDS: Final[dict[str, type[Record]]] = {
    f"fedgap/1/{cls.KIND}": cls
    for cls in (
        ManifestSigned,
        PolicySigned,
        PolicyApproved,
        MemberChanged,
        RoundOpened,
        RosterAgreed,
        AggregateReleased,
        DirectionCommitted,
        UtilityObserved,
        OpeningAnswered,
        ContributionEstimated,
        CreditConfirmed,
        CreditObjected,
        Verdict,
        CostClaimed,
        CostBounded,
        FundingSettled,
        CheckpointCosigned,
    )
}
"""Every kind there has ever been; kinds are added, never removed, so that old ledgers stay readable."""


def write_record(record: Record) -> bytes:
    """Write a record as its canonical bytes.

    Raises:
        BadRecordError: a field is out of its bounds.
    """
    try:
        data = codec.pack(record)
    except (BadBytesError, TypeError, AttributeError) as error:
        raise BadRecordError(f"A '{type(record).__name__}' has no canonical bytes.") from error
    read_record(data)
    return data


def read_record(data: bytes) -> Record:
    """Read a record of any kind.

    Raises:
        BadRecordError: the bytes are not exactly one record.
    """
    try:
        record = codec.unpack_one_of(KINDS, data)
    except BadBytesError as error:
        raise BadRecordError(f"A record is malformed: {error.cause}") from error
    if record is None:
        raise BadRecordError("A record is of a kind that this version of fedgap does not know.")
    return record


def organisation_of(record: Record) -> OrgId | None:
    """The organisation that must have signed a record, None if it is the server or the funder."""
    return getattr(record, "organisation", None) if record.AUTHOR == "organisation" else None


def sign_record(record: Record, identity: Identity, *, origin: bytes) -> bytes:
    """Sign a record as the organisation that it names, 64 bytes.

    Args:
        record: of a kind whose author is an organisation.
        identity: its key.
        origin: digest of the federation's first manifest, so that no other federation's ledger can hold it.

    Raises:
        BadRecordError: records of this kind are not an organisation's.
    """
    if organisation_of(record) is None:
        raise BadRecordError(f"A '{type(record).__name__}' is not signed by an organisation.")
    return identity.sign("record", origin, write_record(record))


def is_record_signed(public: bytes, signature: bytes, data: bytes, *, origin: bytes) -> bool:
    """Tell whether the owner of a key signed the record with these bytes."""
    return is_signed(public, signature, "record", origin, data)
