"""Values of games in which the worth of every coalition is known: what the path value is compared with.

A game of n players is a table of 2**n worths; bit i of a coalition's number says whether player i is in it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.errors import TooManyCoalitionsError

Array = NDArray[np.float64]
MOST_PLAYERS = 12


def membership(players: int) -> NDArray[np.bool_]:
    """Who is in which coalition, shape (2**n, n).

    Raises:
        TooManyCoalitionsError: n is above 12.
    """
    if not 1 <= players <= MOST_PLAYERS:
        raise TooManyCoalitionsError(f"There are {players} organisations; exact values are computed for 1 to 12.")
    return np.asarray((np.arange(2**players)[:, None] >> np.arange(players)) & 1 == 1)


def shapley(worth: Sequence[float] | Array) -> Array:
    """Mean marginal contribution over all orders in which the players may come.

    Args:
        worth: of every coalition, shape (2**n,); worth[0] that of nobody.

    Returns:
        shape (n,); the sum is worth[-1] - worth[0].

    Source: Shapley, A Value for n-Person Games, 1953.
    """
    table = np.asarray(worth, dtype=np.float64)
    players = _players(table)
    inside = membership(players)
    size = inside.sum(axis=1)
    weight = np.array([1 / (players * math.comb(players - 1, s)) for s in range(players)])
    values = np.empty(players)
    for player in range(players):
        without = np.flatnonzero(~inside[:, player])
        values[player] = weight[size[without]] @ (table[without + (1 << player)] - table[without])
    return values


def leave_one_out(worth: Sequence[float] | Array) -> Array:
    """What everybody is worth more with a player than without, shape (n,)."""
    table = np.asarray(worth, dtype=np.float64)
    everyone = len(table) - 1
    return np.array([table[everyone] - table[everyone - (1 << player)] for player in range(_players(table))])


def _players(table: Array) -> int:
    players = len(table).bit_length() - 1
    if players < 1 or table.shape != (1 << players,):
        raise ValueError(f"a table of worths has 2**n entries, not {table.shape}")
    return players
