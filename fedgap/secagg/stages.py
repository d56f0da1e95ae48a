"""Where the server stands between two exchanges of a round. `Unmasking`, which is kept on disk, is in `unmasking`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fedgap.secagg.inbox import Fault
from fedgap.secagg.masking import Ring
from fedgap.secagg.messages import Outcome, Shares
from fedgap.secagg.transcript import Advert, Plan, Survivor
from fedgap.secagg.unmasking import Unmasking


@dataclass(frozen=True, slots=True, kw_only=True)
class Inviting:
    """Invitations are out."""

    plan: Plan
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Everybody's one-time keys are out."""

    plan: Plan
    adverts: tuple[Advert, ...]
    t1: bytes
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploading:
    """Key shares are out; members train."""

    plan: Plan
    adverts: tuple[Advert, ...]
    t1: bytes
    t2: bytes
    shares: tuple[Shares, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreeing:
    """The list of who stayed is out; `total` is the sum of their masked vectors."""

    plan: Plan
    adverts: tuple[Advert, ...]
    t1: bytes
    t2: bytes
    shares: tuple[Shares, ...]
    survivors: tuple[Survivor, ...]
    agreed: bytes
    total: Ring
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """The sum is known: send `outcome` with the next invitation.

    Attributes:
        outcome: what members and the next round need of it.
        total: the sum X.
        faults: who did not keep to the protocol.
        secrets: those that unmasking opened, by seat.
        answered: seats that saw the whole outcome but for the sum.
    """

    outcome: Outcome
    total: Ring = field(repr=False)
    faults: tuple[Fault, ...]
    secrets: Mapping[int, bytes] = field(repr=False)
    answered: tuple[int, ...]


State: TypeAlias = Inviting | Sharing | Uploading | Agreeing | Unmasking | Opened
