"""What --help says, and what is said to somebody who types a command wrongly."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from fedgap.cli import app
from fedgap.learning.engines import ENGINES
from tests.cli.command import Run

BENCHMARKS = Path(__file__).parents[2] / "bench"


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with what is typed to call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


TREE = typer.main.get_command(app)
assert isinstance(TREE, click.Group)
COMMANDS = dict(commands(TREE))


def test_every_command_argument_and_option_says_what_it_is() -> None:
    """Click 8.5 with the typer that Flower asks for loses the help of arguments; pyproject.toml keeps it out."""
    silent = [name for name, command in COMMANDS.items() if not command.help]
    silent += [
        f"{name} {param.name}"
        for name, command in COMMANDS.items()
        for param in command.params
        if not getattr(param, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "bench"])
def test_every_command_takes_json(command: str) -> None:
    assert "--json" in {name for param in COMMANDS[command].params for name in param.opts}


def test_the_help_names_every_benchmark_and_every_engine() -> None:
    for script in BENCHMARKS.glob("*.py"):
        assert script.stem in str(COMMANDS["bench"].help)
    engine = next(param for param in COMMANDS["simulate"].params if param.name == "engine")
    for name in (*ENGINES, "flower"):
        assert name in getattr(engine, "help", "")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["simulate"], "usage.wrong: Missing argument 'FEDERATION'. See `"),
        (["simulate", "a.toml", "--seed", "-1"], "usage.wrong: Invalid value for '--seed': -1 is not in the range"),
        (["ledger", "verify", "a", "b"], "usage.wrong: Got unexpected extra argument (b). See `"),
        (["--versio"], "usage.wrong: No such option"),
        (["nothing"], "usage.wrong: No such command 'nothing'. See `"),
    ],
)
def test_a_wrong_use_is_one_line_of_code_cause_and_remedy(run: Run, typed: list[str], said: str) -> None:
    ended = run(*typed)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(said)
    assert ended.err.endswith("--help`.\n")
    assert ended.err.count("\n") == 1


def test_a_wrong_use_is_a_document_for_a_program(run: Run) -> None:
    ended = run("simulate", "--json")

    assert ended.status == 2
    assert json.loads(ended.out)["error"]["code"] == "usage.wrong"


def test_no_words_at_all_get_the_help(run: Run) -> None:
    ended = run("ledger")

    assert ended.status == 2
    assert "verify" in ended.out + ended.err
    assert "usage.wrong" not in ended.err
