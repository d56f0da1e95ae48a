"""The pages say what the code does: links resolve, commands parse, tables and rules are those of the code."""

import ast
import inspect
import json
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

import fedgap.learning.faults
import fedgap.learning.task
from fedgap.cli import app
from fedgap.config import load_federation, parse_federation
from fedgap.config.policy import load_policy
from fedgap.learning.task import DataError
from fedgap.simulation.verdict import RULE

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for folder in ("docs", "examples") for page in (ROOT / folder).rglob("*.md")),
        *(page for folder in ("bench", "clients", "server") for page in (ROOT / folder).glob("*.md")),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
END_OF_COMMAND = {"|", ">", "&&", ";", "#"}


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def blocks(text: str, *languages: str) -> list[str]:
    """The blocks of code in one of these languages."""
    return [body for language, body in FENCE.findall(text) if language in languages]


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can lead to."""
    headings = re.findall(r"^#+ +(.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def words(command: str) -> list[str] | None:
    """The words after `fedgap` of a command line; None if it is another command."""
    parts = shlex.split(command.removeprefix("$ "))
    end = next((place for place, part in enumerate(parts) if part in END_OF_COMMAND), len(parts))
    return parts[1:end] if parts and Path(parts[0]).name == "fedgap" else None


def shown(text: str) -> Iterator[list[str]]:
    """Every `fedgap` command of the blocks that show a console, without the `fedgap`."""
    for block in blocks(text, "console", "bash", "sh"):
        lines = re.sub(r"\\\n", " ", re.sub(r"<<'(\w+)'.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE))
        for line in lines.splitlines():
            found = words(line)
            if found is not None:
                yield found


def mentioned(text: str) -> Iterator[list[str]]:
    """Every `fedgap` command between backticks in running text, without the `fedgap`."""
    for body in INLINE.findall(prose(text)):
        if body.startswith("fedgap "):
            yield shlex.split(body)[1:]


def reached(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """Walk down the tree of commands; return where the words lead, and the words that are left."""
    command: click.Command = typer.main.get_command(app)
    left = list(arguments)
    while isinstance(command, click.Group) and left and not left[0].startswith("-"):
        found = command.get_command(click.Context(command), left.pop(0))
        assert found is not None, f"there is no command `fedgap {' '.join(arguments)}`"
        command = found
    return command, left


def options(command: click.Command) -> set[str]:
    """What a command takes, and what all take."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own | {"--help", "--debug"}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_within_the_repository_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name} leads to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{name} leads to {target}, and that page has no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_every_path_named_in_a_page_is_there(name: str) -> None:
    text = prose((ROOT / name).read_text(encoding="utf-8"))
    for path in re.findall(r"`((?:fedgap|docs|examples|tests|bench)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{name} names {path}, which is not there"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shown_is_one_that_fedgap_takes(name: str) -> None:
    """Blocks are parsed as the command line would; in running text a command may be cut short."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for arguments in shown(text):
        command, left = reached(arguments)
        if isinstance(command, click.Group):
            assert left, f"`fedgap {' '.join(arguments)}` does nothing"
        else:
            command.make_context(command.name, [word for word in left if word != "--debug"])
    for arguments in [*shown(text), *mentioned(text)]:
        command, left = reached(arguments)
        if command.context_settings.get("ignore_unknown_options"):
            continue  # what follows is for somebody else, such as a benchmark
        unknown = {word.partition("=")[0] for word in left if word.startswith("--")} - options(command)
        assert not unknown, f"`fedgap {' '.join(arguments)}`: there is no {', '.join(unknown)}"


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_named_is_in_the_makefile(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    there = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [line for block in blocks(text, "console", "bash", "sh") for line in block.splitlines()]
    for line in [*lines, *INLINE.findall(prose(text))]:
        if line.startswith("make "):
            assert {word for word in line.split()[1:] if "=" not in word} <= there, line


@pytest.mark.parametrize("name", NAMES)
def test_every_file_named_in_a_shown_command_is_there(name: str) -> None:
    for arguments in shown((ROOT / name).read_text(encoding="utf-8")):
        for word in arguments:
            if word.startswith("examples/"):
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize("name", NAMES)
def test_every_whole_configuration_shown_is_right(name: str) -> None:
    for block in blocks((ROOT / name).read_text(encoding="utf-8"), "toml"):
        document = tomllib.loads(block)
        if "organisation" in document:
            parse_federation(document, base=ROOT)


def test_the_rule_of_the_verdict_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    quoted = " ".join(line.removeprefix(">").strip() for line in page.splitlines() if line.startswith(">"))

    assert quoted == RULE


def faults() -> dict[str, type[DataError]]:
    """Every kind of data error by its code."""

    def below(kind: type[DataError]) -> Iterator[type[DataError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return {kind.code: kind for kind in below(DataError) if kind.__module__.startswith("fedgap.")}


def listed_faults() -> dict[str, str]:
    """The lines of the table in docs/tasks.md by their code."""
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^\| `(data\.[a-z0-9-]+)` \|.*$", page, re.MULTILINE)}


def test_every_data_error_is_listed_and_no_other() -> None:
    written = {
        code
        for module in (ROOT / "fedgap").rglob("*.py")
        for code in re.findall(r'code = "(data\.[^"]+)"', module.read_text(encoding="utf-8"))
    }

    assert written == set(listed_faults())
    assert written == set(faults())


def test_the_remedies_listed_are_those_of_the_code() -> None:
    """A kind whose remedy is chosen where it is raised has none of its own to compare."""
    lines = listed_faults()
    for code, kind in faults().items():
        if code == DataError.code or "remedy" in vars(kind):
            assert lines[code].endswith(f"| {kind.remedy} |")


def test_the_task_of_ones_own_is_the_example_of_the_code() -> None:
    docstring = ast.get_docstring(ast.parse(inspect.getsource(fedgap.learning.task))) or ""
    lines = docstring.splitlines()
    indented = [number for number, line in enumerate(lines) if line.startswith("    ")]
    example = textwrap.dedent("\n".join(lines[indented[0] : indented[-1] + 1]))
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")

    assert example in [block.rstrip() for block in blocks(page, "python")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_has_a_page_and_configurations_that_are_right(example: str) -> None:
    folder = ROOT / "examples" / example
    files = sorted(folder.glob("*.toml"))

    assert folder / "federation.toml" in files
    for file in files:
        assert load_policy(file).periods if file.name.startswith("policy") else load_federation(file).organisations
    page = (folder / "README.md").read_text(encoding="utf-8")
    run = {word for arguments in shown(page) for word in arguments if word.endswith(".toml")}
    assert {str(file.relative_to(ROOT)) for file in files} <= run


def test_the_tour_and_the_two_pages_on_deployment_reach_every_command() -> None:
    """Ten minutes are enough for a simulation; operators and participants have a page of their own."""
    pages = [ROOT / "docs" / f"{name}.md" for name in ("tour", "participants", "operations")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.exists()]
    lines = [line for text in texts for line in (*shown(text), *mentioned(text))]
    ways = {" ".join(arguments[:length]) for arguments in lines for length in (1, 2)}

    def leaves(command: click.Command, way: tuple[str, ...] = ()) -> Iterator[str]:
        if isinstance(command, click.Group):
            for name in command.commands:
                yield from leaves(command.commands[name], (*way, name))
        else:
            yield " ".join(way)

    assert set(leaves(typer.main.get_command(app))) <= ways


SMALL = """
[federation]
id = "small"
task = "tabular-classification"
[task]
label = "ill"
[[organisation]]
id = "a"
data = "a.csv"
[[organisation]]
id = "b"
data = "b.csv"
[training]
rounds = 2
lr = 0.1
[baselines]
splits = 1
folds = 2
epochs = 2
personal_epochs = 1
lrs = [0.1]
bootstrap = 200
"""


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """The report of the smallest of studies."""
    for name in ("a", "b"):
        rows = "".join(f"{row},{row % 2}\n" for row in range(12))
        (tmp_path / f"{name}.csv").write_text(f"age,ill\n{rows}", encoding="utf-8")
    file = tmp_path / "federation.toml"
    file.write_text(SMALL, encoding="utf-8")
    command = ["simulate", str(file), "--out", str(tmp_path / "out"), "--workers", "1", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def flattened(value: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON of any shape
    """The dotted paths of a report's keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}.{key}" if path else key
            yield from flattened(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from flattened(inner, f"{path}[]")


def test_the_keys_of_a_report_are_those_listed(report: dict[str, Any]) -> None:
    """A key is listed itself, or with what contains it; nothing is listed that no report has."""
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    table = page.partition("<!-- keys -->\n")[2].partition("\n\n")[0]
    listed = {key for line in table.splitlines()[2:] for key in INLINE.findall(line.split("|")[1])}
    there = set(flattened(report))

    assert listed <= there
    for key in there:
        parts = key.split(".")
        begun = {".".join(parts[:stop]) for stop in range(1, len(parts) + 1)}
        within = {path for path in there if path.startswith((f"{key}.", f"{key}[]"))}
        assert begun & listed or within, f"{key} is in the report and not in docs/simulation.md"
