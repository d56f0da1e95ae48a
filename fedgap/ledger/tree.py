"""A Merkle tree that only grows: one hash for all entries, short proofs that one is in it, or that it only grew.

Leaves are hashed behind a 0 byte, pairs behind a 1 byte; a tree of n leaves splits at the largest power of two below n.
Everything here is RFC 6962, section 2.1, with the checks of proofs as RFC 9162, sections 2.1.3.2 and 2.1.4.2, spells
them out; the vectors in the tests are those of Certificate Transparency.
"""

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(content: bytes) -> bytes:
    """Hash a leaf's content, 32 bytes."""
    return sha256(b"\0" + content).digest()


def _pair(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Tree:
    """A growing tree, held as the roots of its full parts: O(log n) memory and time for each leaf and each root."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of one more leaf."""
        place, peaks = self.size, self._peaks
        while place & 1:
            leaf = sha256(b"\1" + peaks.pop() + leaf).digest()
            place >>= 1
        peaks.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """Root over all leaves so far, 32 bytes."""
        if not self._peaks:
            return EMPTY
        node = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            node = sha256(b"\1" + peak + node).digest()
        return node


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over the hashes of leaves, 32 bytes."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root


def inclusion_path(leaves: Sequence[bytes], position: int) -> list[bytes]:
    """List the neighbours of a leaf on its way to the root, lowest first.

    Args:
        leaves: the hashes of all leaves.
        position: from 0, below their number.

    Source: RFC 6962, section 2.1.1.
    """
    low, high, path = 0, len(leaves), []
    while high - low > 1:
        middle = low + _split(high - low)
        if position < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    return path[::-1]


def is_included(leaf: bytes, *, position: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a leaf's hash is at a position of the tree of `size` leaves under `root`.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= position < size:
        return False
    index, last, node = position, size - 1, leaf
    for neighbour in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = _pair(neighbour, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = _pair(node, neighbour)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root


def consistency_path(leaves: Sequence[bytes], before: int) -> list[bytes]:
    """List the nodes that show that the tree of the first `before` leaves became this one by growing only.

    Args:
        leaves: the hashes of all leaves.
        before: how many of them there were, from 1.

    Source: RFC 6962, section 2.1.2.
    """
    low, high, path, is_whole = 0, len(leaves), [], True
    while before != high:
        middle = low + _split(high - low)
        if before <= middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low, is_whole = middle, False
    if not is_whole:
        path.append(root_of(leaves[low:high]))
    return path[::-1]


def is_consistent(*, before: int, root_before: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether a path shows that the tree of `size` leaves begins with that of `before` leaves.

    Source: RFC 9162, section 2.1.4.2; every tree begins with the empty one and with itself, without a path.
    """
    if before in {0, size}:
        return not path and root_before == (root if before else EMPTY)
    if not 0 < before < size or not path:
        return False
    nodes = list(path) if before & (before - 1) else [root_before, *path]
    index, last = before - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    older = newer = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            older, newer = _pair(node, older), _pair(node, newer)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            newer = _pair(newer, node)
        index, last = index >> 1, last >> 1
    return last == 0 and older == root_before and newer == root


def _split(size: int) -> int:
    """Largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
