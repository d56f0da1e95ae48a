"""What an organisation says to a statement: it knows its own update, so it knows its own number, and the total.

An objection is one code. Whether it is right, anybody sees from the statement itself, or by computing the bases again
from the spooled uploads, whose roots tau members signed (`fedgap.secagg.dossier`).
"""

from collections.abc import Sequence

from fedgap.crypto import digest, is_signed
from fedgap.records import CreditConfirmed, CreditObjected, sign_record
from fedgap.secagg.account import AnsweredPeriod
from fedgap.secagg.credit import follows, shared_pairs
from fedgap.secagg.dispute import is_answer
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.me import Me
from fedgap.secagg.opening import RING, centred
from fedgap.secagg.settlement import Answer, Reaction, Statement
from fedgap.secagg.tenures import Tenure

NOT_ANSWERED = "settlement.not-answered"
"""We have not opened our numbers in this period, so there is nothing to compare with."""
OTHER_LIST = "settlement.other-list"
OTHER_ANSWER = "settlement.other-answer"
DOES_NOT_FOLLOW = "settlement.does-not-follow"
WRONG_TOTAL = "settlement.wrong-total"
WRONG_VALUE = "settlement.wrong-value"
JUDGED = "settlement.judged-wrongly"


def objection(me: Me, tenure: Tenure, done: AnsweredPeriod | None, ours: Answer | None, statement: Statement) -> str:
    """Say in one code what is wrong with a statement of a tenure in which we are `me`; empty if nothing is."""
    manifest, answers = me.manifest, statement.answers
    if not statement.bases and len(answers) < manifest.tau:
        return ""
    if done is None or ours is None:
        return NOT_ANSWERED
    said = {answer.seat: answer for answer in answers}
    pairs = shared_pairs(opened.seats for opened in done.rounds)
    faults = {
        OTHER_LIST: statement.listed != done.listed
        or not all(is_answer(tenure, answer, done.listed) for answer in answers),
        OTHER_ANSWER: said.get(me.seat, ours) != ours,
        DOES_NOT_FOLLOW: len(said) < max(manifest.tau, len(answers))
        or not follows(pairs, statement, openings=manifest.openings),
        JUDGED: any(me.seat in judged.liars for judged in statement.judged),
    }
    return next((code for code, is_so in faults.items() if is_so), "") or _wrong_number(me, done, statement)


def _wrong_number(me: Me, done: AnsweredPeriod, statement: Statement) -> str:
    """Compare the total, if we have every sum, and our own number, if it stands alone, with our own."""
    totals = tuple(sum(values) % RING for values in zip(*(bloc.values for bloc in statement.blocs), strict=True))
    if done.total not in {None, totals}:
        return WRONG_TOTAL
    alone = [bloc.values for bloc in statement.blocs if bloc.seats == (me.seat,)]
    own = alone if done.own is None else [tuple(map(centred, done.own))] * len(alone)
    return "" if alone == own else WRONG_VALUE


def react(me: Me, statement: Statement, code: str, *, complete: bool, origin: bytes) -> Reaction:
    """Sign what we found, and the same as the ledger's record."""
    record = record_of_reaction(me.manifest, me.seat, statement.period, statement.digest, code)
    signature = me.identity.sign("reaction", statement.context, me.seat, statement.digest, code, int(complete))
    return Reaction(
        seat=me.seat,
        statement=statement.digest,
        code=code,
        complete=complete,
        signature=signature,
        recorded=sign_record(record, me.identity, origin=origin),
    )


def record_of_reaction(
    manifest: Manifest, seat: int, period: int, statement: bytes, code: str
) -> CreditConfirmed | CreditObjected:
    """Write a reaction as the ledger's record; server and organisation write the same."""
    organisation = manifest.members[seat].id
    if not code:
        return CreditConfirmed(period=period, organisation=organisation, statement=statement)
    evidence = digest("objection", statement, seat, code)
    return CreditObjected(period=period, organisation=organisation, statement=statement, code=code, evidence=evidence)


def is_reaction(manifest: Manifest, reaction: Reaction, statement: Statement) -> bool:
    """Tell whether a member signed this reaction to this statement."""
    values: Sequence[bytes | str | int] = (
        statement.context,
        reaction.seat,
        reaction.statement,
        reaction.code,
        int(reaction.complete),
    )
    member = manifest.members[reaction.seat] if reaction.seat < len(manifest.members) else None
    return (
        member is not None
        and reaction.statement == statement.digest
        and is_signed(member.public, reaction.signature, "reaction", *values)
    )
