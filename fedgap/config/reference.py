"""The manual of fedgap's TOML files, made from the models that check them: no key is explained in two places."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedgap.config.baselines import Baselines
from fedgap.config.federation import Federation
from fedgap.config.operator import Operator
from fedgap.config.organisation import Organisation
from fedgap.config.phrases import Schema, allowed, written
from fedgap.config.policy import Costs, Owner, Period, PolicyRule, Price
from fedgap.config.protocol import Evaluation, SecAgg, Settlement
from fedgap.config.section import Section, nearest
from fedgap.config.site import Limits, SitePlace
from fedgap.config.task import CustomOptions, ImageOptions, TabularOptions
from fedgap.config.training import Server, Training
from fedgap.errors import UsageError

REQUIRED = "required"
MODELS: Sequence[tuple[str, str, str, type[Section]]] = (
    ("federation", "[federation]", "", Federation),
    ("task", "[task]", "tabular-classification, tabular-regression", TabularOptions),
    ("task", "[task]", "image-classification", ImageOptions),
    ("task", "[task]", "package.module:Class", CustomOptions),
    ("organisation", "[[organisation]]", "", Organisation),
    ("training", "[training]", "", Training),
    ("server", "[server]", "", Server),
    ("secagg", "[secagg]", "", SecAgg),
    ("settlement", "[settlement]", "", Settlement),
    ("evaluation", "[evaluation]", "", Evaluation),
    ("baselines", "[baselines]", "", Baselines),
    ("site", "[site]", "site.toml", SitePlace),
    ("limits", "[limits]", "site.toml", Limits),
    ("server", "[server]", "server.toml", Operator),
    ("policy", "[policy]", "policy.toml", PolicyRule),
    ("costs", "[costs]", "policy.toml", Costs),
    ("period", "[[period]]", "policy.toml", Period),
    ("price", "[[price]]", "policy.toml", Price),
    ("owner", "[[owner]]", "policy.toml", Owner),
)
"""Name, header as it is written, tasks or file it belongs to (federation.toml if none is named), model."""

FILES = ("federation.toml", "site.toml", "server.toml", "policy.toml")

INTRODUCTION = """\
# Configuration, key by key

Made by `fedgap config explain --markdown`; after a change, `make docs` makes it again.

`fedgap config check federation.toml` reports every problem of a file at once, each with its key. Unknown keys are
refused. Where a number is wanted, a whole number will do. Paths start from the folder of the file. The last sections
belong to other files: site.toml, which stays with a participant ([participants.md](participants.md)); server.toml, the
operator's ([operations.md](operations.md)); policy.toml, the funder's ([money.md](money.md)).
`fedgap config explain site.toml` shows one file's.

A complete file; everything else has a default:"""

EXAMPLE = """\
[federation]
id = "three-clinics"
task = "tabular-classification"
seed = 1

[task]
label = "diagnosis"

[[organisation]]
id = "clinic-north"
data = "data/clinic-north.csv"

[[organisation]]
id = "clinic-south"
data = "data/clinic-south.csv"

[[organisation]]
id = "clinic-west"
data = "data/clinic-west.csv"

[training]
rounds = 50
epochs = 1
lr = 0.1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHelp:
    """What one key means; `unit` is empty where it has none, `default` is "required" where there is none."""

    key: str
    meaning: str
    allowed: str
    unit: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionHelp:
    """What one section holds; `tasks` is empty unless it belongs to some tasks, or to another file."""

    name: str
    header: str
    tasks: str
    meaning: str
    keys: tuple[KeyHelp, ...]

    def title(self) -> str:
        """Name the section, and the tasks or the file it belongs to."""
        return f"{self.header} of {self.tasks}" if self.tasks else self.header


def reference(wanted: str | None = None) -> tuple[SectionHelp, ...]:
    """Explain every section, or one section (`training`), one key (`training.lr`), one file (`site.toml`).

    Raises:
        UsageError: there is no such section or key.
    """
    every = tuple(_section(*model) for model in MODELS)
    if wanted is None:
        return every
    if wanted in FILES:
        return tuple(one for one in every if wanted == (one.tasks if one.tasks in FILES else FILES[0]))
    name, _, key = wanted.strip("[]").partition(".")
    found = tuple(_only(key, (section for section in every if section.name == name)))
    if not found:
        known = [section.name for section in every] + [f"{one.name}.{key.key}" for one in every for key in one.keys]
        known += FILES
        raise UsageError(
            f"There is no section or key {wanted!r}.",
            remedy=nearest(wanted, known) or "`fedgap config explain` lists all of them.",
        )
    return found


def as_document(sections: Sequence[SectionHelp]) -> dict[str, Any]:
    """Give the reference as plain JSON values."""
    return {"sections": [asdict(section) for section in sections]}


def as_page() -> str:
    """Write docs/configuration.md, without the line end of its last line."""
    parts = [INTRODUCTION, f"```toml\n{EXAMPLE}```"]
    for section in reference():
        parts += [f"## `{section.header}`" + (f" of {section.tasks}" if section.tasks else ""), section.meaning]
        rows = ["| key | meaning | allowed | unit | default |", "|---|---|---|---|---|"]
        rows += [
            f"| `{_cell(key.key)}` | "
            + " | ".join(map(_cell, (key.meaning, key.allowed, key.unit, key.default)))
            + " |"
            for key in section.keys
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _only(key: str, sections: Iterator[SectionHelp]) -> Iterator[SectionHelp]:
    for section in sections:
        keys = tuple(one for one in section.keys if key in {"", one.key})
        if keys:
            yield SectionHelp(
                name=section.name, header=section.header, tasks=section.tasks, meaning=section.meaning, keys=keys
            )


def _section(name: str, header: str, tasks: str, model: type[Section]) -> SectionHelp:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    keys = tuple(_key(key, one, needed=key in required) for key, one in schema["properties"].items())
    meaning = schema["description"].partition("\n")[0]
    if model is CustomOptions:
        keys = (KeyHelp(key="...", meaning=keys[0].meaning, allowed=PLAIN, unit="", default="none"),)
    return SectionHelp(name=name, header=header, tasks=tasks, meaning=meaning, keys=keys)


PLAIN = "text, number, true or false, list or table"


def _key(key: str, schema: Schema, *, needed: bool) -> KeyHelp:
    value = schema.get("default")
    default = REQUIRED if needed else written(value) if value not in (None, [], {}) else "none"
    return KeyHelp(
        key=key,
        meaning=schema["description"],
        allowed=allowed(schema),
        unit=schema.get("unit", ""),
        default=schema.get("default_text", default),
    )


def _cell(text: str) -> str:
    """Keep a text inside its cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
