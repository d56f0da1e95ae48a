"""federation.toml from bytes to a checked `FederationConfig`, or all its problems at once."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fedgap.config import checks
from fedgap.config.baselines import Baselines
from fedgap.config.federation import Federation, FederationConfig
from fedgap.config.organisation import Organisation
from fedgap.config.problems import ConfigError, NotTomlError, UnreadableConfigError, read_section, unknown_key
from fedgap.config.protocol import Evaluation, SecAgg, Settlement
from fedgap.config.section import Problem, Section, freeze, key_path
from fedgap.config.task import BUILT_IN, CustomOptions, TaskOptions
from fedgap.config.training import Server, Training

MOST_BYTES = 1 << 20
MOST_PARTS = 32
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
TOO_MANY_PARTS = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")
"""A dotted key that long: the memory tomllib takes grows with the square of its parts."""
REQUIRED = ("federation", "training")
TABLES = (
    "federation",
    "task",
    "organisation",
    "training",
    "server",
    "secagg",
    "settlement",
    "evaluation",
    "baselines",
)

S = TypeVar("S", bound=Section)


def load_federation(path: Path, data: Path | None = None, *, deployed: bool = False) -> FederationConfig:
    """Read and check a federation.toml.

    Args:
        path: the file; the paths in it start from its folder.
        data: folder from which the organisations' files start instead.
        deployed: whether it is a server's, which knows of no organisation's file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has problems; all of them are listed.
    """
    document = read_toml(path)
    if not document:
        raise NotTomlError(
            path, "It is empty.", "Begin with [federation]; `fedgap config explain --markdown` has a whole one."
        )
    return parse_federation(document, base=path.parent, data_base=data, name=path.name, deployed=deployed)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings as it stands.

    Raises:
        UnreadableConfigError: it cannot be read, or is too large.
        NotTomlError: it is not TOML.
    """
    return _parse(path, _read(path))


def parse_federation(
    document: Mapping[str, Any],
    *,
    base: Path,
    data_base: Path | None = None,
    name: str = "The configuration",
    deployed: bool = False,
) -> FederationConfig:
    """Check a configuration that has been read already.

    Args:
        document: tables and values as TOML gives them.
        base: folder from which its paths start.
        data_base: folder from which the organisations' files start; `base` if None.
        name: what to call it in an error.
        deployed: whether the organisations' files are somewhere else.

    Raises:
        ConfigError: it has problems; all of them are listed.
    """
    try:
        tables = {str(key): freeze(value) for key, value in document.items()}
    except RecursionError as error:
        raise ConfigError([Problem(name, "Its values are nested too deeply.", "Nest them less.")], name=name) from error
    found = _Found(tables=tables, deployed=deployed)
    config = found.config(base, base if data_base is None else data_base)
    if config is None:
        raise ConfigError(sorted(found.problems, key=_place), name=name)
    return config


