"""Who lied about an edge: shown by opening that one edge's secrets, and convincing to anybody with the manifest.

Both ends committed to the secret of their edge before the upload (C_ij, in rows that the other accepted) and signed an
answer over the same list. The one whose answer is not the product of the directions with the masks of that secret lied;
perhaps both. The secrets tell the peer nothing new, and an honest end gives them only against a signed contradiction.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from fedgap.crypto import BadSignatureError, digest, is_leaf, is_signed, leaf_paths
from fedgap.secagg.dealt import columns, dealt_root
from fedgap.secagg.dossier import Dossier
from fedgap.secagg.errors import BadMessageError, BadServerMessageError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.inspection import entries_of, inspect
from fedgap.secagg.keyring import edge_commitment, pair_mask
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Row, slip
from fedgap.secagg.opening import RING, mask_products
from fedgap.secagg.settlement import Answer, Reveal, RevealedRound, read_settlement, settling
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.transcript import Advert, first_transcript, second_transcript
from fedgap.secagg.wire import Hash, Seat, pack


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRow:
    """What one end of an edge dealt to the other, and that the other accepted it."""

    row: Row
    path: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRound:
    """What ties an edge's secret to one round.

    Attributes:
        adverts, dealers, columns: what T1 and T2 of the round are made of (see `fedgap.secagg.dealt`).
        low, high: what both ends dealt to each other.
        secret: s_ij.
    """

    adverts: tuple[Advert, ...]
    dealers: tuple[Seat, ...]
    columns: tuple[Hash, ...]
    low: EndRow
    high: EndRow
    secret: Hash = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeEvidence:
    """Two answers that contradict each other, and the secrets that tell which is true.

    Attributes:
        reveal: the server's Reveal, as it was sent.
        low, high: both ends' signed answers.
        rounds: one for each listed round that names both ends, in order.
    """

    KIND: ClassVar[str] = "edge-evidence/1"

    reveal: bytes
    low: Answer
    high: Answer
    rounds: tuple[EdgeRound, ...]

    @property
    def digest(self) -> bytes:
        """32 bytes that name it in a statement and in the ledger."""
        return digest("edge-evidence", pack(self))


def verify_liar(tenure: Tenure, evaluation: Evaluation, proof: EdgeEvidence) -> tuple[tuple[int, ...], set[int]]:
    """Recompute an opened edge.

    Args:
        tenure: that the settlement is of.
        evaluation: the specification that its manifests name.
        proof: what is shown.

    Returns:
        the true numbers, and who said others: one end, the other, or both.

    Raises:
        BadMessageError: the evidence does not show anything: something in it is not signed, or does not belong.
    """
    manifest, low, high = tenure.manifest, proof.low, proof.high
    try:
        reveal = read_settlement(manifest.server, proof.reveal)
        if not isinstance(reveal, Reveal):
            raise BadMessageError("The evidence holds no Reveal.")
        listed = inspect(tenure, evaluation, reveal)
    except (BadServerMessageError, BadSignatureError) as error:
        raise BadMessageError(f"The evidence is about a settlement that is not valid: {error.cause}") from error
    if not (low.seat < high.seat and is_answer(tenure, low, listed) and is_answer(tenure, high, listed)):
        raise BadMessageError("An answer in the evidence is not its member's, or is over another list.")
    if (low.period, high.period) != (reveal.period, reveal.period):
        raise BadMessageError("An answer in the evidence is of another period.")
    said = {answer.seat: numbers_for(answer, other.seat) for answer, other in ((low, high), (high, low))}
    both = [opened for opened in reveal.rounds if {low.seat, high.seat} <= opened.listing.seats]
    if not all(said.values()) or len(both) != len(proof.rounds):
        raise BadMessageError("An answer in the evidence says nothing of the edge, or a round is missing.")
    true = [0] * manifest.openings
    for opened, shown in zip(both, proof.rounds, strict=True):
        mask = _mask(manifest, opened, shown, (low.seat, high.seat))
        entries = [entries_of(manifest, revealed) for revealed in opened.directions]
        true = [(one + other) % RING for one, other in zip(true, mask_products(entries, [mask])[0], strict=True)]
    return tuple(true), {seat for seat, numbers in said.items() if numbers != tuple(true)}


def is_answer(tenure: Tenure, answer: Answer, listed: bytes) -> bool:
    """Tell whether a member signed this answer, over this list."""
    context, members = settling(tenure.name, answer.period), tenure.manifest.members
    member = members[answer.seat] if answer.seat < len(members) else None
    return (
        member is not None
        and answer.listed == listed
        and is_signed(member.public, answer.signature, "answer", context, answer.seat, answer.said)
    )


def numbers_for(answer: Answer, peer: int) -> tuple[int, ...]:
    """What an answer says about the edge to a peer; empty if nothing."""
    return next((report.values for report in answer.reports if report.peer == peer), ())


def edge_round(dossier: Dossier, ends: tuple[int, int], secret: bytes) -> EdgeRound:
    """Gather what ties an opened secret to a round, for others to check."""
    seats = [advert.seat for advert in dossier.adverts]
    dealers = [dealt.seat for dealt in dossier.shares]
    rows = []
    for dealer, holder in (ends, ends[::-1]):
        index, position = dealers.index(dealer), seats.index(holder)
        path = leaf_paths([dealt.slips[position] for dealt in dossier.shares])[index]
        rows.append(EndRow(row=dossier.shares[index].rows[position], path=path))
    return EdgeRound(
        adverts=dossier.adverts,
        dealers=tuple(dealers),
        columns=columns(dossier.shares, count=len(seats)),
        low=rows[0],
        high=rows[1],
        secret=secret,
    )


def _mask(manifest: Manifest, opened: RevealedRound, shown: EdgeRound, ends: tuple[int, int]) -> bytes:
    """The mask key of an edge in one round, once everything that fixes it was checked."""
    t1 = first_transcript(manifest, opened.listing.plan.sid, shown.adverts)
    seats, dealers = [advert.seat for advert in shown.adverts], list(shown.dealers)
    if (
        second_transcript(t1, dealers, dealt_root(shown.columns)) != opened.listing.t2
        or not set(ends) <= set(seats) & set(dealers)
        or len(shown.columns) != len(seats)
    ):
        raise BadMessageError("The evidence belongs to other key shares than the round was signed with.")
    commitment = edge_commitment(shown.secret)
    for given, (dealer, holder) in ((shown.low, ends), (shown.high, ends[::-1])):
        accepted = is_leaf(
            "column",
            shown.columns[seats.index(holder)],
            slip(given.row),
            position=dealers.index(dealer),
            count=len(dealers),
            path=given.path,
        )
        if not accepted or given.row[:32] != commitment:
            raise BadMessageError("The opened secret is not the one both ends committed to.")
    return pair_mask(shown.secret)
