r"""THE ROUND: five exchanges between a server and its organisations, after which one sum is known and nothing else.

    step         pure: a state and the answers to it -> the next state, the next requests, what happened
    run_round    the loop around it, over two ports: Cohort (who can be asked) and Journal (what must not be forgotten)

    Inviting -> Sharing -> Uploading -> Agreeing -> Unmasking -> Opened
    \____ too few answers: the attempt ends, nothing was revealed ____/   \__ too few: the round waits and resumes

What the exchanges mean stands in `fedgap.secagg`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, TypeAlias

from fedgap.secagg import server as secagg
from fedgap.secagg.dossier import Dossier, dossier_of
from fedgap.secagg.errors import ComplaintError, QuorumLostError, RoundSuspendedError, UnusableSumError
from fedgap.secagg.messages import Outcome
from fedgap.secagg.server import Replies, Requests, Server
from fedgap.secagg.stages import Agreeing, Inviting, Opened, Sharing, State, Uploading
from fedgap.secagg.transcript import Plan
from fedgap.secagg.unmasking import Unmasking
from fedgap.secagg.wire import Hash, Seat, Signature, pack, unpack


class Cohort(Protocol):
    """Who can be asked. Implemented in one process by `fedgap.secagg.local`, over a network by `fedgap.flower`."""

    def exchange(self, requests: Mapping[int, bytes]) -> Iterable[tuple[int, bytes]]:
        """Send each seat its request; give what comes back until the time for answers is over, in any order."""
        ...


class Journal(Protocol):
    """What happened, and what must survive a crash of the server. Every call is durable when it returns."""

    def open(self, plan: Plan) -> None:
        """Note that an attempt begins; refuse one that is not later than all before."""
        ...

    def note(self, event: "Event") -> None:
        """Append something that happened."""
        ...

    def spool(self, plan: Plan, seat: int, upload: bytes) -> None:
        """Keep an upload until the round is settled."""
        ...

    def hold(self, state: bytes) -> None:
        """Keep the state of a round that waits for members to unmask."""
        ...

    def held(self) -> bytes | None:
        """Give back what `hold` kept, unless a sum was released since."""
        ...

    def release(self, outcome: bytes) -> None:
        """Keep the sum of the round; it waits no longer."""
        ...


class Desk(Protocol):
    """What settlement adds to a round. Implemented by `fedgap.settling`; without one nothing is ever opened."""

    def offers(self, previous: Outcome | None) -> tuple[bytes, ...]:
        """Give the commitments that members are asked to sign with this invitation."""
        ...

    def checkpoint(self) -> bytes:
        """Give the ledger's checkpoint that members are asked to co-sign; empty if there is none."""
        ...

    def joined(self, replies: Iterable[tuple[int, bytes]]) -> Iterable[tuple[int, bytes]]:
        """Keep what members signed beside their one-time keys, and pass the keys on."""
        ...

    def file(self, dossier: Dossier) -> None:
        """Keep what settlement needs of an opened round; durable when it returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened:
    """Members were invited."""

    KIND: ClassVar[str] = "event/round-opened/1"

    plan: Plan
    cohort: tuple[Seat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterAgreed:
    """Who dealt key shares, and T2, which binds all that they said."""

    KIND: ClassVar[str] = "event/roster-agreed/1"

    plan: Plan
    seats: tuple[Seat, ...]
    t2: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivorsAgreed:
    """tau members signed who stayed: from here on only this sum can be opened on this state of the model."""

    KIND: ClassVar[str] = "event/survivors-agreed/1"

    plan: Plan
    seats: tuple[Seat, ...]
    agreed: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateReleased:
    """The sum is known."""

    KIND: ClassVar[str] = "event/aggregate-released/1"

    plan: Plan
    seats: tuple[Seat, ...]
    agreed: Hash
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt gave no sum; `code` is that of the error."""

    KIND: ClassVar[str] = "event/attempt-ended/1"

    plan: Plan
    code: str


