"""Records of a settlement: the numbers that were opened, what they are worth, and who said so or objected."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar

from fedgap.crypto.codec import Count, Hash
from fedgap.records.values import STANDINGS, Author, Code, Number, OneOf, Organisation, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAnswer:
    """What one organisation reports about the masks it shares with another.

    Attributes:
        peer: the other organisation.
        answer: the inner product modulo 2**32, or None (`absent`): a secret is missing.
    """

    peer: Organisation
    answer: Word | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningAnswered:
    """An organisation answered an opening: one number for every peer.

    Attributes:
        period, opening: which, from 1.
        organisation: who answers.
        listed: digest of the list of rounds and directions that the numbers are over.
        answers: one for every peer, in the order of the roster.
    """

    KIND: ClassVar[str] = "record/opening-answered/1"
    AUTHOR: ClassVar[Author] = "organisation"

    period: Number
    opening: Number
    organisation: Organisation
    listed: Hash
    answers: tuple[EdgeAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionEstimated:
    """The value of one organisation's updates in a period; of several, the last one counts.

    Attributes:
        period: which, from 1.
        organisation: whose.
        value: in utility units, exact; where the roster changed in the period, the sum over its rosters so far.
        low, high: ends of the 95 % sampling interval; None with one opening.
        weight: its share of the roster's weight, which pays where no value was opened.
        standing: verified, provisional, contracted or by-weight.
        flags: what a reader must know, in alphabetical order.
        vouched_by: peers whose word alone stands for an edge.
        statement: digest of the signed statement of the settlement.
    """

    KIND: ClassVar[str] = "record/contribution-estimated/1"
    AUTHOR: ClassVar[Author] = "server"

    period: Number
    organisation: Organisation
    value: Fraction
    low: Fraction | None = None
    high: Fraction | None = None
    weight: Fraction
    standing: Annotated[str, OneOf(STANDINGS)]
    flags: tuple[Code, ...] = ()
    vouched_by: tuple[Organisation, ...] = ()
    statement: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditConfirmed:
    """An organisation found its own value and the total right."""

    KIND: ClassVar[str] = "record/credit-confirmed/1"
    AUTHOR: ClassVar[Author] = "organisation"

    period: Number
    organisation: Organisation
    statement: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditObjected:
    """An organisation did not; `code` says what is wrong, `evidence` is the digest of what shows it."""

    KIND: ClassVar[str] = "record/credit-objected/1"
    AUTHOR: ClassVar[Author] = "organisation"

    period: Number
    organisation: Organisation
    statement: Hash
    code: Code
    evidence: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A fault of an organisation was proven; whoever has the evidence can check it again.

    Attributes:
        period: in which, from 1.
        organisation: whose fault.
        fault: the code of the fault.
        evidence: digest of the transferable evidence.
    """

    KIND: ClassVar[str] = "record/verdict/1"
    AUTHOR: ClassVar[Author] = "server"

    period: Number
    organisation: Organisation
    fault: Code
    evidence: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCosigned:
    """An organisation saw this checkpoint of the ledger: whoever shows another history contradicts its signature.

    Attributes:
        organisation: who saw it.
        size: entries the checkpoint covers.
        root: Merkle root over them.
    """

    KIND: ClassVar[str] = "record/checkpoint-cosigned/1"
    AUTHOR: ClassVar[Author] = "organisation"

    organisation: Organisation
    size: Count
    root: Hash
