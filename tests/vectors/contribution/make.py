"""Write the games of this folder: closed-form Shapley values of textbook games, as exact fractions.

    python tests/vectors/contribution/make.py

Each file holds the worth of all 2**n coalitions (bit i: player i is in it) and the value of each player by the closed
form that its field `source` names; nothing of fedgap is used.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

HERE = Path(__file__).parent
Worths = list[Fraction]


def members(coalition: int, players: int) -> list[int]:
    """Who is in a coalition."""
    return [player for player in range(players) if coalition >> player & 1]


def table(players: int, worth: Callable[[list[int]], Fraction]) -> Worths:
    """Worth of every coalition, from a function of its members."""
    return [worth(members(coalition, players)) for coalition in range(2**players)]


def airport(costs: list[int]) -> tuple[Worths, Worths]:
    """A runway for the largest: everybody pays an equal part of each piece it needs."""
    n = len(costs)
    steps = [Fraction(b - a, n - k) for k, (a, b) in enumerate(zip([0, *costs], costs, strict=False))]
    return table(n, lambda inside: Fraction(max((costs[p] for p in inside), default=0))), list(accumulate(steps))


def gloves(left: int, right: int) -> tuple[Worths, Worths]:
    """One left glove among several right ones: the owner of the scarce one gets n / (n + 1) of the pair."""
    if left != 1:
        raise ValueError("the closed form is for one left glove")
    n = left + right
    values = [Fraction(right, n)] + [Fraction(1, right * n)] * right
    return table(n, lambda inside: Fraction(int(0 in inside and len(inside) > 1))), values


def unanimity(players: int, carrier: list[int]) -> tuple[Worths, Worths]:
    """Worth 1 exactly with the whole carrier: its members share equally, the others are null players."""
    values = [Fraction(int(p in carrier), len(carrier)) for p in range(players)]
    return table(players, lambda inside: Fraction(int(set(carrier) <= set(inside)))), values


def additive(parts: list[Fraction]) -> tuple[Worths, Worths]:
    """Everybody brings its own."""
    return table(len(parts), lambda inside: sum((parts[p] for p in inside), Fraction(0))), parts


def squared(parts: list[Fraction]) -> tuple[Worths, Worths]:
    """The square of what is brought together: a player's value is its part times the total."""
    total = sum(parts, Fraction(0))
    return table(len(parts), lambda inside: sum((parts[p] for p in inside), Fraction(0)) ** 2), [
        p * total for p in parts
    ]


GAMES = {
    "airport": (airport([1, 2, 4, 8, 16]), "Littlechild and Owen, Management Science 1973"),
    "gloves": (gloves(1, 4), "Shapley and Shubik, 1969"),
    "unanimity": (unanimity(6, [1, 3, 4]), "Shapley 1953"),
    "additive": (additive([Fraction(1, 3), Fraction(-2, 7), Fraction(0), Fraction(5)]), "dummy players"),
    "squared": (squared([Fraction(1, 2), Fraction(1, 3), Fraction(1, 7), Fraction(-1, 5)]), "x_i sum x, by symmetry"),
    "one": (additive([Fraction(3, 4)]), "a single player"),
}


def main() -> None:
    """Write one file a game."""
    for name, ((worth, value), source) in GAMES.items():
        content = {"source": source, "worth": [str(w) for w in worth], "value": [str(v) for v in value]}
        (HERE / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
