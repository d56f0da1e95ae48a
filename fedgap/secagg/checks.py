"""What anybody can check about the server's messages with the manifest alone: the public half of a client's care.

Clients run these before they look at anything secret; `fedgap.secagg.evidence` runs them again when a client shows a
server-signed message to others.
"""

from collections.abc import Sequence

import numpy as np

from fedgap.crypto import is_leaf, is_signed, root_of_chunks
from fedgap.secagg.dealt import column
from fedgap.secagg.encoding import CANARIES
from fedgap.secagg.errors import BadServerMessageError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.messages import EVERYBODY, Adverts, Certificate, Outcome, Relay, Voice
from fedgap.secagg.transcript import Survivor, agreement, is_ascending


def check_adverts(manifest: Manifest, message: Adverts) -> None:
    """Every advert is signed, seats are unique and in the roster, at least u_min are there.

    Raises:
        BadServerMessageError: something of this does not hold.
    """
    _check_seats(manifest, [advert.seat for advert in message.adverts])
    for advert in message.adverts:
        values = message.sid, advert.seat, advert.mask_public, advert.letter_public
        if not is_signed(manifest.members[advert.seat].public, advert.signature, "advert", *values):
            raise BadServerMessageError(f"The advert of member {advert.seat} is not signed by it.")


def check_relay(manifest: Manifest, message: Relay) -> None:
    """Every slip is signed by its dealer under the stated T1, all of them are a column under the stated root.

    Raises:
        BadServerMessageError: something of this does not hold, or fewer than u_min dealt.
    """
    _check_seats(manifest, [entry.seat for entry in message.entries])
    for entry in message.entries:
        public = manifest.members[entry.seat].public
        if not is_signed(public, entry.signature, "row", message.t1, (entry.seat, message.recipient), entry.slip):
            raise BadServerMessageError(f"A row is not the one that member {entry.seat} signed.")
    leaf = column([entry.slip for entry in message.entries])
    if not is_leaf("dealt", message.dealt, leaf, position=message.position, count=message.count, path=message.path):
        raise BadServerMessageError("The rows are not among those that the server says were dealt.")


def check_survivors(manifest: Manifest, *, t2: bytes, survivors: Sequence[Survivor]) -> None:
    """Every upload is signed under the stated T2, seats are unique, at least u_min are there.

    Raises:
        BadServerMessageError: something of this does not hold.
    """
    _check_seats(manifest, [survivor.seat for survivor in survivors])
    for survivor in survivors:
        public = manifest.members[survivor.seat].public
        values = t2, survivor.seat, manifest.encoding.words, survivor.root
        if not is_signed(public, survivor.signature, "upload", *values):
            raise BadServerMessageError(f"The upload of member {survivor.seat} is not signed by it.")


def check_voices(manifest: Manifest, *, sid: bytes, agreed: bytes, voices: Sequence[Voice]) -> None:
    """At least tau different members signed D.

    Raises:
        BadServerMessageError: they did not, or one signature is not valid.
    """
    seats = [voice.seat for voice in voices]
    if not is_ascending(seats, below=len(manifest.members)):
        raise BadServerMessageError("The signers are not in order, repeated, or not in the roster.")
    if len(seats) < manifest.tau:
        raise BadServerMessageError(f"{len(seats)} members signed who stayed; {manifest.tau} must.")
    for voice in voices:
        public = manifest.members[voice.seat].public
        if not is_signed(public, voice.signature, "agree", sid, voice.seat, agreed):
            raise BadServerMessageError(f"Member {voice.seat} did not sign who stayed.")


def check_certificate(manifest: Manifest, message: Certificate) -> None:
    """At least tau different members signed the stated D.

    Raises:
        BadServerMessageError: they did not.
    """
    check_voices(manifest, sid=message.sid, agreed=message.agreement, voices=message.voices)


def check_outcome(manifest: Manifest, outcome: Outcome) -> Ring:
    """Check the sum of a round before deriving the next model from it.

    It is signed by the server, belongs to a D that tau members signed, and its canaries count the survivors. That the
    sum is the survivors' is for the audit to show; each can recompute the chunks it is given.

    Returns:
        uint32, shape (D,): the sum X.

    Raises:
        BadServerMessageError: something of this does not hold.
    """
    sid = outcome.plan.sid
    if outcome.plan.manifest != manifest.digest or len(outcome.total) != 4 * manifest.encoding.words:
        raise BadServerMessageError("The last round's sum is of another federation or of another length.")
    check_survivors(manifest, t2=outcome.t2, survivors=outcome.survivors)
    agreed = agreement(sid, outcome.t2, outcome.survivors)
    check_voices(manifest, sid=sid, agreed=agreed, voices=outcome.voices)
    root = root_of_chunks("sum", outcome.total)
    if not is_signed(manifest.server, outcome.signature, "sum", agreed, EVERYBODY, root):
        raise BadServerMessageError("The last round's sum is not signed by the server.")
    total = np.frombuffer(outcome.total, dtype="<u4")
    start = manifest.encoding.parameters + manifest.encoding.statistics
    if any(total[start : start + CANARIES] != len(outcome.survivors)):
        raise BadServerMessageError("The canaries of the last round's sum do not count its survivors.")
    return total


def _check_seats(manifest: Manifest, seats: Sequence[int]) -> None:
    if not is_ascending(seats, below=len(manifest.members)):
        raise BadServerMessageError("Members are not in order, repeated, or not in the roster.")
    if len(seats) < manifest.quorum.u_min:
        raise BadServerMessageError(f"{len(seats)} members are there; at least {manifest.quorum.u_min} must be.")
