"""What an organisation must never forget about settlement: part of its record, durable before a reply leaves."""

from dataclasses import dataclass, replace
from typing import Protocol

from fedgap.secagg.certificates import SignedSlot
from fedgap.secagg.settlement import Word
from fedgap.secagg.wire import Count, Hash, Seat, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRound:
    """A round we uploaded in, the version of the manifest it ran under, and the root of what we sent."""

    round: Count
    attempt: Count
    manifest: Hash
    root: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRound:
    """A round we opened numbers for, and who stayed in it."""

    round: Count
    attempt: Count
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPeriod:
    """A part of a period that we opened our numbers in.

    Attributes:
        period, manifest: which, under the roster that begins with this version (see `tenures`).
        listed: over which list.
        rounds: the list.
        own: our own updates' products with the directions; None if one of them is lost.
        total: the sums' products; None if we never received one of them.
        over: whether its final statement came; then everything about it is erased.
    """

    period: Count
    manifest: Hash
    listed: Hash
    rounds: tuple[OpenedRound, ...]
    own: tuple[Word, ...] | None
    total: tuple[Word, ...] | None
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message of the server that we answered: its signature, so that a different one in its place is proof."""

    kind: str
    context: Hash
    body: Hash
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What settlement must never forget.

    Attributes:
        slots: directions we signed.
        rounds: what we uploaded and have not settled.
        answered: periods we answered.
        heard: what we answered to.
        openings: numbers opened in this federation's life.
        closed: whether the closing exchange ended the run.
        since: the first round this memory has an upload of, if there may have been one before it that was lost; else 0.
            What was said about earlier rounds is not known, so nothing more is said about them.
    """

    slots: tuple[SignedSlot, ...] = ()
    rounds: tuple[HeldRound, ...] = ()
    answered: tuple[AnsweredPeriod, ...] = ()
    heard: tuple[Heard, ...] = ()
    openings: Count = 0
    closed: bool = False
    since: Count = 0

    def holding(self, held: HeldRound) -> "Account":
        """Remember an upload; it takes the place of an earlier attempt's.

        Others were in that round too, so it is no earlier one that the server shows to who lost its memory: if there
        was such a loss, this memory begins here.
        """
        rounds = (*(one for one in self.rounds if one.round != held.round), held)
        return replace(self, rounds=rounds, since=min(self.since, held.round))


class Shelf(Protocol):
    """The part of a vault that settlement uses (see `fedgap.secagg.participant.Vault`)."""

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        ...

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        ...


def answered(account: Account, period: int, manifest: bytes) -> AnsweredPeriod | None:
    """What we opened in a part of a period; None if nothing."""
    return next((done for done in account.answered if (done.period, done.manifest) == (period, manifest)), None)


def over(account: Account, period: int, manifest: bytes) -> Account:
    """Mark a part of a period as over, whether we answered in it or not: nothing more is opened in it."""
    done = answered(account, period, manifest)
    others = tuple(one for one in account.answered if one is not done)
    done = done or AnsweredPeriod(period=period, manifest=manifest, listed=bytes(32), rounds=(), own=None, total=None)
    return replace(account, answered=(*others, replace(done, over=True)))


def name(number: tuple[int, int], what: str) -> str:
    """How a round's parts are called in the vault."""
    return f"{number[0]:06d}-{number[1]:02d}-{what}"


def sum_name(round_: int, manifest: bytes) -> str:
    """How a round's sum is called in the vault; under each version of the manifest a round has one at most."""
    return f"{round_:06d}-{manifest.hex()[:16]}-sum"
