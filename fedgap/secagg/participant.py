"""One organisation as a program that answers bytes with bytes, and remembers everything it must never contradict.

Every reply is durable in the vault before it leaves. The same request gets the same bytes again, after a restart too;
a different one for the same exchange is refused, and what the server signed is kept as evidence. Rounds and attempts
only move up, and a state of the model that was opened once is never trained on again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from fedgap.crypto import BadSignatureError, Rand, digest
from fedgap.secagg import client
from fedgap.secagg.account import Account, HeldRound, name, sum_name
from fedgap.secagg.certificates import Certified
from fedgap.secagg.checks import check_outcome
from fedgap.secagg.encoding import Contribution, encode
from fedgap.secagg.errors import (
    AlreadyOpenedError,
    BadManifestError,
    BadMessageError,
    BadServerMessageError,
    EquivocationError,
    JournalBehindError,
    OutOfOrderError,
    RefusalError,
    UnseenListError,
)
from fedgap.secagg.evaluation import periods_of
from fedgap.secagg.evidence import ServerEvidence, read_sealed, server_fault
from fedgap.secagg.masking import Ring
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Adverts,
    Agree,
    Certificate,
    Complaint,
    Invite,
    Outcome,
    Relay,
    ServerMessage,
    Shares,
    Survivors,
    Unmask,
    Upload,
)
from fedgap.secagg.recall import is_short, lengthen, shorten
from fedgap.secagg.settlement import is_settlement
from fedgap.secagg.settler import Settler
from fedgap.secagg.states import Advertised, Agreed, Answered, Complained, LeftOut, Shared, State, Uploaded
from fedgap.secagg.transcript import Advert, Plan
from fedgap.secagg.wire import Count, Hash, kind_of, pack, unpack

_STATES: dict[str, type[State]] = {
    f"fedgap/1/{cls.KIND}": cls for cls in (Advertised, Shared, Complained, Uploaded, LeftOut, Agreed, Answered)
}
_REPLIES = {f"fedgap/1/{cls.KIND}" for cls in (Advert, Certified, Shares, Upload, Complaint, Agree, Unmask)}


class Vault(Protocol):
    """One organisation's private, durable memory. Every call returns after its effect would survive a power cut."""

    def load(self) -> bytes | None:
        """Give the last committed record, None at first.

        Raises:
            JournalBehindError: it is older than one that was committed.
        """
        ...

    def commit(self, record: bytes) -> None:
        """Replace the record."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        ...

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        ...

    def erase(self, names: Iterable[str]) -> None:
        """Remove what was kept under these names, if it is there."""
        ...


class Application(Protocol):
    """What the organisation itself adds: its own view of the plan, and its local training."""

    def plan(self, invited: Plan, previous: Outcome | None) -> Plan:
        """Compute the plan of the round from the manifest and the sums so far, trusting nothing in `invited`.

        `invited` says which round and attempt are meant; `previous` has been checked and may be applied.
        """
        ...

    def train(self, plan: Plan) -> Contribution:
        """Train locally from the state the plan names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One exchange of the current attempt: which request got which reply; both are in the vault by name."""

    exchange: str
    request: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedState:
    """A state of the model that a sum was opened on, and which D."""

    state: Hash
    agreement: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the organisation remembers between two messages."""

    KIND: ClassVar[str] = "journal/1"

    manifest: Hash
    version: Count
    plan: Plan | None = None
    state: bytes = field(default=b"", repr=False)
    answers: tuple[Answer, ...] = ()
    opened: tuple[OpenedState, ...] = ()
    account: Account = field(default_factory=Account)


