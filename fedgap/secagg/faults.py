"""What the server's own settlement messages prove against it, to anybody with the manifests.

Contradictions (two bodies in one place, two directions for one slot) are in `fedgap.secagg.evidence`. Here is what a
single Reveal, or a Statement beside its Reveal, shows by itself.
"""

from fedgap.secagg.credit import follows, shared_pairs
from fedgap.secagg.dispute import is_answer
from fedgap.secagg.errors import BadMessageError, RefusalError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.evidence import ServerEvidence
from fedgap.secagg.inspection import Assessor, check_recomputed, inspect
from fedgap.secagg.settlement import Reveal, Statement, read_settlement
from fedgap.secagg.tenures import Tenure


def settlement_fault(
    tenure: Tenure, evaluation: Evaluation, proof: ServerEvidence, *, assessor: Assessor | None = None
) -> str | None:
    """Name what the server did wrong, or None if these messages do not show it.

    Args:
        tenure: with the evaluation specification, all that the public checks need.
        evaluation: likewise.
        proof: messages of the server, a Reveal before its Statement.
        assessor: recomputes directions; without one that check is left out.

    Raises:
        BadMessageError: a message is malformed or no settlement message, or of another tenure.
        BadSignatureError: the server did not sign it.
    """
    reveal: Reveal | None = None
    listed = b""
    for data in proof.messages:
        message = read_settlement(tenure.manifest.server, data)
        if message.manifest != tenure.name:
            raise BadMessageError("The settlement is of another roster than this one.")
        if isinstance(message, Reveal):
            reveal = message
            try:
                listed = inspect(tenure, evaluation, reveal)
                if assessor is not None:
                    check_recomputed(tenure.manifest, evaluation, assessor, reveal)
            except RefusalError as error:
                return error.cause
        elif isinstance(message, Statement):
            if reveal is None:
                raise BadMessageError("A statement proves nothing without its Reveal.")
            if (fault := _of_statement(tenure, reveal, listed, message)) is not None:
                return fault
    return None


def _of_statement(tenure: Tenure, reveal: Reveal, listed: bytes, stated: Statement) -> str | None:
    pairs = shared_pairs(opened.listing.seats for opened in reveal.rounds)
    if (stated.manifest, stated.period) != (reveal.manifest, reveal.period):
        raise BadMessageError("The statement is of another settlement than the Reveal.")
    if stated.listed != listed or not all(is_answer(tenure, answer, listed) for answer in stated.answers):
        return "It stated answers that are not the members', or are over another list."
    if not follows(pairs, stated, openings=tenure.manifest.openings):
        return "It stated values that do not follow from the answers."
    return None
