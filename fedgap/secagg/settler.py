"""An organisation's side of settlement: what it opens, when, and what it then erases.

    Close      the run is over: sign what is offered, train no more      -> certified
    Agenda     endorse the one list of rounds that will be opened        -> endorsement
    Reveal     every check, then one number for each peer                -> answer
    Challenge  a peer's signed contradiction: open that one edge         -> opening
    Statement  our own number and the total: confirm or object           -> reaction; a final one ends the period

A step takes the account and gives the next one, which is committed before the reply leaves. The same request gets the
same bytes again; a different one in its place is refused with proof. Refused requests are kept.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from fedgap.crypto import BadSignatureError, digest, statement
from fedgap.errors import FedgapError
from fedgap.secagg.account import (
    Account,
    AnsweredPeriod,
    Heard,
    OpenedRound,
    Shelf,
    answered,
    name,
    over,
    sum_name,
)
from fedgap.secagg.answering import kept_of, make_answer, open_numbers, total_of
from fedgap.secagg.certificates import Certified, SignedSlot, certify
from fedgap.secagg.checks import check_outcome
from fedgap.secagg.dispute import is_answer, numbers_for
from fedgap.secagg.errors import (
    BadMessageError,
    BadServerMessageError,
    EquivocationError,
    OutOfOrderError,
    RefusalError,
)
from fedgap.secagg.evaluation import Evaluation, periods_of
from fedgap.secagg.evidence import Contradiction, ServerEvidence
from fedgap.secagg.inspection import (
    Assessor,
    check_due,
    check_own_roots,
    check_recomputed,
    check_rounds,
    inspect,
)
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Invite, Outcome
from fedgap.secagg.periods import most_parts
from fedgap.secagg.reaction import NOT_ANSWERED, objection, react
from fedgap.secagg.settlement import (
    Agenda,
    Answer,
    Challenge,
    Close,
    Endorsement,
    Opening,
    Received,
    Reveal,
    RoundSecret,
    SettlementMessage,
    Statement,
    receive_settlement,
    recipient_of,
    settling,
)
from fedgap.secagg.tenures import Tenure, tenure_of, tenures
from fedgap.secagg.wire import pack, unpack

MOST_REVISIONS = 100
"""Statements of one period that are answered; each takes room in the record."""


class Cosigner(Protocol):
    """Co-signs a checkpoint of the ledger, or refuses because it contradicts one that it saw before."""

    def __call__(self, checkpoint: bytes) -> bytes:
        """Give the co-signature; opaque here."""
        ...


def _nothing(checkpoint: bytes) -> bytes:
    """Sign no checkpoint."""
    del checkpoint
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from a request.

    Attributes:
        account: to be committed before the reply leaves.
        reply: to the server.
        erase: names in the vault that go; first, since nothing here needs them again.
    """

    account: Account
    reply: bytes
    erase: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settler:
    """What an organisation needs to take part in settlements.

    Attributes:
        evaluation: the specification that the manifest names.
        assessor: our own recomputation; None refuses whatever has to be recomputed.
        origin: digest of the federation's first manifest; the ledger's records are bound to it.
        cosign: co-signs checkpoints of the ledger.
        earlier: every manifest before the one in force, oldest first.
    """

    evaluation: Evaluation
    assessor: Assessor | None = None
    origin: bytes
    cosign: Cosigner = _nothing
    earlier: tuple[Manifest, ...] = ()

    def fresh(self, me: Me) -> Account:
        """Begin an account: whoever was a member before has lost one, and leaves what is past to the others."""
        org = me.manifest.members[me.seat].id
        before = {member.id for manifest in self.earlier for member in manifest.members}
        return Account(since=self.evaluation.rounds + 1 if org in before else 0)

    def join(self, me: Me, account: Account, invite: Invite, advert: bytes) -> tuple[Account, bytes]:
        """Exchange 1 of a round: sign the directions it offers, beside our one-time keys.

        Raises:
            RefusalError: an offer is not valid, or contradicts an earlier one.
        """
        slots, directions = self._certified(me, account, invite.offers, invite.previous)
        cosignature = self.cosign(invite.checkpoint) if invite.checkpoint else b""
        reply = Certified(seat=me.seat, advert=advert, directions=directions, cosignature=cosignature)
        return replace(account, slots=slots), pack(reply)

    def learn(self, me: Me, account: Account, shelf: Shelf, outcome: Outcome) -> None:
        """Keep a sum that came by itself: of a round we missed, or the last one under an older manifest.

        With every sum of a period we can compare its total with our own. Of one that is over nothing is kept.
        """
        plan, tenure = outcome.plan, tenure_of(self._known(me), outcome.plan.manifest)
        if tenure is None or tenure.as_one_of(me) is None:
            return
        done = answered(account, periods_of(me.manifest, self.evaluation).of(plan.round), tenure.name)
        if done is None or not done.over:
            shelf.put(sum_name(plan.round, plan.manifest), outcome.total)

    def handle(self, me: Me, account: Account, shelf: Shelf, request: bytes, *, reached: int) -> Step:
        """Answer a settlement message of the server.

        Args:
            me: who we are.
            account: what we remember.
            shelf: our vault.
            request: the server's bytes.
            reached: the last round we were invited to.

        Raises:
            RefusalError: it is doubtful. It is kept; evidence is attached if the server contradicts itself.
        """
        try:
            received = receive_settlement(me.manifest.server, request)
        except (BadMessageError, BadSignatureError) as error:
            raise BadServerMessageError("A request is malformed or not signed by the server.") from error
        message = received.message
        kind = message.KIND.removesuffix("/1")
        try:
            heard = self._heard(me, account, received)
            if heard in account.heard:
                return Step(account=account, reply=_again(shelf, heard))
            step = self._advance(me, account, shelf, message, reached=reached)
        except RefusalError as error:
            kept = error.evidence or pack(ServerEvidence(messages=(request,)))
            shelf.put(f"refused-{kind}-{digest('refused', kept)[0] % 16:02d}", kept)
            raise
        shelf.put(_blob(heard), step.reply)
        return replace(step, account=replace(step.account, heard=(*step.account.heard, heard)))

    def _heard(self, me: Me, account: Account, received: Received) -> Heard:
        """Note what the server signed; a second body in one place is a contradiction."""
        message = received.message
        now = Heard(kind=message.KIND, context=message.context, body=received.body, signature=received.signature)
        for before in account.heard:
            if (before.kind, before.context) == (now.kind, now.context) and before.body != now.body:
                place = f"server/{now.kind}", now.context, recipient_of(message)
                proof = Contradiction(
                    public=me.manifest.server,
                    first=statement(*place, before.body),
                    first_signature=before.signature,
                    second=statement(*place, now.body),
                    second_signature=now.signature,
                )
                raise EquivocationError("The server signed two messages for one place.", evidence=pack(proof))
        return now

    def _known(self, me: Me) -> tuple[Tenure, ...]:
        return tenures((*self.earlier, me.manifest))

    def _certified(
        self, me: Me, account: Account, offers: tuple[bytes, ...], previous: Outcome | None
    ) -> tuple[tuple[SignedSlot, ...], tuple[bytes, ...]]:
        return certify(me, offers, previous=previous, signed=account.slots, known=self._known(me), since=account.since)

    def _advance(self, me: Me, account: Account, shelf: Shelf, message: SettlementMessage, *, reached: int) -> Step:
        tenure = next((one for one in self._known(me) if one.name == message.manifest), None)
        ours = None if tenure is None else tenure.as_one_of(me)
        if tenure is None or ours is None:
            raise OutOfOrderError("The settlement belongs to another manifest.")
        match message:
            case Close():
                return self._on_close(me, account, shelf, message)
            case Agenda():
                return self._on_agenda(ours, account, message, reached=reached)
            case Reveal():
                self._check_openings_left(me, account)
                return self._on_reveal(ours, tenure, account, shelf, message, reached=reached)
            case Challenge():
                return self._on_challenge(ours, tenure, account, shelf, message)
            case _:
                return self._on_statement(ours, tenure, account, shelf, message)

    def _check_openings_left(self, me: Me, account: Account) -> None:
        """There is room for one more number about us: the manifest's periods, and the rosters so far, bound them."""
        manifest = me.manifest
        most = most_parts(
            rounds=self.evaluation.rounds,
            parameters=manifest.encoding.parameters,
            openings=manifest.openings,
            periods=manifest.periods,
            rosters=len(self._known(me)),
        )
        if account.openings + manifest.openings > most * manifest.openings:
            raise OutOfOrderError("All the openings that the manifest allows have been used.")

    def _on_close(self, me: Me, account: Account, shelf: Shelf, close: Close) -> Step:
        """Sign what is offered with the last outcome; after this no invitation is answered."""
        tenure, plan = self._known(me)[-1], close.outcome.plan
        if close.manifest != tenure.name or plan.manifest not in tenure.versions:
            raise OutOfOrderError("The closing exchange belongs to another manifest.")
        check_outcome(tenure.versions[plan.manifest], close.outcome)
        if plan.round != self.evaluation.rounds:
            raise BadServerMessageError("The run is closed with another round than its last.")
        slots, directions = self._certified(me, account, close.offers, close.outcome)
        cosignature = self.cosign(close.checkpoint) if close.checkpoint else b""
        shelf.put(sum_name(plan.round, plan.manifest), close.outcome.total)
        reply = Certified(seat=me.seat, advert=b"", directions=directions, cosignature=cosignature)
        return Step(account=replace(account, slots=slots, closed=True), reply=pack(reply))

    def _on_agenda(self, me: Me, account: Account, agenda: Agenda, *, reached: int) -> Step:
        """Endorse the list of a period, once: what it holds is checked when it is revealed."""
        periods = periods_of(me.manifest, self.evaluation)
        if answered(account, agenda.period, agenda.manifest) is not None:
            raise OutOfOrderError("The numbers of this period were opened already.")
        if any(one.round < account.since for one in agenda.rounds):
            raise OutOfOrderError("This organisation lost its memory of a listed round, so it endorses no list of it.")
        check_rounds(periods, agenda.period, [one.round for one in agenda.rounds], agenda.left_out)
        check_due(periods, agenda.period, reached=reached, closed=account.closed)
        signature = me.identity.sign("endorsement", agenda.context, me.seat, agenda.listed)
        return Step(account=account, reply=pack(Endorsement(seat=me.seat, signature=signature)))

    def _on_reveal(
        self, me: Me, tenure: Tenure, account: Account, shelf: Shelf, reveal: Reveal, *, reached: int
    ) -> Step:
        """Check everything; then give one number for each peer, and count it."""
        manifest = me.manifest
        periods = periods_of(manifest, self.evaluation)
        if answered(account, reveal.period, reveal.manifest) is not None:
            raise OutOfOrderError("The numbers of this period were opened already.")
        check_due(periods, reveal.period, reached=reached, closed=account.closed)
        listed = inspect(tenure, self.evaluation, reveal)
        roots = {(held.round, held.attempt): (held.manifest, held.root) for held in account.rounds}
        check_own_roots(me.seat, roots, reveal, since=account.since)
        check_recomputed(manifest, self.evaluation, self.assessor, reveal)
        reports, own = open_numbers(me, shelf, reveal)
        context = settling(tenure.name, reveal.period)
        answer = make_answer(me, context, reveal.period, listed, reports, origin=self.origin)
        done = AnsweredPeriod(
            period=reveal.period,
            manifest=tenure.name,
            listed=listed,
            rounds=tuple(_opened(opened.listing.plan.number, opened.listing.seats) for opened in reveal.rounds),
            own=own,
            total=total_of(me, shelf, reveal),
        )
        shelf.put(_answer_name(reveal), pack(answer))
        openings = account.openings + manifest.openings
        return Step(account=replace(account, answered=(*account.answered, done), openings=openings), reply=pack(answer))

    def _on_challenge(self, me: Me, tenure: Tenure, account: Account, shelf: Shelf, challenge: Challenge) -> Step:
        """Open one edge, against the peer's signed contradiction and nothing less."""
        theirs, peer = challenge.answer, challenge.answer.seat
        done = answered(account, challenge.period, tenure.name)
        if done is None or done.over or challenge.recipient != me.seat or peer == me.seat:
            raise OutOfOrderError("The challenge is not for us, or we have not answered, or the period is over.")
        if theirs.period != challenge.period or not is_answer(tenure, theirs, done.listed):
            raise BadServerMessageError("The contradiction is not signed by the peer, or is over another list.")
        ours = unpack(Answer, shelf.get(_answer_name(challenge)))
        mine, other = numbers_for(ours, peer), numbers_for(theirs, me.seat)
        if not mine or not other or mine == other:
            raise BadServerMessageError("The peer's answer does not contradict ours, so nothing is opened.")
        secrets = []
        for opened in done.rounds:
            if {me.seat, peer} <= set(opened.seats):
                found = kept_of(shelf, (opened.round, opened.attempt))
                if found is None:
                    raise OutOfOrderError("The secrets of this edge are lost here.")
                secret = next(edge.secret for edge in found[0].edges if edge.seat == peer)
                secrets.append(RoundSecret(round=opened.round, secret=secret))
        return Step(account=account, reply=pack(Opening(seat=me.seat, peer=peer, secrets=tuple(secrets))))

    def _on_statement(self, me: Me, tenure: Tenure, account: Account, shelf: Shelf, stated: Statement) -> Step:
        """Compare it with what we computed when we answered; a final one ends the period.

        Then what the period needed is erased, unless we object: with our update and our masks we can show which upload
        is ours, and so what our number is. `Participant.forget` erases it when that is over.
        """
        done = answered(account, stated.period, tenure.name)
        if (done is not None and done.over) or stated.revision > MOST_REVISIONS:
            raise OutOfOrderError("The period is over, or has been stated too often.")
        ours = None if done is None else unpack(Answer, shelf.get(_answer_name(stated)))
        complete = done is not None and done.total is not None
        code = objection(me, tenure, done, ours, stated)
        reply = pack(react(me, stated, code, complete=complete, origin=self.origin))
        if not stated.final:
            return Step(account=account, reply=reply)
        if code not in {"", NOT_ANSWERED}:
            return Step(account=over(account, stated.period, tenure.name), reply=reply)
        rounds = periods_of(me.manifest, self.evaluation).rounds_of(stated.period)
        gone = [held for held in account.rounds if held.round in rounds and held.manifest in tenure.versions]
        kept = tuple(held for held in account.rounds if held not in gone)
        erase = [name((held.round, held.attempt), what) for held in gone for what in ("kept", "update")]
        erase += [_blob(heard) for heard in account.heard if heard.kind == Challenge.KIND]
        erase += [sum_name(round_, version) for round_ in rounds for version in tenure.versions]
        account = replace(over(account, stated.period, tenure.name), rounds=kept)
        return Step(account=account, reply=reply, erase=tuple(erase))


def _opened(number: tuple[int, int], seats: frozenset[int]) -> OpenedRound:
    return OpenedRound(round=number[0], attempt=number[1], seats=tuple(sorted(seats)))


def _again(shelf: Shelf, heard: Heard) -> bytes:
    """Give the same reply again; an opened edge's is erased with its period."""
    try:
        return shelf.get(_blob(heard))
    except (KeyError, FedgapError) as error:
        raise OutOfOrderError("The period is over, and what was said in it is erased.") from error


def _answer_name(message: Reveal | Challenge | Statement) -> str:
    """How our answer in a part of a period is called in the vault."""
    return f"settlement-{message.period:06d}-{message.manifest.hex()[:16]}-answer"


def _blob(heard: Heard) -> str:
    """How the reply to a message is called in the vault."""
    return f"settlement-{heard.kind.removesuffix('/1')}-{heard.context.hex()[:32]}"
