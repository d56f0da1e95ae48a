"""A whole configuration: the sections of one federation.toml, checked, and the folder its paths start from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from fedgap.config.baselines import Baselines
from fedgap.config.organisation import Organisation
from fedgap.config.problems import ConfigError, read_section
from fedgap.config.protocol import Evaluation, SecAgg, Settlement
from fedgap.config.section import Section, nearest, refuse
from fedgap.config.task import BUILT_IN, CustomOptions, TaskOptions
from fedgap.config.training import Server, Training
from fedgap.config.values import ID, Shown, check_id
from fedgap.ids import FederationId, OrgId

MOST_SEED = 2**63 - 1
OWN_TASK = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
TASK = ", ".join(f'"{name}"' for name in BUILT_IN) + ', or "package.module:Class" for one of your own'


def check_task(name: str) -> str:
    """Let the name of a built-in task through, or that of a class."""
    if name not in BUILT_IN and OWN_TASK.fullmatch(name) is None:
        raise refuse("There is no such task.", nearest(name, BUILT_IN) or f"Write {TASK}.")
    return name


class Federation(Section):
    """What is learned, by whom, from which random numbers."""

    id: Annotated[FederationId, AfterValidator(check_id)] = Field(
        description="identifier of the federation", json_schema_extra={"allowed": ID}
    )
    name: Shown | None = Field(
        default=None, description="its name as reports show it", json_schema_extra={"default_text": "its id"}
    )
    task: Annotated[str, AfterValidator(check_task)] = Field(
        description="what is learned", json_schema_extra={"allowed": TASK}
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MOST_SEED,
        description="every random choice follows from it: the same seed, configuration and data give the same model",
        json_schema_extra={"allowed": "whole number from 0 to 2^63 - 1"},
    )
    start: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the model that training begins with, the last one of an earlier federation; everybody "
        "has it as start.safetensors beside the configuration; for deployments",
        json_schema_extra={
            "allowed": "64 hexadecimal digits, as `fedgap server init --from` writes them",
            "default_text": "none: the model is drawn from the seed",
        },
    )
    policy: Shown | None = Field(
        default=None,
        description="path of the funding policy, from the folder of the configuration",
        json_schema_extra={"default_text": "none: the funding commands refuse"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationConfig:
    """A checked configuration. A section that the file leaves out is None, or its defaults.

    Attributes:
        base: folder of the file; policy and evaluation rows are found from here.
        data_base: folder from which the organisations' files are found; `base`, unless somebody chose another.
    """

    federation: Federation
    task: TaskOptions
    organisations: tuple[Organisation, ...]
    training: Training
    server: Server
    secagg: SecAgg | None
    settlement: Settlement | None
    evaluation: Evaluation | None
    baselines: Baselines
    base: Path
    data_base: Path

    def organisation(self, id: OrgId) -> Organisation:  # noqa: A002 - it is called so in the file
        """Find an organisation by its id.

        Raises:
            KeyError: there is none of this id.
        """
        for organisation in self.organisations:
            if organisation.id == id:
                return organisation
        raise KeyError(id)

    def data_of(self, organisation: Organisation) -> Path:
        """Give the path of an organisation's file; a copy has that of the organisation it copies."""
        if organisation.behave.of is not None:
            organisation = self.organisation(organisation.behave.of)
        if organisation.data is None:
            raise ValueError("a checked configuration names a file for every organisation that copies none")
        return self.data_base / organisation.data

    def with_seed(self, seed: int) -> "FederationConfig":
        """Take another seed; everything else stays.

        Raises:
            ConfigError: it is no seed.
        """
        federation, problems = read_section(Federation, _plain(self.federation) | {"seed": seed}, "federation")
        if federation is None:
            raise ConfigError(problems)
        return replace(self, federation=federation)

    def document(self) -> dict[str, Any]:
        """Give every section and key as federation.toml would hold it, defaults included: plain JSON values."""
        named: Mapping[str, Section | None] = {
            "federation": self.federation,
            "task": self.task,
            "training": self.training,
            "server": self.server,
            "secagg": self.secagg,
            "settlement": self.settlement,
            "evaluation": self.evaluation,
            "baselines": self.baselines,
        }
        sections = {name: _plain(section) for name, section in named.items() if section is not None}
        if isinstance(self.task, CustomOptions):
            sections["task"] = sections["task"]["options"]
        return sections | {"organisation": [_plain(organisation) for organisation in self.organisations]}


def _plain(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_none=True)