Event: TypeAlias = RoundOpened | RosterAgreed | SurvivorsAgreed | AggregateReleased | AttemptEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from the answers to one exchange.

    Attributes:
        state: where the round stands now.
        requests: what to send next, by seat; empty when there is nothing more to ask.
        events: what happened.
    """

    state: State
    requests: Requests
    events: tuple[Event, ...] = ()


def begin(
    server: Server,
    plan: Plan,
    *,
    previous: Outcome | None,
    cohort: Iterable[int],
    knowing: Iterable[int] = (),
    desk: Desk | None = None,
    again: Callable[[], Outcome] | None = None,
) -> Step:
    """Invite the members at these seats; of `previous`, which `again` gives again, those in `knowing` get the sum."""
    seats = tuple(sorted(cohort))
    offers, checkpoint = ((), b"") if desk is None else (desk.offers(previous), desk.checkpoint())
    state, requests = secagg.invite(
        server,
        plan,
        previous=previous,
        cohort=seats,
        offers=offers,
        checkpoint=checkpoint,
        knowing=knowing,
        again=again,
    )
    return Step(state=state, requests=requests, events=(RoundOpened(plan=plan, cohort=seats),))


def step(server: Server, state: State, replies: Replies) -> Step:
    """Go from one exchange to the next.

    Raises:
        QuorumLostError, ComplaintError: the attempt ended; nothing was revealed.
        UnusableSumError: the sum is open and not usable.
    """
    match state:
        case Inviting():
            shared, requests = secagg.on_adverts(server, state, replies)
            return Step(state=shared, requests=requests)
        case Sharing():
            uploading, requests = secagg.on_shares(server, state, replies)
            seats = tuple(shares.seat for shares in uploading.shares)
            event = RosterAgreed(plan=state.plan, seats=seats, t2=uploading.t2)
            return Step(state=uploading, requests=requests, events=(event,))
        case Uploading():
            agreeing, requests = secagg.on_uploads(server, state, replies)
            return Step(state=agreeing, requests=requests)
        case Agreeing():
            unmasking, requests = secagg.on_agreements(server, state, replies)
            agreed = SurvivorsAgreed(plan=state.plan, seats=_seats(unmasking), agreed=state.agreed)
            return Step(state=unmasking, requests=requests, events=(agreed,))
        case Unmasking():
            return _opened(server, state, secagg.on_unmasks(server, state, replies))
        case _:
            return Step(state=state, requests={})


def run_round(  # noqa: PLR0913 - two ports, and what only the caller knows
    server: Server,
    cohort: Cohort,
    journal: Journal,
    plan: Plan,
    *,
    previous: Outcome | Callable[[], Outcome] | None,
    attempts: int,
    seats: Iterable[int] | None = None,
    knowing: Iterable[int] = (),
    desk: Desk | None = None,
) -> Opened:
    """Take one round from the invitation to the sum, with new attempts while nothing was opened.

    Args:
        server: who we are.
        cohort: who can be asked.
        journal: what must not be forgotten.
        plan: of the first attempt; the next ones have higher numbers.
        previous: what the last round gave, or what fetches it for each attempt, so that a large sum does not stay in
            memory; members check it before they go on.
        attempts: how often to try.
        seats: whom to invite; None invites the whole roster.
        knowing: `Opened.answered` of the last round: of `previous` these seats are sent the sum only. Later attempts
            send all of it to all, and so does a cohort to whoever cannot use the short invitation.
        desk: keeps what settlement needs; None if nothing will be opened.

    Raises:
        QuorumLostError, ComplaintError: the last attempt ended like this; nothing was revealed.
        RoundSuspendedError: too few have unmasked, in this round or one before; see `resume_round`.
        UnusableSumError: the sum is open and not usable; the run stops.
    """
    if (held := journal.held()) is not None:
        waiting = unpack(Unmasking, held)
        raise RoundSuspendedError(present=len(waiting.answers), needed=server.manifest.quorum.t)
    invited = set(range(len(server.manifest.members)) if seats is None else seats)
    for attempt in range(plan.attempt, plan.attempt + attempts):
        current = replace(plan, attempt=attempt)
        journal.open(current)
        try:
            told, again = (previous(), previous) if callable(previous) else (previous, None)
            first = [begin(server, current, previous=told, cohort=invited, knowing=knowing, desk=desk, again=again)]
            del told
            return _attempt(server, cohort, journal, current, first.pop(), desk=desk)  # no frame but its own holds it
        except (QuorumLostError, ComplaintError) as error:
            journal.note(AttemptEnded(plan=current, code=error.code))
            knowing = ()
            if attempt == plan.attempt + attempts - 1:
                raise
            if isinstance(error, ComplaintError):
                invited -= {seat for seat, by in error.accused.items() if len(by) > server.manifest.f}
    raise ValueError("a round needs at least one attempt")


def resume_round(server: Server, cohort: Cohort, journal: Journal, *, desk: Desk | None = None) -> Opened:
    """Ask those who have not unmasked yet once more; the requests are the same bytes as before.

    Raises:
        RoundSuspendedError: still too few.
        UnusableSumError: the sum is open and not usable; the run stops.
    """
    stored = journal.held()
    if stored is None:
        raise ValueError("no round waits to be resumed")
    state = unpack(Unmasking, stored)
    return _open(server, cohort, journal, state, secagg.unmask_requests(server, state), desk=desk)


def _attempt(server: Server, cohort: Cohort, journal: Journal, plan: Plan, now: Step, *, desk: Desk | None) -> Opened:
    while not isinstance(now.state, Unmasking):
        for event in now.events:
            journal.note(event)
        replies = cohort.exchange(now.requests)
        if isinstance(now.state, Inviting) and desk is not None:
            replies = desk.joined(replies)
        if isinstance(now.state, Uploading):
            replies = _spooled(journal, plan, replies)
        now = step(server, now.state, replies)
    journal.hold(pack(now.state))
    for event in now.events:
        journal.note(event)
    return _open(server, cohort, journal, now.state, now.requests, desk=desk)


def _open(
    server: Server, cohort: Cohort, journal: Journal, state: Unmasking, requests: Requests, *, desk: Desk | None
) -> Opened:
    """Exchange 5, once; what came is kept if it is not enough."""
    try:
        now = step(server, state, cohort.exchange(requests))
    except UnusableSumError as error:
        journal.note(AttemptEnded(plan=state.plan, code=error.code))
        raise
    for event in now.events:
        journal.note(event)
    if isinstance(now.state, Opened):
        if desk is not None:
            desk.file(dossier_of(state, now.state))
        journal.release(pack(now.state.outcome))
        return now.state
    assert isinstance(now.state, Unmasking)  # noqa: S101 - the only other state that follows; tells mypy
    journal.hold(pack(now.state))
    raise RoundSuspendedError(present=len(now.state.answers), needed=server.manifest.quorum.t)


def _spooled(journal: Journal, plan: Plan, replies: Iterable[tuple[int, bytes]]) -> Iterable[tuple[int, bytes]]:
    for seat, reply in replies:
        journal.spool(plan, seat, reply)
        yield seat, reply
        del reply  # as large as a model, and the next one is read before the name is given away


def _opened(server: Server, state: Unmasking, after: Opened | Unmasking) -> Step:
    if isinstance(after, Unmasking):
        return Step(state=after, requests=secagg.unmask_requests(server, after))
    signature = after.outcome.signature
    event = AggregateReleased(plan=state.plan, seats=_seats(state), agreed=state.agreed, signature=signature)
    return Step(state=after, requests={}, events=(event,))


def _seats(state: Unmasking) -> tuple[int, ...]:
    return tuple(survivor.seat for survivor in state.survivors)


@dataclass(slots=True)
class MemoryJournal:
    """A journal that forgets when the process ends: for simulations and tests."""

    events: list[Event] = field(default_factory=list)
    uploads: dict[tuple[tuple[int, int], int], bytes] = field(default_factory=dict, repr=False)
    blobs: dict[str, bytes] = field(default_factory=dict, repr=False)
    waiting: bytes | None = field(default=None, repr=False)
    outcome: bytes | None = field(default=None, repr=False)
    keep_uploads: bool = False

    def open(self, plan: Plan) -> None:
        """Begin an attempt."""
        del plan

    def note(self, event: Event) -> None:
        """Append something that happened."""
        self.events.append(event)

    def spool(self, plan: Plan, seat: int, upload: bytes) -> None:
        """Keep an upload, if wanted."""
        if self.keep_uploads:
            self.uploads[plan.number, seat] = upload

    def hold(self, state: bytes) -> None:
        """Keep the state of a round that waits."""
        self.waiting = state

    def held(self) -> bytes | None:
        """Give back what `hold` kept."""
        return self.waiting

    def release(self, outcome: bytes) -> None:
        """Keep the sum of the last round only."""
        self.waiting, self.outcome = None, outcome

    def put(self, name: str, content: bytes) -> None:
        """Keep something of a settlement under a name."""
        self.blobs[name] = content

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        return self.blobs[name]

    def has(self, name: str) -> bool:
        """Tell whether something is kept under a name."""
        return name in self.blobs

    def erase(self, names: Iterable[str]) -> None:
        """Remove what is kept under these names, if it is there."""
        for name in names:
            self.blobs.pop(name, None)

    def uploaded(self, number: tuple[int, int], seat: int) -> bytes:
        """Give back a spooled upload of a round and attempt."""
        return self.uploads[number, seat]

    def drop(self, number: tuple[int, int], seats: Iterable[int]) -> None:
        """Remove the spooled uploads of a settled round."""
        for seat in seats:
            self.uploads.pop((number, seat), None)
