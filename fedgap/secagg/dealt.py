"""Who dealt what to whom, under one root that T2 binds: a column of slips for each holder, and a tree over the columns.

    leaf k    the column of the k-th seat in Adverts: the slip of every dealer for it, in order of seats

A holder gets its whole column, so one path for all dealers together shows that the column belongs to the root, and
nobody can later show it another row than the one it accepted.
"""

from collections.abc import Sequence

from fedgap.crypto import leaf_paths, root_of_leaves
from fedgap.secagg.messages import Relay, RelayEntry, Shares


def relays(sid: bytes, *, t1: bytes, seats: Sequence[int], dealt: Sequence[Shares]) -> dict[int, Relay]:
    """Write what each seat in Adverts is told about the dealers' rows, in order of seats."""
    leaves = columns(dealt, count=len(seats))
    root, paths = dealt_root(leaves), leaf_paths(leaves)
    return {
        seat: Relay(
            sid=sid,
            recipient=seat,
            position=position,
            count=len(seats),
            t1=t1,
            dealt=root,
            path=paths[position],
            entries=tuple(
                RelayEntry(seat=shares.seat, signature=shares.signature(position), slip=shares.slips[position])
                for shares in dealt
            ),
        )
        for position, seat in enumerate(seats)
    }


def column(slips: Sequence[bytes]) -> bytes:
    """Hash what all dealers said to one holder, in order of their seats; a Merkle root, 32 bytes."""
    return root_of_leaves("column", slips)


def columns(dealt: Sequence[Shares], *, count: int) -> tuple[bytes, ...]:
    """List the leaves of the tree: the column of each of the `count` seats in Adverts."""
    return tuple(column([shares.slips[position] for shares in dealt]) for position in range(count))


def dealt_root(leaves: Sequence[bytes]) -> bytes:
    """Hash the columns to the root that T2 binds, 32 bytes."""
    return root_of_leaves("dealt", leaves)
