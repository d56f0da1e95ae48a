"""The evaluation rows of a simulated federation: dealt to periods, committed to, shown, and read again.

One set for the whole run, or one shard for each settlement period, so that no row is shown before the last period that
needs it is over. Rows are committed to as every organisation prepares them, with statistics that stand before round 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedgap import counter
from fedgap.crypto import Rand, decode, encode, seeded
from fedgap.learning.rows import Rows
from fedgap.secagg.evaluation import Evaluation, Row, Shard, rows_root

MOST_ROWS = 256
"""At most so many of the evaluation rows are differentiated in a period; around 100 are enough."""
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shards:
    """What contributions are measured on.

    Attributes:
        evaluation: the specification that the manifest names.
        rows: prepared rows of each period; one entry if all periods share them.
        shown: the same with their salts, as they are shown at settlement; empty unless the rows are committed.
    """

    evaluation: Evaluation
    rows: tuple[Rows, ...]
    shown: tuple[tuple[Row, ...], ...]

    def of(self, period: int) -> Rows:
        """The rows of a period, from 1."""
        return self.rows[period - 1 if len(self.rows) > 1 else 0]

    def shown_in(self, period: int) -> tuple[Row, ...]:
        """What is shown of them when the period is settled."""
        if not self.shown:
            return ()
        return self.shown[period - 1 if len(self.shown) > 1 else 0]


def chosen_rows(rows: Rows, seed: int, most: int = MOST_ROWS) -> Rows:
    """Draw at most so many of the evaluation rows, in their order."""
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(counter.permutation(counter.key(seed, "evaluation"), len(rows))[:most]))


def deal(
    rows: Rows,
    *,
    source: str,
    rounds: int,
    periods: int,
    seed: int,
    witness: bytes | None,
    salts: Callable[[int], Rand] | None = None,
    file: bytes | None = None,
) -> Shards:
    """Deal the rows to the periods, at random but for the seed, and commit to them if the source says so.

    Args:
        rows: as organisations prepare them.
        source: of the directions (`fedgap.secagg.evaluation`).
        rounds: T.
        periods: P.
        seed: of the dealing.
        witness: public key of the witness, if the source is one.
        salts: source of the salts of a shard, by its number; None takes them from the seed, as a simulation may.
        file: digest of the file that everybody has, for public rows; None where there is one process.

    Raises:
        BadManifestError: source and rows do not fit together.
    """
    chosen = chosen_rows(rows, seed, MOST_ROWS * periods)
    if source != "committed" or periods == 1:
        parts: tuple[Rows, ...] = (chosen,)
    else:
        order = counter.permutation(counter.key(seed, "shards"), len(chosen))
        parts = tuple(chosen.take(np.sort(part)) for part in np.array_split(order, periods))
    draw = salts or (lambda number: seeded("evaluation-salts", seed, number))
    shown = tuple(_salted(part, draw(number)) for number, part in enumerate(parts)) if source == "committed" else ()
    fixed = [Shard(root=rows_root(part), rows=len(part)) for part in shown]
    if source == "public" and file is not None:
        fixed = [Shard(root=file, rows=len(chosen))]
    evaluation = Evaluation(
        source=source,
        rounds=rounds,
        shards=tuple(fixed),
        witness=witness if source == "witness" else None,
    )
    return Shards(evaluation=evaluation, rows=parts, shown=shown)


def written(x: Any, y: Any) -> bytes:  # noqa: ANN401 - one row of whatever arrays a task prepares
    """Write one row as canonical bytes: kind of number, shape and little-endian content of its input and its target."""
    values = []
    for part in (np.asarray(x), np.asarray(y)):
        little = part.astype(part.dtype.newbyteorder("<"), copy=False)
        values.append((little.dtype.str, tuple(little.shape), little.tobytes()))
    return encode(tuple(values))


def read_rows(shown: Sequence[Row]) -> Rows:
    """Read rows that were shown; they are those that were committed to, which whoever shows them checks first."""
    pairs = [_arrays(row.content) for row in shown]
    return Rows(np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs]))


def _arrays(content: bytes) -> list[Any]:
    values: Any = decode(content)
    return [np.frombuffer(data, dtype=np.dtype(kind)).reshape(shape) for kind, shape, data in values]


def _salted(rows: Rows, rand: Rand) -> tuple[Row, ...]:
    return tuple(Row(salt=rand(_SALT_BYTES), content=written(x, y)) for x, y in zip(rows.x, rows.y, strict=True))
