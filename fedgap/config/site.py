"""site.toml: what one participant decides for itself, and nobody else can change.

The federation's plan comes from its operator and is approved once; this file stays on the participant's machine. It
says where the data are, which server may be asked, and how far the site goes along: the limits are enforced by the
client before it answers anything.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from fedgap.config.load import read_toml
from fedgap.config.problems import ConfigError, NotTomlError, UnreadableConfigError, read_section, unknown_key
from fedgap.config.section import Problem, Section, freeze, key_path, refuse
from fedgap.config.values import ID, Shown, check_id
from fedgap.ids import OrgId

HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
GIB = 1 << 30
TABLES = ("site", "limits")

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, local time; it may reach over midnight."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def hold(self, now: time) -> bool:
        """Tell whether a time of day lies in them; the end no longer does."""
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


def parse_hours(text: str) -> Hours:
    """Read `18:00-06:00`.

    Raises:
        ValueError: it is something else.
    """
    found = HOURS.fullmatch(text)
    if found is None:
        raise ValueError("no hours of a day")
    begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    return Hours(begin, end)


def check_hours(text: str) -> str:
    """Let hours of a day through."""
    found = HOURS.fullmatch(text)
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise refuse("These are no hours of a day.", 'Write "18:00-06:00" for instance: from, to, local time.')
    return text


def check_server(address: str) -> str:
    """Let an address through that is reached over HTTPS and names a host, with a port if wanted, and nothing else."""
    remedy = "Write https://HOST or https://HOST:PORT, as the invite has it."
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise refuse("This is no address.", remedy) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "https" or not parts.hostname or extra or port == 0 or not address.isprintable():
        raise refuse("The server is reached over HTTPS, by host and port alone.", remedy)
    return address.rstrip("/")


class SitePlace(Section):
    """Who this site is, where its rows are, and which server it asks."""

    organisation: Annotated[OrgId, AfterValidator(check_id)] = Field(
        description="identifier of the organisation, as the federation has it", json_schema_extra={"allowed": ID}
    )
    server: Annotated[str, AfterValidator(check_server)] = Field(
        description="address of the federation's server", json_schema_extra={"allowed": '"https://HOST:PORT"'}
    )
    data: Shown = Field(description="path of the organisation's own file, from the folder of site.toml")
    evaluation_data: Shown | None = Field(
        default=None,
        description="path of the public rows that the federation measures contributions on, from the folder of "
        "site.toml; only a plan with public rows needs it",
        json_schema_extra={"default_text": "none"},
    )
    folder: Shown = Field(
        default="fedgap-site",
        description="folder for keys, journal and logs, from the folder of site.toml; private to this account",
    )


class Limits(Section):
    """How far this site goes along; the client refuses whatever is beyond, and logs what and why."""

    tasks: tuple[Shown, ...] = Field(
        min_length=1, description="tasks that may run here, by their names; what is not installed never runs"
    )
    rounds: int = Field(ge=1, description="rounds this site takes part in at most")
    minimum_cohort: int = Field(
        ge=3, description="fewest organisations in a sum that holds this site's update; more hide it better"
    )
    required: tuple[Annotated[OrgId, AfterValidator(check_id)], ...] = Field(
        default=(),
        description="organisations without which this site does not take part",
        json_schema_extra={"default_text": "none"},
    )
    roster_changes: Literal["within-limits", "ask"] = Field(
        default="ask",
        description="a new version of the manifest: approved by itself if it keeps these limits and changes only "
        "the roster, or only by `fedgap client approve`",
    )
    hours: tuple[Annotated[str, AfterValidator(check_hours)], ...] = Field(
        default=(),
        description="hours of the day, local time, in which a round may begin here",
        json_schema_extra={"allowed": 'list of texts such as "18:00-06:00"', "default_text": "always"},
    )
    threads: int = Field(default=1, ge=1, description="processor threads of training and masking; 1 is repeatable")
    memory_gib: float | None = Field(
        default=None,
        gt=0,
        description="main memory the client may use; training that needs more fails here, not the machine",
        json_schema_extra={"unit": "GiB", "default_text": "no limit"},
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="where training runs; auto: as the federation's plan says"
    )
    gpu_share: float = Field(default=1.0, gt=0, le=1, description="share of the GPU's memory that training may use")

    def broken_rules(self) -> Iterator[Problem]:
        """Names stand there once."""
        for key in ("tasks", "required"):
            names = getattr(self, key)
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield Problem(key, f"It names {name} {names.count(name)} times.", "Name it once.")

    @property
    def open_hours(self) -> tuple[Hours, ...]:
        """The hours of the day in which a round may begin; none: always."""
        return tuple(parse_hours(text) for text in self.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """A checked site.toml.

    Attributes:
        base: folder of the file; its paths start there.
    """

    site: SitePlace
    limits: Limits
    base: Path

    @property
    def data(self) -> Path:
        """The organisation's own file."""
        return self.base / self.site.data

    @property
    def evaluation_data(self) -> Path | None:
        """The public rows that contributions are measured on, if the site has them."""
        name = self.site.evaluation_data
        return None if name is None else self.base / name

    @property
    def folder(self) -> Path:
        """Keys, journal and logs."""
        return self.base / self.site.folder


def load_site(path: Path) -> SiteConfig:
    """Read and check a site.toml.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has problems; all of them are listed.
    """
    written = "`fedgap client join INVITE` writes one."
    if not path.exists():
        raise UnreadableConfigError(path, "There is no such file.", f"Check the path; {written}")
    document = read_toml(path)
    if not document:
        raise NotTomlError(path, "It is empty.", written)
    return parse_site(document, base=path.parent, name=path.name)


def parse_site(document: Mapping[str, Any], *, base: Path, name: str = "site.toml") -> SiteConfig:
    """Check what a site.toml holds.

    Raises:
        ConfigError: it has problems; all of them are listed.
    """
    tables = {str(key): freeze(value) for key, value in document.items()}
    problems: list[Problem] = []
    site = _section(SitePlace, tables, "site", problems)
    limits = _section(Limits, tables, "limits", problems)
    problems += [unknown_key(key_path(key), key, TABLES) for key in tables if key not in TABLES]
    if problems or site is None or limits is None:
        remedy = "Correct the file; clients/site.example.toml explains every key."
        raise ConfigError(problems, name=name, remedy=remedy)
    return SiteConfig(site=site, limits=limits, base=base)


def site_text(site: SitePlace, limits: Limits) -> str:
    """Write a site.toml with the keys that must be there, and the others as comments with what they mean."""
    lines = ["# What this site decides for itself; nobody else can change it. See clients/site.example.toml.", ""]
    for header, section in (("site", site), ("limits", limits)):
        lines.append(f"[{header}]")
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            comment = "" if key in section.model_fields_set else "# "
            written = "" if value is None else _toml(value)
            lines.append(f"{comment}{key} = {written}  # {field.description}".replace(" =   #", " = ...  #"))
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def _section(model: type[S], tables: Mapping[str, Any], name: str, problems: list[Problem]) -> S | None:
    if name not in tables:
        problems.append(Problem(name, "The section is missing.", f"Add [{name}]."))
        return None
    section, found = read_section(model, tables[name], name)
    problems += found
    return section
