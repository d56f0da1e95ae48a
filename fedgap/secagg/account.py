"""What an organisation must never forget about settlement: part of its record, durable before a reply leaves."""

from dataclasses import dataclass, replace
from typing import Protocol

from fedgap.secagg.certificates import SignedSlot
from fedgap.secagg.settlement import Word
from fedgap.secagg.wire import Count, Hash, Seat, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRound:
    """A round we uploaded in, and the root of what we sent."""

    round: Count
    attempt: Count
    root: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRound:
    """A round we opened numbers for, and who stayed in it."""

    round: Count
    attempt: Count
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPeriod:
    """A period we opened our numbers in.

    Attributes:
        period, listed: which, over which list.
        rounds: the list.
        own: our own updates' products with the directions; None if one of them is lost.
        total: the sums' products; None if we never received one of them.
        over: whether its final statement came; then everything about it is erased.
    """

    period: Count
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
    """

    slots: tuple[SignedSlot, ...] = ()
    rounds: tuple[HeldRound, ...] = ()
    answered: tuple[AnsweredPeriod, ...] = ()
    heard: tuple[Heard, ...] = ()
    openings: Count = 0
    closed: bool = False

    def holding(self, held: HeldRound) -> "Account":
        """Remember an upload; it takes the place of an earlier attempt's."""
        return replace(self, rounds=(*(one for one in self.rounds if one.round != held.round), held))


class Shelf(Protocol):
    """The part of a vault that settlement uses (see `fedgap.secagg.participant.Vault`)."""

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        ...

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        ...


def over(account: Account, period: int) -> Account:
    """Mark a period as over, whether we answered in it or not: nothing more is opened in it."""
    others = tuple(done for done in account.answered if done.period != period)
    done = next((done for done in account.answered if done.period == period), None)
    done = done or AnsweredPeriod(period=period, listed=bytes(32), rounds=(), own=None, total=None)
    return replace(account, answered=(*others, replace(done, over=True)))


def name(number: tuple[int, int], what: str) -> str:
    """How a round's parts are called in the vault."""
    return f"{number[0]:06d}-{number[1]:02d}-{what}"


def sum_name(round_: int) -> str:
    """How a round's sum is called in the vault; a round has one."""
    return f"{round_:06d}-sum"
