"""Where directions come from, and so who can check them: the part of the manifest that PROTOCOL section 5 describes.

    committed                  rows fixed by a Merkle root, shown at settlement: everybody recomputes before answering
    public                     rows everybody has, one file: recomputed at once, but they can be trained on
    witness                    rows nobody sees: an independent key recomputes and signs each direction
    server_chooses_directions  nobody checks: the server can learn chosen properties of an update, one number a period

`organisations` (a masked sum of the organisations' own gradients) is refused: it needs a second masked sum whose inputs
nobody can check, and one sabotaging organisation gains 10 to 40 % by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from fedgap.crypto import digest, root_of_leaves
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.periods import LEAST_FOR_TWO, Periods, most_periods
from fedgap.secagg.wire import Count, Exactly, Hash, Key, pack

SOURCES = ("committed", "public", "witness", "server_chooses_directions")
RECOMPUTED = frozenset({"committed", "public"})
"""Sources of which every organisation recomputes each direction before it answers."""
LEAST_ROWS = 50
"""Rows of a shard, when every period has one of its own."""
MOST_OPENINGS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One revealed row.

    Attributes:
        salt: 16 random bytes, so that a row cannot be guessed from its hash.
        content: the row as the task writes it.
    """

    salt: Annotated[bytes, Exactly(16)]
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Rows that are fixed: the Merkle root of committed ones, the digest of a public file; and how many they are."""

    root: Hash
    rows: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evaluation specification; the manifest holds its digest.

    Attributes:
        source: one of SOURCES.
        rounds: T, of the whole run.
        shards: committed rows: one for all periods, or one for each; public rows: the file, or nothing where everybody
            has them anyway; else empty.
        witness: the key that signs directions, if the source is `witness`.

    Raises:
        BadManifestError: these do not fit together.
    """

    KIND: ClassVar[str] = "evaluation/1"

    source: str
    rounds: Count
    shards: tuple[Shard, ...] = ()
    witness: Key | None = None

    def __post_init__(self) -> None:
        if self.source == "organisations":
            raise BadManifestError(
                "Directions from the organisations' own rows are not built: nobody could check them.",
                remedy="Use a small audited validation set: source = 'committed', or 'witness' if it cannot be shown.",
            )
        faults = {
            "its source is unknown": self.source not in SOURCES,
            "it has no rounds": self.rounds == 0,
            "committed rows need a root": self.source == "committed" and not self.shards,
            "public rows are one file": self.source == "public" and len(self.shards) > 1,
            "it fixes rows that nobody is shown": self.source not in RECOMPUTED and bool(self.shards),
            "a witness needs a key, and other sources have none": (self.source == "witness") != bool(self.witness),
        }
        for fault, is_so in faults.items():
            if is_so:
                raise BadManifestError(f"The evaluation specification cannot be used: {fault}.")

    @property
    def digest(self) -> bytes:
        """32 bytes that name it; they stand in the manifest."""
        return digest("evaluation", pack(self))

    def shard(self, period: int) -> Shard:
        """The committed rows of a period."""
        return self.shards[period - 1 if len(self.shards) > 1 else 0]


def rows_root(rows: Sequence[Row]) -> bytes:
    """Merkle root over H(salt, row), in order."""
    return root_of_leaves("rows", [digest("row", row.salt, row.content) for row in rows])


def periods_of(manifest: Manifest, evaluation: Evaluation) -> Periods:
    """Check that a manifest's openings are allowed, and cut its run into periods.

    Raises:
        BadManifestError: the specification is another one, or there are too many openings, or rows shown in one period
            would be used in a later one.
    """
    parameters, openings = manifest.encoding.parameters, manifest.openings
    most = most_periods(rounds=evaluation.rounds, parameters=parameters, openings=max(openings, 1))
    shards = evaluation.shards
    roots = sorted(shard.root for shard in shards)
    many = manifest.periods > 1 and evaluation.source == "committed"
    faults = {
        "the manifest names another evaluation specification": manifest.evaluation != evaluation.digest,
        f"openings must be 1 or {MOST_OPENINGS}": not 1 <= openings <= MOST_OPENINGS,
        f"a second opening needs {LEAST_FOR_TWO} parameters": openings > 1 and parameters < LEAST_FOR_TWO,
        f"it has {manifest.periods} periods, and at least 1 and at most {most} are allowed": not 1
        <= manifest.periods
        <= most,
        "committed rows of one period would be shown before another is over: give each period a shard of its own": many
        and (len(shards) != manifest.periods or any(a == b for a, b in pairwise(roots))),
        "there are shards without a period": not many and len(shards) > 1,
        f"a shard has fewer than {LEAST_ROWS} rows": many and any(shard.rows < LEAST_ROWS for shard in shards),
    }
    for fault, is_so in faults.items():
        if is_so:
            raise BadManifestError(f"Contributions cannot be opened: {fault}.")
    return Periods(evaluation.rounds, manifest.periods)
