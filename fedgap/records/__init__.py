"""THE VOCABULARY: every fact the ledger may hold. Frozen, versioned; whole numbers, fractions, digests, short codes.

    who       ManifestSigned  PolicySigned  PolicyApproved  MemberChanged
    rounds    RoundOpened  RosterAgreed  AggregateReleased  DirectionCommitted  UtilityObserved
    credits   OpeningAnswered  ContributionEstimated  CreditConfirmed  CreditObjected  Verdict  CheckpointCosigned
    money     CostClaimed  CostBounded  FundingSettled

No update, no row and no value of a single round and organisation is in any of them. Parts of fedgap that do not know
each other share facts through these, and whatever leads to money is a fold over them. A kind is never removed; a
changed one gets the next number.
"""

from fedgap.records.credits import (
    CheckpointCosigned,
    ContributionEstimated,
    CreditConfirmed,
    CreditObjected,
    EdgeAnswer,
    OpeningAnswered,
    Verdict,
)
from fedgap.records.errors import BadRecordError
from fedgap.records.interval import errors_in_half_an_interval
from fedgap.records.money import CostBounded, CostClaimed, FundingLine, FundingSettled, Quantity
from fedgap.records.roster import Roster, RosterMember
from fedgap.records.rounds import (
    AggregateReleased,
    Approval,
    DirectionCommitted,
    ManifestSigned,
    MemberChanged,
    PolicyApproved,
    PolicySigned,
    RosterAgreed,
    RoundOpened,
    Survivor,
    UtilityObserved,
    Voice,
)
from fedgap.records.signing import (
    KINDS,
    Record,
    is_record_signed,
    organisation_of,
    read_record,
    sign_record,
    write_record,
)
from fedgap.records.values import Standing

__all__ = [
    "KINDS",
    "AggregateReleased",
    "Approval",
    "BadRecordError",
    "CheckpointCosigned",
    "ContributionEstimated",
    "CostBounded",
    "CostClaimed",
    "CreditConfirmed",
    "CreditObjected",
    "DirectionCommitted",
    "EdgeAnswer",
    "FundingLine",
    "FundingSettled",
    "ManifestSigned",
    "MemberChanged",
    "OpeningAnswered",
    "PolicyApproved",
    "PolicySigned",
    "Quantity",
    "Record",
    "Roster",
    "RosterAgreed",
    "RosterMember",
    "RoundOpened",
    "Standing",
    "Survivor",
    "UtilityObserved",
    "Verdict",
    "Voice",
    "errors_in_half_an_interval",
    "is_record_signed",
    "organisation_of",
    "read_record",
    "sign_record",
    "write_record",
]
