"""What an organisation looks at before it opens anything: every check of a Reveal, one function a reason to refuse.

The public ones need the manifests and the evaluation specification only, so anybody can repeat them on a Reveal that
the server signed: that is the evidence. The rest needs what this organisation knows: its own uploads, how far the run
is, and its own recomputation of each direction.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from fedgap.crypto import is_signed
from fedgap.errors import FedgapError
from fedgap.secagg import directions
from fedgap.secagg.certificates import Listing, check_direction_voices, check_listing, slot_name
from fedgap.secagg.directions import Unrounded, Whole, norm_bound, step_of
from fedgap.secagg.errors import BadServerMessageError, OutOfOrderError, RefusalError
from fedgap.secagg.evaluation import RECOMPUTED, Evaluation, Row, periods_of, rows_root
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import EVERYBODY, Voice
from fedgap.secagg.overlap import clashing
from fedgap.secagg.periods import Periods
from fedgap.secagg.settlement import (
    Agenda,
    AgendaRound,
    LeftOut,
    Reveal,
    RevealedDirection,
    RevealedRound,
    agenda_of,
)
from fedgap.secagg.tenures import Tenure
from fedgap.secagg.transcript import is_ascending


class UnprovenDirectionError(RefusalError):
    """A direction could not be recomputed from the public models and the revealed rows, or came out different."""

    code = "secagg.unproven-direction"


class Assessor(Protocol):
    """An organisation's own view of the directions: from the models it derived itself and the rows it was shown."""

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """Recompute a round's unrounded directions, one for each opening.

        Returns:
            float64, shape (parameters,) each: utility for each unit of the round's mean update. Empty if it cannot.
        """
        ...


def entries_of(manifest: Manifest, revealed: RevealedDirection) -> Whole:
    """Read q: exactly one int16 for each parameter, so that statistics and tail words have none.

    Raises:
        BadServerMessageError: there are more or fewer.
    """
    if len(revealed.entries) != 2 * manifest.encoding.parameters:
        raise BadServerMessageError("A direction does not have one number for each parameter of the model.")
    return np.frombuffer(revealed.entries, dtype="<i2").astype(np.int16, copy=False)


def inspect(tenure: Tenure, evaluation: Evaluation, reveal: Reveal) -> bytes:
    """Run every public check.

    Args:
        tenure: that the reveal is of.
        evaluation: the specification that its manifests name.
        reveal: from the server.

    Returns:
        the digest of the list of rounds and directions, which answers are bound to.

    Raises:
        BadServerMessageError: the server signed something that may not be opened.
    """
    manifest = tenure.manifest
    periods = periods_of(manifest, evaluation)
    agenda = agenda_of(reveal)
    check_rounds(periods, reveal.period, [one.listing.plan.round for one in reveal.rounds], reveal.left_out)
    check_scale(reveal)
    for opened, listed in zip(reveal.rounds, agenda.rounds, strict=True):
        check_roster(tenure, opened.listing)
        check_certificates(tenure, evaluation, opened, listed)
    check_endorsed(manifest, agenda, reveal.voices)
    check_overlap(manifest, reveal)
    check_rows(evaluation, reveal)
    for opened in reveal.rounds:
        for revealed in opened.directions:
            check_norm(manifest, revealed, length=periods.length)
            if evaluation.source not in RECOMPUTED:
                check_spread(entries_of(manifest, revealed))
    return agenda.listed


def check_roster(tenure: Tenure, listing: Listing) -> None:
    """A listed round ran under a version of this tenure, and tau members of that version signed who stayed.

    Raises:
        BadServerMessageError: it did not, or they did not.
    """
    version = tenure.versions.get(listing.plan.manifest)
    if version is None:
        raise BadServerMessageError("A listed round is of another manifest.")
    check_listing(version, listing)


