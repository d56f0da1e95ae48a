"""The `[[organisation]]` sections: who takes part, with which file, and how it behaves in a simulation."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from fedgap.config.section import Section, refuse
from fedgap.config.values import ID, Shown, check_id
from fedgap.ids import OrgId, is_id

BEHAVE = '"honest", "zero", "flip", "noise:P" or "absent:P" with 0 < P <= 1, or "copy:ID"'
NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an organisation does in a simulation; in a deployment nobody can choose.

    Attributes:
        kind: honest; zero sends no update; flip sends its update negated; noise relabels rows; copy has another's rows;
            absent stays away from rounds.
        share: of the training rows that noise relabels, or of the rounds that absent misses, 0 < share <= 1; otherwise
            None.
        of: the honest organisation that copy imitates; otherwise None.
    """

    kind: Literal["honest", "zero", "flip", "noise", "copy", "absent"] = "honest"
    share: float | None = None
    of: OrgId | None = None

    def __str__(self) -> str:
        detail = self.of if self.share is None else repr(self.share)
        return self.kind if detail is None else f"{self.kind}:{detail}"


def parse_behaviour(text: object) -> object:
    """Read `honest`, `zero`, `flip`, `noise:P`, `absent:P` or `copy:ID`; a `Behaviour` is taken as it is."""
    if isinstance(text, Behaviour):
        return text
    word, colon, detail = text.partition(":") if isinstance(text, str) else ("", "", "")
    match word:
        case "honest" | "zero" | "flip" if not colon:
            return Behaviour(word)
        case "noise" | "absent" if NUMBER.fullmatch(detail) and 0 < float(detail) <= 1:
            return Behaviour(word, share=float(detail))
        case "copy" if is_id(detail):
            return Behaviour("copy", of=OrgId(detail))
    raise refuse("This is no behaviour.", f"Write {BEHAVE}.")


Behave = Annotated[
    Behaviour,
    BeforeValidator(parse_behaviour),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "allowed": BEHAVE}),
]


class Organisation(Section):
    """One organisation: a legal entity, the unit that is scored and paid."""

    id: Annotated[OrgId, AfterValidator(check_id)] = Field(
        description="its identifier, unlike every other's", json_schema_extra={"allowed": ID}
    )
    name: Shown = Field(
        default_factory=lambda known: known["id"],
        description="its name as reports show it",
        json_schema_extra={"default_text": "its id"},
    )
    data: Shown | None = Field(
        default=None,
        description="path of its file, from the folder of the configuration; may be left out with `copy:ID`",
        json_schema_extra={"default_text": "required"},
    )
    weight: int | None = Field(
        default=None,
        ge=1,
        description="attested rows, in place of the counted training rows; given by all organisations or by none",
        json_schema_extra={"unit": "rows", "default_text": "its training rows"},
    )
    processors: int = Field(
        default=1, ge=1, le=10**4, description="processors it may claim the time of at once: threads in its site.toml"
    )
    gpus: int = Field(default=1, ge=1, le=10**3, description="GPUs it may claim the time of at once")
    behave: Behave = Field(
        default=Behaviour(),
        description="what it does, in simulation only: be honest, send no update, send it negated, "
        "learn from a share P of wrong labels, miss a share P of the rounds, or train on the very rows of ID",
        json_schema_extra={"default_text": '"honest"'},
    )
