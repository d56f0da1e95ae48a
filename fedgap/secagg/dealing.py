"""Key shares: what an organisation deals to every member, and how it checks what the others dealt to it.

A row to one holder is `C_ij | hash of the share of b | hash of the share of sigma | sealed letter with both shares`;
the row to oneself has the commitment to b in place of C_ij. The dealer signs each row for its holder, so it can be held
to each of them. What travels on to the holder is a slip: it knows the edge and learns the shares, so of the names only
their hash is sent.
"""

from collections.abc import Sequence

from fedgap.crypto import BadLetterError, open_letter, seal_letter
from fedgap.secagg.keyring import Keyring, edge_commitment, edge_secret, letter_key, self_commitment, share_hash
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Accusation, RelayEntry, Shares, slip_head
from fedgap.secagg.shamir import is_element
from fedgap.secagg.states import Agreement, EdgeSecret, Held, Peer, Shared

NO_EDGE = bytes(32)
"""Stands for the secret of the edge to oneself."""

_share_of_b, _share_of_sigma = share_hash["b"], share_hash["sigma"]


def deal(me: Me, keys: Keyring, peers: Sequence[Peer], *, t1: bytes) -> tuple[Shared, Shares]:
    """Agree with every peer, share our two secrets among all, ourselves included, and sign what each of them gets.

    Args:
        me: who we are.
        keys: our secrets of the attempt.
        peers: everybody's one-time keys, in order of seats, ours among them.
        t1: the first transcript.

    Raises:
        BadKeyError: a peer's key is of small order.
    """
    sign, mask, letter = me.identity.sign, keys.mask_key, keys.letter_key
    agreements, rows, signatures = [], [], []
    for peer, share in zip(peers, keys.shares([peer.seat for peer in peers], t=me.manifest.quorum.t), strict=True):
        seats = me.seat, peer.seat
        if peer.seat == me.seat:
            secret, commitment, agreed = NO_EDGE, self_commitment(keys.b, keys.sid, me.seat), keys.own_letter
        else:
            secret = edge_secret(mask, peer.mask_public, t1=t1, seats=seats)
            commitment = edge_commitment(secret)
            agreed = letter_key(letter, peer.letter_public, t1=t1)
        named = commitment + hashes(share)
        sealed = seal_letter(agreed, share, "letter", turn=int(me.seat > peer.seat))
        rows.append(named + sealed)
        signatures.append(sign("row", t1, seats, slip_head(named) + sealed))
        agreements.append(Agreement(seat=peer.seat, edge=secret, commitment=commitment, letter=agreed))
    after = Shared(sid=keys.sid, t1=t1, b=keys.b, agreements=tuple(agreements))
    return after, Shares(seat=me.seat, rows=tuple(rows), signatures=b"".join(signatures))


def receive(
    me: Me, state: Shared, entries: Sequence[RelayEntry]
) -> tuple[list[Held], list[EdgeSecret], list[Accusation]]:
    """Open the letters to us and compare what was named: what we hold, the edges, and whose row does not fit."""
    agreements = {agreement.seat: agreement for agreement in state.agreements}
    held, edges, accusations = [], [], []
    for entry in entries:
        agreed = agreements[entry.seat]
        if entry.seat != me.seat:
            edges.append(EdgeSecret(seat=entry.seat, secret=agreed.edge))
        share = _open(entry, agreed.letter, turn=int(entry.seat > me.seat))
        if share is None:
            accusations.append(Accusation(seat=entry.seat, reason="letter"))
            continue
        named = agreed.commitment + hashes(share)
        if slip_head(named) != entry.slip[:32]:
            accusations.append(Accusation(seat=entry.seat, reason="commitment"))
        else:
            held.append(Held(seat=entry.seat, of_b=share[:32], of_sigma=share[32:]))
    return held, edges, accusations


def _open(entry: RelayEntry, key: bytes, *, turn: int) -> bytes | None:
    """Open one letter; None if it does not open or does not hold two shares."""
    try:
        share = open_letter(key, entry.slip[32:], "letter", turn=turn)
    except BadLetterError:
        return None
    return share if is_element(share[:32]) and is_element(share[32:]) else None


def hashes(share: bytes) -> bytes:
    """Name both shares of a letter, 64 bytes: what the dealer signs and the holder checks."""
    return _share_of_b(share[:32]) + _share_of_sigma(share[32:])
