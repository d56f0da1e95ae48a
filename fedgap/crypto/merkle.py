"""Merkle trees: one hash stands for many leaves, and each can be shown to belong to it without the others.

Leaves are hashed with a 0 byte in front and pairs with a 1 byte (RFC 9162, section 2.1); a node without a partner
moves up unchanged. The number of leaves and a purpose are hashed into the root, so that trees of different shapes or
purposes never share one.
"""

import hashlib
from collections.abc import Sequence

from fedgap.crypto.canonical import Buffer, digest

CHUNK_BYTES = 64 * 1024
"""Uploads are cut into chunks of this size, the last one shorter."""

_SHORT = 1024
"""Copying so many bytes takes less than a call."""


def root_of_leaves(label: str, leaves: Sequence[Buffer]) -> bytes:
    """Hash leaves to their root, 32 bytes."""
    nodes = [_leaf(leaf) for leaf in leaves]
    while len(nodes) > 1:
        nodes = _pair_up(nodes)
    return _root(label, len(leaves), nodes[0] if nodes else bytes(32))


def root_of_chunks(label: str, content: Buffer) -> bytes:
    """Hash long content in chunks of 64 KiB to one root, 32 bytes."""
    view = memoryview(content).cast("B")
    return root_of_leaves(label, [view[at : at + CHUNK_BYTES] for at in range(0, len(view), CHUNK_BYTES)])


def leaf_paths(leaves: Sequence[Buffer]) -> list[tuple[bytes, ...]]:
    """List for every leaf the neighbours on the way to the root, lowest first."""
    levels = [[_leaf(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        levels.append(_pair_up(levels[-1]))
    return [
        tuple(nodes[at ^ 1] for k, nodes in enumerate(levels[:-1]) if (at := position >> k) ^ 1 < len(nodes))
        for position in range(len(leaves))
    ]


def is_leaf(label: str, root: bytes, leaf: Buffer, *, position: int, count: int, path: Sequence[bytes]) -> bool:
    """Tell whether `leaf` is at `position` of the `count` leaves under `root`."""
    if not 0 <= position < count:
        return False
    node, rest, width = _leaf(leaf), list(path), count
    while width > 1:
        if position ^ 1 < width:
            if not rest:
                return False
            neighbour = rest.pop(0)
            node = _pair(neighbour, node) if position % 2 else _pair(node, neighbour)
        position, width = position // 2, (width + 1) // 2
    return not rest and _root(label, count, node) == root


def _leaf(content: Buffer) -> bytes:
    if len(content) < _SHORT:
        return hashlib.sha256(b"\0" + content).digest()
    state = hashlib.sha256(b"\0")
    state.update(content)
    return state.digest()


def _pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _pair_up(nodes: list[bytes]) -> list[bytes]:
    pairs = [_pair(nodes[at], nodes[at + 1]) for at in range(0, len(nodes) - 1, 2)]
    return pairs + nodes[len(nodes) - len(nodes) % 2 :]


def _root(label: str, count: int, top: bytes) -> bytes:
    return digest("merkle", label, count, top)