def check_rounds(periods: Periods, period: int, listed: Sequence[int], left_out: Sequence[LeftOut]) -> None:
    """The listed rounds and those left out are the period's, each once, in order.

    Raises:
        BadServerMessageError: they are not.
    """
    left = [gone.round for gone in left_out]
    if not 1 <= period <= periods.count or sorted([*listed, *left]) != list(periods.rounds_of(period)):
        raise BadServerMessageError("The listed rounds and those left out are not those of one period, each once.")
    if list(listed) != sorted(listed):
        raise BadServerMessageError("The listed rounds are not in order.")


def check_scale(reveal: Reveal) -> None:
    """All directions of the period have one scale.

    Raises:
        BadServerMessageError: they do not.
    """
    if len({revealed.scale for opened in reveal.rounds for revealed in opened.directions}) > 1:
        raise BadServerMessageError("The directions of one period have different scales.")


def check_certificates(tenure: Tenure, evaluation: Evaluation, opened: RevealedRound, listed: AgendaRound) -> None:
    """A round has one direction for each opening, and tau members signed the hash of each; so did the witness.

    Raises:
        BadServerMessageError: it has not, or they did not.
    """
    if len(opened.directions) != tenure.manifest.openings:
        raise BadServerMessageError(f"A round is opened {len(opened.directions)} times; the manifest says otherwise.")
    for slot, (revealed, said) in enumerate(zip(opened.directions, listed.directions, strict=True), 1):
        name = slot_name(listed.agreed, slot)
        since = opened.listing.plan.manifest
        check_direction_voices(tenure, since=since, name=name, said=said, voices=revealed.voices)
        check_witness(evaluation, revealed, name=name, said=said)


def check_endorsed(manifest: Manifest, agenda: Agenda, voices: Sequence[Voice]) -> None:
    """At least tau different members endorsed exactly this list, so no other list of the period can be opened.

    Raises:
        BadServerMessageError: they did not.
    """
    seats = [voice.seat for voice in voices]
    if not is_ascending(seats, below=len(manifest.members)) or len(seats) < manifest.tau:
        raise BadServerMessageError(f"The list is endorsed by {len(seats)} members; {manifest.tau} must, in order.")
    for voice in voices:
        if not is_endorsed_by(manifest, agenda, voice):
            raise BadServerMessageError(f"Member {voice.seat} did not endorse the list.")


def is_endorsed_by(manifest: Manifest, agenda: Agenda, voice: Voice) -> bool:
    """Tell whether a member endorsed this list."""
    public = manifest.members[voice.seat].public
    return is_signed(public, voice.signature, "endorsement", agenda.context, voice.seat, agenda.listed)


def check_norm(manifest: Manifest, revealed: RevealedDirection, *, length: int) -> None:
    """The norm is above zero and within the bound that keeps a period's sum from wrapping.

    Raises:
        BadServerMessageError: it is not.
    """
    bound = norm_bound(manifest.encoding, length)
    if not 0 < directions.squared(entries_of(manifest, revealed)) <= bound * bound:
        raise BadServerMessageError("The norm of a direction is zero or above its bound.")


def check_overlap(manifest: Manifest, reveal: Reveal) -> None:
    """Any two listed rounds share f + 2 members, any three f + 1: no second number follows from varying survivors.

    Raises:
        BadServerMessageError: they do not.
    """
    if clashing({opened.listing.plan.round: opened.listing.seats for opened in reveal.rounds}, f=manifest.f):
        raise BadServerMessageError("Listed rounds share too few members to be opened together.")


def check_rows(evaluation: Evaluation, reveal: Reveal) -> None:
    """The rows are those that the evaluation specification committed to, and none if it committed to none.

    Raises:
        BadServerMessageError: they are not.
    """
    if evaluation.source != "committed":
        if reveal.rows:
            raise BadServerMessageError("Rows were revealed that the manifest did not commit to.")
        return
    shard = evaluation.shard(reveal.period)
    if len(reveal.rows) != shard.rows or rows_root(reveal.rows) != shard.root:
        raise BadServerMessageError("The revealed rows are not those the manifest committed to.")


