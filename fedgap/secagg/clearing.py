"""The server's side of settlement: pure steps that collect answers, find liars, and state what follows.

    endorsement  -> a member's signature over the one list
    on_answers   -> the state with more answers         a wrong one is a fault and counts as silence
    disputes     -> edges whose ends contradict each other, to be challenged one by one
    judge        -> the edge's true numbers and the liar, with transferable evidence
    state_it     -> a Statement; final once the time for answers is over
    on_reactions -> who confirmed and who objected

The state is small: directions and uploads stay on disk.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from fedgap.crypto import Identity, statement
from fedgap.records import is_record_signed, write_record
from fedgap.secagg.account import OpenedRound
from fedgap.secagg.answering import records_of_answer
from fedgap.secagg.credit import DISPUTE, Edge, blocs, edges, shared_pairs
from fedgap.secagg.dispute import EdgeEvidence, edge_round, is_answer, verify_liar
from fedgap.secagg.dossier import Dossier
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.evidence import Contradiction
from fedgap.secagg.inbox import Fault
from fedgap.secagg.inspection import is_endorsed_by
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Voice
from fedgap.secagg.reaction import is_reaction, record_of_reaction
from fedgap.secagg.settlement import (
    Agenda,
    Answer,
    Base,
    Challenge,
    Endorsement,
    Judged,
    Opening,
    Reaction,
    Statement,
    seal_settlement,
    settling,
)
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.wire import Count, Hash, pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """Where the settlement of one period stands; written to disk after every exchange.

    Attributes:
        period, listed, rounds: what is opened.
        bases: every member's product without its edges.
        answers, judged: what was said, and what was found about it.
        revision: of the last statement.
        faults: answers that were not used.
    """

    KIND: ClassVar[str] = "server-state/clearing/1"

    period: Count
    listed: Hash
    rounds: tuple[OpenedRound, ...]
    bases: tuple[Base, ...]
    answers: tuple[Answer, ...] = ()
    judged: tuple[Judged, ...] = ()
    revision: Count = 0
    faults: tuple[Fault, ...] = ()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Members that any opened round names together."""
        return shared_pairs(opened.seats for opened in self.rounds)

    @property
    def edges(self) -> list[Edge]:
        """What is known of every edge so far."""
        return edges(self.pairs, self.answers, self.judged)

    @property
    def silent(self) -> frozenset[int]:
        """Members with a value that have not answered."""
        return frozenset(base.seat for base in self.bases) - {answer.seat for answer in self.answers}


def endorsement(manifest: Manifest, agenda: Agenda, seat: int, reply: bytes) -> Voice | None:
    """Read a member's endorsement of the list; None if it is none."""
    try:
        said = unpack(Endorsement, reply)
    except BadMessageError:
        return None
    voice = Voice(seat=seat, signature=said.signature)
    return voice if said.seat == seat and is_endorsed_by(manifest, agenda, voice) else None


def on_answers(tenure: Tenure, state: Clearing, replies: Iterable[tuple[int, bytes]], *, origin: bytes) -> Clearing:
    """Take the answers that came; the first valid one of each member counts."""
    answers = {answer.seat: answer for answer in state.answers}
    faults = list(state.faults)
    peers = _peers(state.pairs)
    for seat, reply in replies:
        try:
            answer = unpack(Answer, reply)
        except BadMessageError as error:
            faults.append(Fault(seat=seat, exchange="reveal", reason=error.cause))
            continue
        wrong = _wrong(tenure, state, seat, answer, peers=peers.get(seat, []), origin=origin)
        if wrong:
            faults.append(Fault(seat=seat, exchange="reveal", reason=wrong))
        elif answers.setdefault(seat, answer) != answer and answers[seat].said != answer.said:
            proof = _two_answers(tenure, answers[seat], answer)
            faults.append(Fault(seat=seat, exchange="reveal", reason="it signed two different answers", evidence=proof))
    ordered = tuple(answers[seat] for seat in sorted(answers))
    return replace(state, answers=ordered, faults=tuple(dict.fromkeys(faults)))


def disputes(state: Clearing) -> list[Edge]:
    """List the edges whose two ends contradict each other and that nobody has opened yet."""
    return [edge for edge in state.edges if edge.state == DISPUTE]


def challenge(tenure: Tenure, server: Identity, state: Clearing, edge: Edge) -> dict[int, bytes]:
    """Show each end the other's signed answer, and ask it to open the edge."""
    answers = {answer.seat: answer for answer in state.answers}
    ends = (edge.low, edge.high), (edge.high, edge.low)
    return {
        mine: seal_settlement(
            server,
            Challenge(manifest=tenure.name, period=state.period, recipient=mine, answer=answers[theirs]),
        )
        for mine, theirs in ends
    }