class Participant:
    """An organisation between its vault, its training and the server's requests.

    Args:
        me: who we are, under which manifest.
        vault: our durable memory.
        application: our training.
        rand: secret randomness; the operating system's in a deployment.
        simulation: whether this is a simulation. A manifest of the other kind is refused.
        settler: our part in settlements; None signs no direction and opens nothing.
    """

    def __init__(
        self,
        me: Me,
        vault: Vault,
        application: Application,
        *,
        rand: Rand,
        simulation: bool,
        settler: Settler | None = None,
    ) -> None:
        if me.manifest.simulation is not simulation:
            kind = "simulation" if me.manifest.simulation else "deployment"
            raise BadManifestError(f"This is the manifest of a {kind}; its keys must not be used here.")
        self._me, self._vault, self._application, self._rand = me, vault, application, rand
        self._settler = settler
        if settler is not None:
            periods_of(me.manifest, settler.evaluation)
        self._record = self._load()

    def handle(self, request: bytes) -> bytes | None:
        """Answer a request of the server; None means that the protocol forbids an answer.

        Raises:
            RefusalError: the request is doubtful; evidence is attached and kept if the server is provably at fault.
            BadUpdateError: our own training gave something that cannot be sent.
        """
        if is_settlement(request):
            return self._settle(request)
        request = self._whole(request)
        try:
            message = read_sealed(self._me.manifest, request)
        except (BadMessageError, BadSignatureError) as error:
            raise BadServerMessageError("A request is malformed or not signed by the server.") from error
        exchange = message.KIND
        earlier = {answer.exchange: answer.request for answer in self._record.answers}
        if self._is_current(message) and exchange in earlier:
            return self._again(message, request, same=earlier[exchange] == digest("request", request))
        try:
            reply = self._advance(message, request)
        except RefusalError as error:
            error.evidence = self._kept(error.evidence) or self._evidence(request)
            raise
        if reply is not None and kind_of(reply) not in _REPLIES:
            raise RefusalError("An answer that is no message of the protocol was held back.")  # the egress guard
        return reply

    def _whole(self, request: bytes) -> bytes:
        """Put a short invitation together again from what we have seen of the last round; give back anything else."""
        if not is_short(request):
            return request
        record = self._record
        kept = {answer.exchange for answer in record.answers}
        if Invite.KIND in kept and shorten(whole := self._request(record, Invite.KIND)) == request:
            return whole
        if not kept >= {Survivors.KIND, Certificate.KIND}:
            raise UnseenListError("The invitation leaves out what this organisation has not seen; it is needed whole.")
        listed, certified = self._request(record, Survivors.KIND), self._request(record, Certificate.KIND)
        return lengthen(request, last=_planned(record), listed=listed, certified=certified)

    def _request(self, record: Record, exchange: str) -> bytes:
        return self._vault.get(_blob(_planned(record), exchange, "request"))

    def _settle(self, request: bytes) -> bytes:
        """Answer a settlement message; what was learnt from it is durable before the reply leaves."""
        if self._settler is None:
            raise RefusalError("This organisation takes no part in settlements.")
        record = self._record
        reached = 0 if record.plan is None else record.plan.round
        step = self._settler.handle(self._me, record.account, self._vault, request, reached=reached)
        self._vault.erase(step.erase)
        if step.account != record.account:
            self._record = replace(record, account=step.account)
            self._vault.commit(pack(self._record))
        return step.reply

    def learn(self, outcome: Outcome) -> None:
        """Keep a sum that came by itself and that the caller has checked (see `Settler.learn`)."""
        if self._settler is not None:
            self._settler.learn(self._me, self._record.account, self._vault, outcome)

    def forget(self, rounds: Iterable[tuple[int, int]]) -> None:
        """Erase what was kept of settled rounds, given as (round, attempt)."""
        self._vault.erase([name(number, what) for number in rounds for what in ("kept", "update")])

    def _load(self) -> Record:
        manifest = self._me.manifest
        stored = self._vault.load()
        if stored is None:
            account = Account() if self._settler is None else self._settler.fresh(self._me)
            return Record(manifest=manifest.digest, version=manifest.version, account=account)
        record = unpack(Record, stored)
        if manifest.version < record.version or (manifest.version == record.version) != (
            manifest.digest == record.manifest
        ):
            raise BadManifestError(f"Version {record.version} of the manifest was in force; this one is not later.")
        if manifest.version == record.version:
            return record
        return replace(record, manifest=manifest.digest, version=manifest.version)

    def _is_current(self, message: ServerMessage) -> bool:
        plan = self._record.plan
        if plan is None:
            return False
        if isinstance(message, Invite):
            return message.plan.number == plan.number
        return message.sid == plan.sid

    def _again(self, message: ServerMessage, request: bytes, *, same: bool) -> bytes | None:
        """Give the same bytes again; a different request for an exchange is a contradiction of the server."""
        state = self._state()
        answered = isinstance(message, Certificate) and isinstance(state, Answered)
        if same or (answered and message.agreement == state.agreement):  # type: ignore[union-attr]  # both narrowed
            return self._vault.get(_blob(_planned(self._record), message.KIND, "reply")) or None
        raise EquivocationError(
            f"Two different requests came for the exchange '{message.KIND}'.", evidence=self._evidence(request)
        )

    def _advance(self, message: ServerMessage, request: bytes) -> bytes | None:
        """Take one step and make it durable."""
        if isinstance(message, Invite):
            return self._on_invite(message, request)
        if not self._is_current(message):
            raise OutOfOrderError("The request belongs to another attempt than the current one.")
        me, state = self._me, self._state()
        after: State
        reply: bytes | None
        match message, state:
            case Adverts(), Advertised():
                after, reply = client.on_adverts(me, state, request)
            case Relay(), Shared():
                after, reply = self._on_relay(state, request)
            case Survivors(), Uploaded():
                after, reply = client.on_survivors(me, state, request)
            case Certificate(), Agreed():
                after, reply = client.on_certificate(me, state, request)
            case _:
                raise OutOfOrderError(f"The request '{message.KIND}' came in the state '{type(state).__name__}'.")
        self._commit(message.KIND, request, after, reply, before=self._holding(after))
        return reply

    def _on_invite(self, invite: Invite, request: bytes) -> bytes:
        record, previous = self._record, invite.previous
        if record.account.closed:
            raise OutOfOrderError("The run is closed; nothing is trained on what was revealed.")
        if record.plan is not None and invite.plan.number <= record.plan.number:
            raise OutOfOrderError("The round is not later than one this organisation already took part in.")
        if invite.plan.state in {opened.state for opened in record.opened}:
            raise AlreadyOpenedError("A sum was already opened on this state of the model.")
        if previous is not None:
            check_outcome(self._me.manifest, previous)
            known = record.plan.number if record.plan is not None else (0, 0)
            if previous.plan.number > known and self._me.seat in {survivor.seat for survivor in previous.survivors}:
                raise JournalBehindError("The last sum holds an upload of ours that this journal does not know.")
        expected = self._application.plan(invite.plan, previous)
        after, reply = client.on_invite(self._me, request, expected=expected, seed=self._rand(32))
        account = record.account
        if self._settler is not None:
            if invite.offers or invite.checkpoint:
                account, reply = self._settler.join(self._me, account, invite, reply)
            if previous is not None:
                self._vault.put(sum_name(previous.plan.round, previous.plan.manifest), previous.total)
        leftovers = self._leftovers(invite.plan)
        before = replace(record, plan=invite.plan, answers=(), account=account)
        self._commit(Invite.KIND, request, after, reply, before=before)
        self._vault.erase(leftovers)
        return reply

    def _on_relay(self, state: Shared, request: bytes) -> tuple[State, bytes | None]:
        """Check what was dealt to us, train, encode, mask."""
        ready, complaint = client.on_relay(self._me, state, request)
        if isinstance(ready, Complained):
            return ready, complaint
        plan, manifest, seat = _planned(self._record), self._me.manifest, self._me.seat
        vector: Ring = encode(
            manifest.encoding,
            self._application.train(plan),
            clip=plan.clip,
            share=manifest.share(seat),
            round_=plan.round,
            org=manifest.members[seat].id,
            members=len(manifest.members),
        )
        self._vault.put(name(plan.number, "update"), vector.astype("<u4", copy=False).tobytes())
        after, kept, reply = client.upload(self._me, ready, vector)
        self._vault.put(name(plan.number, "kept"), pack(kept))
        return after, reply

    def _holding(self, after: State) -> Record:
        """The record, with the upload that was just made."""
        record = self._record
        if self._settler is None or not isinstance(after, Uploaded):
            return record
        plan = _planned(record)
        held = HeldRound(round=plan.round, attempt=plan.attempt, manifest=plan.manifest, root=after.root)
        return replace(record, account=record.account.holding(held))

    def _kept(self, evidence: bytes | None) -> bytes | None:
        """Keep evidence that a step found itself."""
        if evidence is not None:
            self._vault.put(f"evidence-{digest('evidence', evidence).hex()[:16]}", evidence)
        return evidence

    def _commit(
        self, exchange: str, request: bytes, after: State, reply: bytes | None, *, before: Record | None = None
    ) -> None:
        """Make request, reply and state durable, in this order; only then may the reply leave."""
        before = self._record if before is None else before
        plan = _planned(before)
        self._vault.put(_blob(plan, exchange, "request"), request)
        self._vault.put(_blob(plan, exchange, "reply"), reply or b"")
        opened = before.opened
        if isinstance(after, Answered):
            opened = (*opened, OpenedState(state=plan.state, agreement=after.agreement))
        answer = Answer(exchange=exchange, request=digest("request", request))
        record = replace(before, state=pack(after), answers=(*before.answers, answer), opened=opened)
        self._vault.commit(pack(record))
        self._record = record

    def _evidence(self, request: bytes) -> bytes | None:
        """Gather what the server signed in this attempt; keep and return it if it shows a fault."""
        plan, answers = self._record.plan, self._record.answers
        messages = [] if plan is None else [self._request(self._record, a.exchange) for a in answers]
        proof = ServerEvidence(messages=(*messages, request))
        if server_fault(self._me.manifest, proof) is None:
            return None
        return self._kept(pack(proof))

    def _leftovers(self, coming: Plan) -> list[str]:
        """Name what the attempt before leaves behind; of an attempt at the same round, its update and secrets too."""
        plan = self._record.plan
        if plan is None:
            return []
        answers = self._record.answers
        names = [_blob(plan, answer.exchange, part) for answer in answers for part in ("request", "reply")]
        if plan.round == coming.round:
            names += [name(plan.number, "update"), name(plan.number, "kept")]
        return names

    def _state(self) -> State:
        stored = self._record.state
        return unpack(_STATES[kind_of(stored)], stored)


def _planned(record: Record) -> Plan:
    plan = record.plan
    assert plan is not None  # noqa: S101 - every record with a state has one; tells mypy
    return plan


def _blob(plan: Plan, exchange: str, part: str) -> str:
    return name(plan.number, f"{exchange.removesuffix('/1')}-{part}")