def check_witness(evaluation: Evaluation, revealed: RevealedDirection, *, name: bytes, said: bytes) -> None:
    """The witness of the manifest signed this direction.

    Raises:
        BadServerMessageError: it did not.
    """
    key, signature = evaluation.witness, revealed.witness
    if key is None:
        return
    if signature is None or not is_signed(key, signature, "witnessed", name, EVERYBODY, said):
        raise BadServerMessageError("A direction is not signed by the witness that the manifest names.")


def check_spread(direction: Unrounded | Whole) -> None:
    """A direction is spread over enough coordinates: |v|_2**4 / |v|_4**4 is at least max(4, d / 50).

    Raises:
        BadServerMessageError: it singles out a few coordinates.
    """
    if not directions.is_spread(direction):
        raise BadServerMessageError("A direction is concentrated on so few coordinates that it would show them.")


def check_due(periods: Periods, period: int, *, reached: int, closed: bool) -> None:
    """A period is opened only when nobody can train on its directions any more.

    Args:
        periods: the run.
        period: asked for.
        reached: the last round this organisation was invited to.
        closed: whether the closing exchange has ended the run for it.

    Raises:
        OutOfOrderError: it is too early.
    """
    due = periods.due(period)
    if not closed and (due is None or reached < due):
        raise OutOfOrderError("The period is asked for before it is due: its rows or directions could be trained on.")


def check_own_roots(
    seat: int, roots: Mapping[tuple[int, int], tuple[bytes, bytes]], reveal: Reveal, *, since: int = 0
) -> None:
    """Every list of survivors that names us has the root of the upload we sent, under the version we sent it under.

    Args:
        seat: ours.
        roots: version and root of each upload, by round and attempt.
        reveal: from the server.
        since: the first round we remember.

    Raises:
        BadServerMessageError: it has another one, or we never uploaded in that attempt.
    """
    for opened in reveal.rounds:
        plan = opened.listing.plan
        for survivor in opened.listing.survivors if plan.round >= since else ():
            if survivor.seat == seat and roots.get(plan.number) != (plan.manifest, survivor.root):
                raise BadServerMessageError("A listed round has an upload of ours that we did not send.")


def check_recomputed(manifest: Manifest, evaluation: Evaluation, assessor: Assessor | None, reveal: Reveal) -> None:
    """Every revealed direction is the one we compute ourselves, scaling and rounding included.

    Raises:
        UnprovenDirectionError: it is not, or we cannot compute it; the manifest may waive this (see `evaluation`).
        BadServerMessageError: the recomputed direction singles out a few coordinates.
    """
    if evaluation.source not in RECOMPUTED:
        return
    length = periods_of(manifest, evaluation).length
    for opened in reveal.rounds:
        listing = opened.listing
        ours = _recomputed(assessor, listing, reveal.rows)
        if len(ours) != len(opened.directions):
            raise UnprovenDirectionError("A direction cannot be recomputed here, so nothing is opened along it.")
        step = step_of(manifest, listing.seats, clip=listing.plan.clip)
        for slot, (direction, revealed) in enumerate(zip(ours, opened.directions, strict=True), 1):
            check_spread(direction)
            try:
                again = directions.rounded(
                    manifest.encoding,
                    direction,
                    step=step,
                    scale=revealed.scale,
                    length=length,
                    round_=listing.plan.round,
                    slot=slot,
                )
            except directions.UnusableDirectionError as error:
                raise UnprovenDirectionError("Our own computation of a direction cannot be used.") from error
            if not directions.agrees(entries_of(manifest, revealed), again.entries):
                raise UnprovenDirectionError("A revealed direction is not the one that the revealed rows give.")


def _recomputed(assessor: Assessor | None, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
    """Ask for our own directions of a round; none if they cannot be had."""
    try:
        return assessor.directions(listing, rows) if assessor is not None else ()
    except FedgapError as error:
        raise UnprovenDirectionError("A direction cannot be recomputed here, so nothing is opened along it.") from error
