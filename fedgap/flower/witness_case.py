"""What a witness is given to recompute a period's directions, and what it gives back: two files, carried by hand.

A case holds public numbers and the server's directions; evaluation rows are not in it, the witness has its own copy.
Until a period is settled its case is for the witness alone: a direction known early can be sent back as an update.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from fedgap.crypto import digest
from fedgap.crypto.codec import Count, Hash, Signature, pack
from fedgap.flower.preparation import Shape
from fedgap.secagg.certificates import direction_digest, hide, slot_name
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.settlement import Salt
from fedgap.secagg.wire import Positive, Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One direction of the server, as it is hidden from everybody else.

    Attributes:
        round, slot: which; slots are counted from 1.
        agreed: D of the round.
        scale: g of the period.
        salt, entries: what members signed the hash of; int16.
    """

    round: Count
    slot: Seat
    agreed: Hash
    scale: Positive
    salt: Salt = field(repr=False)
    entries: bytes = field(repr=False)

    @property
    def name(self) -> bytes:
        """Of its slot."""
        return slot_name(self.agreed, self.slot)

    @property
    def said(self) -> bytes:
        """D_Q, which the witness signs."""
        return direction_digest(self.agreed, self.slot, scale=self.scale, hidden=hide(self.entries, self.salt))


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessCase:
    """Everything from which a period's directions follow, but for the rows.

    Attributes:
        plan: the federation's settings, canonical JSON.
        shared: merged statistics.
        shape: that everybody's model fits.
        policy: text of the funding policy; empty if there is none.
        evaluation: what contributions are measured on; it names the witness.
        manifests: every version so far, with who approved it.
        sums: of every round so far.
        period: which directions are to be signed.
        directions: of its rounds, in order.
    """

    KIND: ClassVar[str] = "witness-case/1"

    plan: str
    shared: bytes = field(repr=False)
    shape: Shape
    policy: str
    evaluation: Evaluation
    manifests: tuple[SignedManifest, ...]
    sums: tuple[Outcome, ...] = field(repr=False)
    period: Count
    directions: tuple[Shown, ...]

    @property
    def digest(self) -> bytes:
        """32 bytes that name it."""
        return digest("witness-case", pack(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The witness's answer: a signature for each direction of a case, in its order."""

    KIND: ClassVar[str] = "attested/1"

    period: Count
    signatures: tuple[Signature, ...]
