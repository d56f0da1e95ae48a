"""Key shares: what an organisation deals to every member, and how it checks what the others dealt to it.

A row to one holder is `C_ij | hash of the share of b | hash of the share of sigma | sealed letter with both shares`.
The dealer signs the Merkle root over all its rows, so it can be held to each of them, and each row for its holder. What
travels on to the holder is a slip: it knows the edge and learns the shares, so of the names only their hash is sent.
"""

from collections.abc import Sequence

from fedgap.crypto import BadLetterError, open_letter, root_of_leaves, seal_letter
from fedgap.secagg.keyring import Keyring, edge, letter_key, self_commitment, share_hash
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Accusation, RelayEntry, Shares, slip, slip_head
from fedgap.secagg.shamir import is_element
from fedgap.secagg.states import Agreement, EdgeSecret, Held, Peer, Shared

NO_EDGE = bytes(32)
"""Stands for the commitment in the row a member writes to itself."""


def deal(me: Me, keys: Keyring, peers: Sequence[Peer], *, t1: bytes) -> tuple[Shared, Shares]:
    """Agree with every peer, share our two secrets among all, ourselves included, and sign what each of them gets.

    Raises:
        BadKeyError: a peer's key is of small order.
    """
    sid, mask, letter = keys.sid, keys.mask_key, keys.letter_key
    agreements, rows, signatures = [], [], []
    for peer, share in zip(peers, keys.shares([peer.seat for peer in peers], t=me.manifest.quorum.t), strict=True):
        secret, commitment, agreed = NO_EDGE, NO_EDGE, keys.own_letter
        if peer.seat != me.seat:
            shared = edge(mask, peer.mask_public, t1=t1, seats=(me.seat, peer.seat))
            secret, commitment = shared.secret, shared.commitment
            agreed = letter_key(letter, peer.letter_public, t1=t1)
        sealed = seal_letter(agreed, share, "letter", turn=int(me.seat > peer.seat))
        row = commitment + hashes(share) + sealed
        rows.append(row)
        signatures.append(me.identity.sign("row", t1, (me.seat, peer.seat), slip(row)))
        agreements.append(Agreement(seat=peer.seat, edge=secret, commitment=commitment, letter=agreed))
    commitment = self_commitment(keys.b, sid, me.seat)
    signature = me.identity.sign("shares", t1, me.seat, root_of_leaves("shares", (commitment, *rows)))
    after = Shared(sid=sid, t1=t1, b=keys.b, agreements=tuple(agreements))
    return after, Shares(
        seat=me.seat,
        commitment=commitment,
        rows=tuple(rows),
        row_signatures=b"".join(signatures),
        signature=signature,
    )


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
    return share_hash(share[:32], kind="b") + share_hash(share[32:], kind="sigma")