def judge(
    tenure: Tenure,
    evaluation: Evaluation,
    state: Clearing,
    edge: Edge,
    replies: Iterable[tuple[int, bytes]],
    *,
    reveal: bytes,
    dossier: Callable[[int], Dossier],
) -> tuple[Clearing, EdgeEvidence | None]:
    """Find out who lied about an edge, from the first opening that fits what both ends committed to.

    Args:
        tenure: with the evaluation specification, all that checking needs.
        evaluation: likewise.
        state: with the two answers.
        edge: the disputed one.
        replies: what its ends sent.
        reveal: the server's Reveal as it was sent.
        dossier: gives that of a round.

    Returns:
        the state with the verdict and the evidence for it; unchanged and None if nobody opened the edge.
    """
    answers = {answer.seat: answer for answer in state.answers}
    both = [opened.round for opened in state.rounds if {edge.low, edge.high} <= set(opened.seats)]
    for seat, reply in replies:
        try:
            secrets = _secrets(reply, seat, both)
            rounds = tuple(edge_round(dossier(round_), (edge.low, edge.high), secrets[round_]) for round_ in both)
            proof = EdgeEvidence(reveal=reveal, low=answers[edge.low], high=answers[edge.high], rounds=rounds)
            values, liars = verify_liar(tenure, evaluation, proof)
        except BadMessageError as error:
            fault = Fault(seat=seat, exchange="challenge", reason=error.cause)
            state = replace(state, faults=(*state.faults, fault))
            continue
        verdict = Judged(low=edge.low, high=edge.high, values=values, liars=tuple(sorted(liars)), evidence=proof.digest)
        return replace(state, judged=(*state.judged, verdict)), proof
    return state, None


def state_it(tenure: Tenure, state: Clearing, *, final: bool) -> tuple[Clearing, Statement]:
    """State everything that was said and what follows; with fewer than tau answers nothing follows."""
    state = replace(state, revision=state.revision + 1)
    settled = len(state.answers) >= tenure.manifest.tau
    said = Statement(
        manifest=tenure.name,
        period=state.period,
        revision=state.revision,
        final=final,
        listed=state.listed,
        answers=state.answers,
        judged=state.judged,
        bases=state.bases if settled else (),
        blocs=blocs(state.bases, state.edges) if settled else (),
    )
    return state, said


def on_reactions(
    manifest: Manifest, said: Statement, replies: Iterable[tuple[int, bytes]], *, origin: bytes
) -> list[Reaction]:
    """Take the valid reactions to a statement, one for each member, in order of seats."""
    found: dict[int, Reaction] = {}
    for seat, reply in replies:
        try:
            reaction = unpack(Reaction, reply)
        except BadMessageError:
            continue
        if reaction.seat != seat or not is_reaction(manifest, reaction, said):
            continue
        record = record_of_reaction(manifest, seat, said.period, said.digest, reaction.code)
        public = manifest.members[seat].public
        if is_record_signed(public, reaction.recorded, write_record(record), origin=origin):
            found.setdefault(seat, reaction)
    return [found[seat] for seat in sorted(found)]


def _peers(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Whom each member reports on, in order."""
    found: dict[int, set[int]] = {}
    for low, high in pairs:
        found.setdefault(low, set()).add(high)
        found.setdefault(high, set()).add(low)
    return {seat: sorted(others) for seat, others in found.items()}


def _wrong(tenure: Tenure, state: Clearing, seat: int, answer: Answer, *, peers: Sequence[int], origin: bytes) -> str:
    """Say why an answer cannot be used; empty if it can."""
    manifest = tenure.manifest
    if answer.seat != seat or answer.period != state.period or not is_answer(tenure, answer, state.listed):
        return "it is not signed by this member, or is over another list"
    if [report.peer for report in answer.reports] != list(peers):
        return "it does not report on exactly the peers it shares rounds with"
    if any(len(report.values) not in {0, manifest.openings} for report in answer.reports):
        return "it has another number of openings"
    records = records_of_answer(manifest, seat, state.period, state.listed, answer.reports)
    public = manifest.members[seat].public
    if len(answer.recorded) != len(records) or not all(
        is_record_signed(public, signature, write_record(record), origin=origin)
        for record, signature in zip(records, answer.recorded, strict=True)
    ):
        return "its signatures for the ledger are not valid"
    return ""


def _two_answers(tenure: Tenure, one: Answer, other: Answer) -> bytes:
    context = settling(tenure.name, one.period)
    return pack(
        Contradiction(
            public=tenure.manifest.members[one.seat].public,
            first=statement("answer", context, one.seat, one.said),
            first_signature=one.signature,
            second=statement("answer", context, other.seat, other.said),
            second_signature=other.signature,
        )
    )


def _secrets(reply: bytes, seat: int, rounds: Sequence[int]) -> dict[int, bytes]:
    """Read an Opening: the secret of each of these rounds."""
    opening = unpack(Opening, reply)
    secrets = {shown.round: shown.secret for shown in opening.secrets}
    if opening.seat != seat or set(secrets) != set(rounds):
        raise BadMessageError("It opened another edge or other rounds than it was asked for.")
    return secrets