@dataclass(slots=True)
class _Found:
    """The sections of one file as they are read, with the problems so far; a wrong section hides no other."""

    tables: Mapping[str, Any]
    deployed: bool = False
    problems: list[Problem] = field(default_factory=list)

    def config(self, base: Path, data_base: Path) -> FederationConfig | None:
        """Read every section, then check the right ones together; None if there is any problem."""
        federation = self._section("federation", Federation)
        task = self._task()
        placed = self._organisations()
        training = self._section("training", Training)
        server = self._section("server", Server, {})
        secagg = self._section("secagg", SecAgg)
        settlement = self._section("settlement", Settlement)
        evaluation = self._section("evaluation", Evaluation)
        baselines = self._section("baselines", Baselines, {})
        unknown = [name for name in self.tables if name not in TABLES]
        self.problems += [unknown_key(key_path(name), name, TABLES) for name in unknown]

        self.problems += checks.organisation_problems(placed, self._ids(), data_base, deployed=self.deployed)
        if federation is not None and task is not None:
            self.problems += checks.task_problems(federation, task, baselines)
        if secagg is not None:
            self.problems += checks.protocol_problems(secagg, len(self._listed()), server)
        if settlement is not None and training is not None:
            self.problems += checks.settlement_problems(settlement, training)
        if self.problems or federation is None or task is None or training is None or server is None:
            return None
        if baselines is None:
            return None
        return FederationConfig(
            federation=federation,
            task=task,
            organisations=tuple(organisation for _, organisation in placed),
            training=training,
            server=server,
            secagg=secagg,
            settlement=settlement,
            evaluation=evaluation,
            baselines=baselines,
            base=base,
            data_base=data_base,
        )

    def _read(self, model: type[S], table: object, *place: str | int) -> S | None:
        section, problems = read_section(model, table, *place)
        self.problems += problems
        return section

    def _section(self, name: str, model: type[S], default: object = None) -> S | None:
        table = self.tables.get(name, default)
        if table is None:
            if name in REQUIRED:
                self.problems.append(Problem(name, "The section is missing.", f"Add [{name}]."))
            return None
        return self._read(model, table, name)

    def _task(self) -> TaskOptions | None:
        """Read `[task]` as the task named in `[federation]` wants it, even if something else is wrong there."""
        federation = self.tables.get("federation")
        kind = federation.get("task") if isinstance(federation, Mapping) else None
        if not isinstance(kind, str):
            return None
        table = self.tables.get("task", {})
        if kind in BUILT_IN:
            return self._read(BUILT_IN[kind], table, "task")
        return self._read(CustomOptions, {"options": table} if isinstance(table, Mapping) else table, "task")

    def _listed(self) -> Sequence[object]:
        listed = self.tables.get("organisation", ())
        return listed if isinstance(listed, tuple) else ()

    def _ids(self) -> dict[int, str]:
        """Give the ids as they are written, by position, also those of organisations with a problem."""
        tables = ((position, table) for position, table in enumerate(self._listed()) if isinstance(table, Mapping))
        return {position: table["id"] for position, table in tables if isinstance(table.get("id"), str)}

    def _organisations(self) -> list[tuple[int, Organisation]]:
        listed = self._listed()
        if "organisation" in self.tables and not isinstance(self.tables["organisation"], tuple):
            remedy = "Begin each organisation with [[organisation]], in two pairs of brackets."
            self.problems.append(Problem("organisation", "It is not a list of organisations.", remedy))
        elif len(listed) < checks.FEWEST_ORGANISATIONS:
            cause = f"The file names {len(listed)}; a federation has at least {checks.FEWEST_ORGANISATIONS}."
            self.problems.append(Problem("organisation", cause, "Begin each of them with [[organisation]]."))
        read = [
            (position, self._read(Organisation, table, "organisation", position))
            for position, table in enumerate(listed)
        ]
        return [(position, organisation) for position, organisation in read if organisation is not None]


def _place(problem: Problem) -> int:
    """Sort problems by section, as the sections stand in TABLES."""
    name = re.split(r"[.\[]", problem.key, maxsplit=1)[0]
    return TABLES.index(name) if name in TABLES else len(TABLES)


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        if TOO_MANY_PARTS.search(text):
            raise NotTomlError(path, f"A key has more than {MOST_PARTS} parts.", "Keys have three at most.")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise NotTomlError(path, f"Byte {error.start + 1} is not UTF-8 text.", "Save the file as UTF-8.") from error
    except ValueError as error:
        raise NotTomlError(path, f"{error}.", "Correct it there.") from error
    except RecursionError as error:
        raise NotTomlError(path, "Its values are nested too deeply.", "Nest them less.") from error


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UnreadableConfigError(path, "It is no file.", "Name the file itself.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UnreadableConfigError(path, "There is no such file.", "Check the path.") from error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "no path"
        raise UnreadableConfigError(
            path, f"It cannot be read ({reason}).", "Check the path and who may read it."
        ) from error
    if len(content) > MOST_BYTES:
        raise UnreadableConfigError(
            path, "It is larger than 1 MiB.", "A configuration is a few kilobytes: check the path."
        )
    return content
