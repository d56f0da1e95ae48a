"""Key shares: what an organisation deals to every member, and how it checks what the others dealt to it.

A row to one holder is `C_ij | hash of the share of b | hash of the share of sigma | sealed letter with both shares`.
The dealer signs the Merkle root over all its rows, so it can be held to each of them.
"""

from collections.abc import Sequence

from fedgap.crypto import BadLetterError, open_letter, root_of_leaves, seal_letter
from fedgap.secagg.keyring import Edge, Keyring, edge, letter_key, letters, self_commitment, share_hash
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Accusation, RelayEntry, Shares
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
    agreements, rows = [], []
    for peer, share in zip(peers, keys.shares([peer.seat for peer in peers], t=me.manifest.quorum.t), strict=True):
        secret, commitment = NO_EDGE, NO_EDGE
        if peer.seat != me.seat:
            shared = edge(mask, peer.mask_public, t1=t1, seats=(me.seat, peer.seat))
            secret, commitment = shared.secret, shared.commitment
        agreed = letters(letter, peer.letter_public, t1=t1)
        key = letter_key(agreed, sender=me.seat, recipient=peer.seat)
        sealed = seal_letter(key, share, "letter", sid, me.seat, peer.seat)
        rows.append(commitment + hashes(share, sid=sid, dealer=me.seat, holder=peer.seat) + sealed)
        agreements.append(Agreement(seat=peer.seat, edge=secret, letters=agreed))
    commitment = self_commitment(keys.b, sid, me.seat)
    root = root_of_leaves("shares", (commitment, *rows))
    signature = me.identity.sign("shares", t1, me.seat, root)
    after = Shared(sid=sid, t1=t1, root=root, b=keys.b, agreements=tuple(agreements))
    return after, Shares(seat=me.seat, commitment=commitment, rows=tuple(rows), signature=signature)


def receive(
    me: Me, state: Shared, entries: Sequence[RelayEntry]
) -> tuple[list[Held], list[EdgeSecret], list[Accusation]]:
    """Open the letters to us and compare commitments: what we hold, the edges, and whose row does not fit."""
    agreements = {agreement.seat: agreement for agreement in state.agreements}
    held, edges, accusations = [], [], []
    for entry in entries:
        agreed = agreements[entry.seat]
        if entry.seat != me.seat:
            edges.append(EdgeSecret(seat=entry.seat, secret=agreed.edge))
            if entry.row[:32] != Edge(agreed.edge, *sorted((me.seat, entry.seat))).commitment:
                accusations.append(Accusation(seat=entry.seat, reason="commitment"))
        key = letter_key(agreed.letters, sender=entry.seat, recipient=me.seat)
        fits = _open(entry, key, sid=state.sid, holder=me.seat)
        if fits is None:
            accusations.append(Accusation(seat=entry.seat, reason="letter"))
        else:
            held.append(fits)
    return held, edges, accusations


def _open(entry: RelayEntry, key: bytes, *, sid: bytes, holder: int) -> Held | None:
    """Open one letter; None if it does not open or does not hold what its dealer signed."""
    try:
        share = open_letter(key, entry.row[96:], "letter", sid, entry.seat, holder)
    except BadLetterError:
        return None
    of_b, of_sigma = share[:32], share[32:]
    if hashes(share, sid=sid, dealer=entry.seat, holder=holder) != entry.row[32:96]:
        return None
    if not (is_element(of_b) and is_element(of_sigma)):
        return None
    return Held(seat=entry.seat, of_b=of_b, of_sigma=of_sigma)


def hashes(share: bytes, *, sid: bytes, dealer: int, holder: int) -> bytes:
    """Name both shares of a letter, 64 bytes: what the dealer signs and the holder checks."""
    of_b = share_hash(share[:32], kind="b", sid=sid, dealer=dealer, holder=holder)
    return of_b + share_hash(share[32:], kind="sigma", sid=sid, dealer=dealer, holder=holder)
