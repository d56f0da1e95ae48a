"""Where an organisation stands between two exchanges: small, frozen, versioned, and written with `wire.pack`.

Only what later steps need is in a state, so a secret is gone as soon as its step is done: the seed after the upload,
others' shares after unmasking. `Kept` alone stays until the round is settled.
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from fedgap.secagg.wire import Hash, Key, Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """Our one-time keys are out; we wait for everybody's."""

    KIND: ClassVar[str] = "state/advertised/1"

    sid: Hash
    seed: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One member's one-time keys."""

    seat: Seat
    mask_public: Key
    letter_public: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What we share with one member (or, for letters, with ourselves).

    Attributes:
        seat: the other end.
        edge: the secret s_ij of the edge; zeros for ourselves, where there is none.
        commitment: C_ij; for ourselves the commitment to b.
        letter: the key of the letter to us.
    """

    seat: Seat
    edge: Hash = field(repr=False)
    commitment: Hash
    letter: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Our key shares are out; we wait for those that others dealt to us."""

    KIND: ClassVar[str] = "state/shared/1"

    sid: Hash
    t1: Hash
    b: Hash = field(repr=False)
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one member (perhaps ourselves) dealt to us.

    Attributes:
        seat: the dealer.
        of_b: our share of its self-mask element.
        of_sigma: our share of its mask-key element.
    """

    seat: Seat
    of_b: Key = field(repr=False)
    of_sigma: Key = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSecret:
    """The secret we share with one peer; kept until the round is settled."""

    seat: Seat
    secret: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Everything fits: train, then `upload`."""

    KIND: ClassVar[str] = "state/ready/1"

    sid: Hash
    t2: Hash
    b: Hash = field(repr=False)
    held: tuple[Held, ...]
    edges: tuple[EdgeSecret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complained:
    """We named who dealt us something that does not fit; the attempt is over for us."""

    KIND: ClassVar[str] = "state/complained/1"

    sid: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The masked update is out; we wait to hear who stayed. Own seeds are gone."""

    KIND: ClassVar[str] = "state/uploaded/1"

    sid: Hash
    t2: Hash
    root: Hash
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays of a round, beside our own encoded update, until the round is settled and confirmed."""

    KIND: ClassVar[str] = "state/kept/1"

    sid: Hash
    t2: Hash
    root: Hash
    edges: tuple[EdgeSecret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The list of who stayed lacks us: our mask key will be opened, so we say nothing more in this attempt."""

    KIND: ClassVar[str] = "state/left-out/1"

    sid: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """We signed who stayed; we wait to see that tau members signed the same."""

    KIND: ClassVar[str] = "state/agreed/1"

    sid: Hash
    root: Hash
    survivors: tuple[Seat, ...]
    agreement: Hash
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """We gave one share for each member; those we held are gone."""

    KIND: ClassVar[str] = "state/answered/1"

    sid: Hash
    root: Hash
    survivors: tuple[Seat, ...]
    agreement: Hash


State: TypeAlias = Advertised | Shared | Ready | Complained | Uploaded | LeftOut | Agreed | Answered
