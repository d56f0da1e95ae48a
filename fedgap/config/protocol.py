"""The `[secagg]`, `[settlement]` and `[evaluation]` sections: what the protocol of a deployment promises.

A simulation follows them too, as far as there is something to wait for or to show.
n: organisations. f: organisations that may side with the server.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fedgap.config.section import Problem, Section
from fedgap.config.values import Shown

FEWEST = 3
"""With two, each can take its own update off the sum and is left with the other's."""
ROUNDS_A_PERIOD = 10
DIRECTION_BYTES = 2
"""What settlement shows of a round for each parameter and opening: int16."""


class SecAgg(Section):
    """Secure aggregation: the server sees the sum of the updates and no single one."""

    f: int | None = Field(
        default=None,
        ge=0,
        description="organisations that may side with the server without learning more",
        json_schema_extra={"unit": "organisations", "default_text": "floor((n - 1) / 3) of n organisations"},
    )
    quorum: int | None = Field(
        default=None,
        ge=2,
        description="signatures and shares that open a sum",
        json_schema_extra={"unit": "organisations", "default_text": "the smallest that is safe"},
    )
    reply_timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="how long the server waits for an organisation's reply; a simulation never waits",
        json_schema_extra={"unit": "s"},
    )
    clip_start: float = Field(
        default=10.0,
        gt=0,
        description="longest L2 norm of a whole update in the first round; a longer one is scaled down; it then "
        "follows the number of updates that were scaled down",
    )
    clip_low: float = Field(default=0.01, gt=0, description="the least that `clip_start` may become")
    clip_high: float = Field(default=1000.0, gt=0, description="the most that `clip_start` may become")

    def broken_rules(self) -> Iterator[Problem]:
        """The bounds of clipping are in order."""
        if not self.clip_low <= self.clip_start <= self.clip_high:
            yield Problem(
                "clip_start",
                f"It is {self.clip_start:g}, not between clip_low {self.clip_low:g} and clip_high {self.clip_high:g}.",
                "Put the three in order.",
            )


def most_colluders(members: int) -> int:
    """Give the largest f that n organisations tolerate: floor((n - 1) / 3)."""
    return (members - 1) // 3


def least_quorum(members: int, colluders: int) -> int:
    """Give the smallest safe quorum: above two thirds, and so large that any two share more than f organisations."""
    return max(2 * members // 3 + 1, (members + colluders) // 2 + 1)


class Settlement(Section):
    """When contributions are opened, one number for each organisation."""

    periods: int = Field(
        default=1,
        ge=0,
        description="how often contributions are settled, at most once in 10 rounds; 0: never, rows decide",
    )
    confirm_exchanges: int = Field(
        default=5,
        ge=1,
        description="exchanges in which a missing answer may still come",
        json_schema_extra={"unit": "exchanges"},
    )
    close_days: int = Field(
        default=14,
        ge=1,
        description="how long a missing answer may still come after the last round; a simulation never waits",
        json_schema_extra={"unit": "days"},
    )
    openings: Literal[1, 2] = Field(
        default=1,
        description="numbers opened for each organisation and period; the second gives an interval",
    )


class Evaluation(Section):
    """The rows on which the common model and, by settlement, contributions are measured."""

    source: Literal["committed", "public", "witness", "organisations", "server_chooses_directions"] = Field(
        default="committed",
        description="where the directions of measurement come from: rows fixed beforehand and shown at the end; public "
        "rows; rows only a witness sees; the organisations' held-out rows; or the server alone, which can then learn "
        "one chosen property of each update",
    )
    reveal: Literal["after-settlement", "never"] = Field(
        default_factory=lambda known: "after-settlement" if known.get("source") in {"committed", "public"} else "never",
        description="whether every organisation sees the rows once the period that they measured is settled; follows "
        "from `source`, and writing it down only makes that plain",
        json_schema_extra={"default_text": '"after-settlement" for committed and public rows, else "never"'},
    )
    data: Shown | None = Field(
        default=None,
        description="path of rows on which the common model is measured after each round, from the folder of the "
        "configuration",
        json_schema_extra={"default_text": "the organisations' test rows"},
    )
    witness: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="public key of the witness, who recomputes and signs what contributions are measured along; a "
        "simulation makes one of its own",
        json_schema_extra={"allowed": "64 hexadecimal digits, from `fedgap witness init`", "default_text": "none"},
    )

    def broken_rules(self) -> Iterator[Problem]:
        """Rows that everyone has to check must be shown, public ones are, and rows only a witness may see must not."""
        if self.witness is not None and self.source != "witness":
            yield Problem("witness", 'Only source = "witness" has one.', 'Write source = "witness", or remove it.')
        if self.source == "committed" and self.reveal == "never":
            yield Problem(
                "reveal",
                "Committed rows must be shown in the end, or nobody can check the directions.",
                'Write reveal = "after-settlement", or source = "witness".',
            )
        if self.source == "public" and self.reveal == "never":
            yield Problem("reveal", "Everybody has public rows.", 'Write reveal = "after-settlement", or leave it out.')
        if self.source in {"witness", "organisations"} and self.reveal != "never":
            yield Problem("reveal", f"Rows of {self.source} are never shown.", 'Write reveal = "never".')
        if self.source == "organisations" and self.data is not None:
            yield Problem("data", "The organisations use their own held-out rows.", "Remove it.")
