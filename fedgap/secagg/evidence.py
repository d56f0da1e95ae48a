"""Proofs that convince anybody who has the manifest: who broke the protocol, shown by what they signed themselves.

    Contradiction    one key signed two different statements where only one may exist
    ShareEvidence    a holder answered with another share than it was dealt, or a dealer's shares do not fit
    ServerEvidence   the server signed messages that contradict each other or contain something invalid

Each is checked by a function that takes the manifest and the proof and nothing else. None opens a secret that was not
open before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from fedgap.crypto import AgreementKey, BadBytesError, decode, digest, is_leaf, is_signed, is_signed_statement
from fedgap.secagg.checks import check_adverts, check_certificate, check_relay, check_survivors
from fedgap.secagg.dealt import dealt_root
from fedgap.secagg.errors import BadMessageError, BadServerMessageError
from fedgap.secagg.keyring import mask_key, self_commitment, share_hash
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import (
    Adverts,
    Certificate,
    Invite,
    Relay,
    ServerMessage,
    Shares,
    Survivors,
    Unmask,
    server_context,
    unseal,
)
from fedgap.secagg.shamir import recover
from fedgap.secagg.transcript import Advert, Survivor, agreement, first_transcript, is_ascending, second_transcript
from fedgap.secagg.wire import Hash, Key, Seat, Signature, kind_within

_SERVER_MESSAGES: tuple[type[ServerMessage], ...] = (Invite, Adverts, Relay, Survivors, Certificate)
_KINDS = {f"fedgap/1/{cls.KIND}": cls for cls in _SERVER_MESSAGES}
_ONCE = {
    *(f"fedgap/1/{label}" for label in ("advert", "row", "upload", "agree", "unmask", "complaint", "receipt", "sum")),
    *(f"fedgap/1/{label}" for label in ("commitment", "direction", "endorsement", "answer", "reaction")),
    *(f"fedgap/1/server/{cls.KIND}" for cls in _SERVER_MESSAGES),
    *(f"fedgap/1/server/{kind}/1" for kind in ("close", "agenda", "reveal", "challenge", "statement")),
}
"""Statements of which one key makes at most one for a context and a speaker or recipient."""
_HEAD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two different signed statements with one label, one context and one speaker or recipient."""

    KIND: ClassVar[str] = "contradiction/1"

    public: Key
    first: bytes
    first_signature: Signature
    second: bytes
    second_signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareEvidence:
    """A dealer's signed rows and the signed answers of holders; the transcript ties both to one attempt.

    Attributes:
        accused: the holder of the one answer in `answers`, or the dealer.
        of_dealing: whether it is accused as the dealer; then `answers` are those of t holders.
        sid: with `adverts`, `dealers`, `columns` and `survivors`, what T1, T2 and D are made of.
        adverts: everybody's one-time keys.
        dealers: who dealt.
        columns: the leaves under the root of what was dealt.
        survivors: who stayed.
        dealer: what it dealt.
        answers: what holders unmasked.
        paths: for each answer, from the dealer's slip for that holder to the holder's column.
    """

    KIND: ClassVar[str] = "share-evidence/1"

    accused: Seat
    of_dealing: bool
    sid: Hash
    adverts: tuple[Advert, ...]
    dealers: tuple[Seat, ...]
    columns: tuple[Hash, ...]
    survivors: tuple[Survivor, ...]
    dealer: Shares
    answers: tuple[Unmask, ...]
    paths: tuple[tuple[Hash, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvidence:
    """Messages the server signed in one attempt, as one member received them, in order."""

    KIND: ClassVar[str] = "server-evidence/1"

    messages: tuple[bytes, ...]


def contradicts(proof: Contradiction) -> bool:
    """Tell whether the owner of the key signed two statements of which at most one may exist."""
    pairs = (proof.first, proof.first_signature), (proof.second, proof.second_signature)
    if proof.first == proof.second or _head(proof.first) != _head(proof.second):
        return False
    return all(is_signed_statement(proof.public, signature, said) for said, signature in pairs)


def share_fits(share: bytes, *, dealer: Shares, position: int, kind: str) -> bool:
    """Tell whether a share is the one that `dealer` signed for the holder at this position of Adverts."""
    start = 32 if kind == "b" else 64
    return dealer.rows[position][start : start + 32] == share_hash[kind](share)


def fits_dealer(secret: bytes, *, sid: bytes, adverts: Sequence[Advert], dealer: Shares, kind: str) -> bool:
    """Tell whether an opened element is the one its dealer committed to, or derived its mask key from."""
    position, advert = next((at, advert) for at, advert in enumerate(adverts) if advert.seat == dealer.seat)
    if kind == "b":
        return self_commitment(secret, sid, dealer.seat) == dealer.rows[position][:32]
    return mask_key(secret, sid, dealer.seat).public == advert.mask_public


def shows_fault(manifest: Manifest, proof: ShareEvidence) -> bool:
    """Tell whether the accused holder answered with a share it was not dealt, or the accused dealer dealt badly."""
    dealer, agreed = proof.dealer, _agreement(manifest, proof)
    seats = [advert.seat for advert in proof.adverts]
    holders = [answer.seat for answer in proof.answers]
    if agreed is None or not set(holders) <= set(seats):
        return False
    index = proof.dealers.index(dealer.seat)
    if not _were_relayed(proof, [seats.index(holder) for holder in holders], index=index):
        return False
    kind = "b" if dealer.seat in {survivor.seat for survivor in proof.survivors} else "sigma"
    shares: dict[int, bytes] = {}
    for answer in proof.answers:
        said = digest("unmask-shares", answer.shares)
        public = manifest.members[answer.seat].public
        if not is_signed(public, answer.signature, "unmask", agreed, answer.seat, said):
            return False
        shares[answer.seat] = answer.shares[32 * index : 32 * index + 32]
    right = {
        holder
        for holder, share in shares.items()
        if share_fits(share, dealer=dealer, position=seats.index(holder), kind=kind)
    }
    if not proof.of_dealing:
        return holders == [proof.accused] and not right
    if proof.accused != dealer.seat or len(shares) != manifest.quorum.t or right != shares.keys():
        return False
    return not fits_dealer(recover(shares), sid=proof.sid, adverts=proof.adverts, dealer=dealer, kind=kind)


def server_fault(manifest: Manifest, proof: ServerEvidence) -> str | None:
    """Name what the server did wrong, or None if these messages do not show it.

    Raises:
        BadMessageError: a message is malformed.
        BadSignatureError: the server did not sign it.
    """
    messages = [read_sealed(manifest, data) for data in proof.messages]
    for one, other in combinations(messages, 2):
        if server_context(one) == server_context(other) and one != other:
            return "It signed two different messages for one exchange."
    for message in messages:
        try:
            _check(manifest, message)
        except BadServerMessageError as error:
            return error.cause
    for one, other in combinations(messages, 2):
        if (fault := _mismatch(manifest, one, other)) is not None:
            return fault
    return None


def read_sealed(manifest: Manifest, data: bytes) -> ServerMessage:
    """Read any message of the server, whatever its kind.

    Raises:
        BadMessageError: it is none.
        BadSignatureError: the server did not sign it.
    """
    kind = kind_within(data)
    if kind not in _KINDS:
        raise BadMessageError("The server sends no message of this kind.")
    return unseal(manifest.server, _KINDS[kind], data)


def _agreement(manifest: Manifest, proof: ShareEvidence) -> bytes | None:
    """D of the attempt, if the dealer signed these rows in it."""
    t1 = first_transcript(manifest, proof.sid, proof.adverts)
    dealer = proof.dealer
    seats = [advert.seat for advert in proof.adverts]
    if not is_ascending(seats, below=len(manifest.members)) or dealer.seat not in {*proof.dealers} & {*seats}:
        return None
    public = manifest.members[dealer.seat].public
    if len(dealer.rows) != len(seats) or not all(
        is_signed_statement(public, signature, said) for said, signature in dealer.signed(t1, seats)
    ):
        return None
    t2 = second_transcript(t1, proof.dealers, dealt_root(proof.columns))
    return agreement(proof.sid, t2, proof.survivors)


def _were_relayed(proof: ShareEvidence, positions: Sequence[int], *, index: int) -> bool:
    """Tell whether the dealer's rows are those in the columns that the holders at these positions accepted."""
    if len(proof.columns) != len(proof.adverts) or len(proof.paths) != len(positions):
        return False
    return all(
        is_leaf(
            "column",
            proof.columns[position],
            proof.dealer.slips[position],
            position=index,
            count=len(proof.dealers),
            path=path,
        )
        for position, path in zip(positions, proof.paths, strict=True)
    )


def _check(manifest: Manifest, message: ServerMessage) -> None:
    """Run the check that fits the message; an invitation alone can only be contradicted."""
    if isinstance(message, Adverts):
        check_adverts(manifest, message)
        if not all(AgreementKey.is_public(key) for a in message.adverts for key in (a.mask_public, a.letter_public)):
            raise BadServerMessageError("A one-time key is of small order.")
    elif isinstance(message, Relay):
        check_relay(manifest, message)
    elif isinstance(message, Survivors):
        check_survivors(manifest, t2=message.t2, survivors=message.survivors)
    elif isinstance(message, Certificate):
        check_certificate(manifest, message)


def _mismatch(manifest: Manifest, one: ServerMessage, other: ServerMessage) -> str | None:
    """Say how two messages of one attempt do not follow each other."""
    if isinstance(one, Adverts) and isinstance(other, Relay) and one.sid == other.sid:
        seats = [advert.seat for advert in one.adverts]
        if first_transcript(manifest, one.sid, one.adverts) != other.t1:
            return "The key shares it relayed belong to other one-time keys."
        if len(seats) != other.count or seats[other.position : other.position + 1] != [other.recipient]:
            return "It relayed key shares meant for another member."
    if isinstance(one, Relay) and isinstance(other, Survivors) and one.sid == other.sid:
        dealers = [entry.seat for entry in one.entries]
        if second_transcript(one.t1, dealers, one.dealt) != other.t2:
            return "The uploads it listed belong to other key shares."
        if not {survivor.seat for survivor in other.survivors} <= set(dealers):
            return "It listed a survivor that dealt no key shares."
    if (
        isinstance(one, Survivors)
        and isinstance(other, Certificate)
        and one.sid == other.sid
        and agreement(one.sid, one.t2, one.survivors) != other.agreement
    ):
        return "The signatures it gathered are for another list of who stayed."
    return None


def _head(said: bytes) -> tuple[object, ...]:
    """Label, context and speaker of a statement; different for every statement that may be made more than once."""
    try:
        value = decode(said)
    except BadBytesError:
        return (said,)
    if not isinstance(value, tuple) or len(value) <= _HEAD or value[0] not in _ONCE:
        return (said,)
    return value[:_HEAD]
