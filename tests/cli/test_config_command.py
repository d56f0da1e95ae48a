"""`fedgap config check` and `fedgap config explain`, as a person and as a program sees them."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import fedgap.cli.config
from fedgap.cli import show
from fedgap.cli.app import app
from fedgap.config import load_federation
from fedgap.config.reference import EXAMPLE, as_page
from fedgap.errors import UsageError

WRONG = EXAMPLE.replace("lr = 0.1", "lr = 0").replace("seed = 1", "sede = 1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A right federation.toml."""
    path = tmp_path / "federation.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    for organisation in load_federation(path).organisations:
        rows = "".join(f"{size}.5,{name}\n" for size, name in enumerate(("benign", "malignant") * 3))
        table = tmp_path / str(organisation.data)
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("radius,diagnosis\n" + rows, encoding="utf-8")
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A federation.toml with two problems."""
    path = tmp_path / "wrong.toml"
    path.write_text(WRONG, encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    """Run `fedgap config` with these arguments."""
    return CliRunner().invoke(app, ["config", *map(str, arguments)])


def test_the_commands_are_in_the_tree() -> None:
    assert fedgap.cli.config.config_app in [group.typer_instance for group in app.registered_groups]


def test_check_says_what_a_right_file_means(file: Path) -> None:
    result = run("check", file)

    assert result.exit_code == 0
    assert "three-clinics: 3 organisations, clinic-north, clinic-south, clinic-west." in result.stdout
    assert "predict diagnosis" in result.stdout
    assert "clinic-north: 6 rows" in result.stdout
    assert result.stdout.splitlines()[-1] == "ok"


def test_check_names_every_file_that_cannot_be_used(file: Path) -> None:
    """A missing file and a broken one are both reported, each on a line with code, cause and remedy."""
    first, second, _ = load_federation(file).organisations
    (file.parent / str(first.data)).unlink()
    (file.parent / str(second.data)).write_text("radius,diagnosis\nwide,benign\n", encoding="utf-8")

    result, as_json = run("check", file), run("check", file, "--json")

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["data.missing-file", "data.not-a-number"]
    answer = json.loads(as_json.stdout)
    assert answer["ok"] is False
    assert [problem["code"] for problem in answer["problems"]] == ["data.missing-file", "data.not-a-number"]


def test_check_tries_the_policy_too(file: Path) -> None:
    """Its periods must be those that are settled."""
    file.write_text(file.read_text().replace("seed = 1", 'seed = 1\npolicy = "policy.toml"'))
    budget = '[[period]]\nbudget = "1.00"\n'
    (file.parent / "policy.toml").write_text(f'[policy]\ncurrency = "EUR"\n{budget}')
    assert run("check", file).exit_code == 0
    (file.parent / "policy.toml").write_text(f'[policy]\ncurrency = "EUR"\n{2 * budget}')
    result = run("check", file)

    assert result.exit_code == 2
    assert result.stderr.startswith("policy.periods: The policy has 2 periods")


def test_check_notices_files_that_do_not_fit_together(file: Path) -> None:
    one = load_federation(file).organisations[0]
    (file.parent / str(one.data)).write_text("size,diagnosis\n1,benign\n2,malignant\n", encoding="utf-8")

    result = run("check", file)

    assert result.exit_code == 1
    assert result.stderr.startswith("data.different-columns: ")


def test_check_lists_every_problem_on_a_line_of_its_own(wrong: Path) -> None:
    result = run("check", wrong)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "config.invalid: federation.sede: There is no such key. Did you mean `seed`?",
        "config.invalid: training.lr: It is 0. Write: number > 0.",
    ]


def test_check_answers_a_program_with_one_document(file: Path, wrong: Path) -> None:
    right, refused = run("check", file, "--json"), run("check", wrong, "--json")

    assert (right.exit_code, refused.exit_code) == (0, 2)
    answer = json.loads(right.stdout)
    assert answer["ok"] is True
    assert answer["configuration"]["training"]["lr"] == 0.1
    answer = json.loads(refused.stdout)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "config.invalid"
    assert [problem["key"] for problem in answer["problems"]] == ["federation.sede", "training.lr"]


def test_check_says_that_a_file_is_not_there(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none.toml")

    assert result.exit_code == 2
    assert result.stderr.startswith("config.unreadable: ")
    assert "There is no such file." in result.stderr


def test_check_prints_no_markup_and_no_control_character_of_a_file(file: Path) -> None:
    text = EXAMPLE.replace('id = "three-clinics"', 'id = "three-clinics"\nname = "[red]Three[/red] :smile: clinics"')
    file.write_text(text + '\n["\\u001b[2J[bold]"]\n', encoding="utf-8")
    result = run("check", file)
    assert "[bold]" in result.stderr
    assert "\x1b" not in result.stderr

    file.write_text(text, encoding="utf-8")
    assert "[red]Three[/red] :smile: clinics: 3 organisations" in run("check", file).stdout


def test_explain_shows_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show.console, "_width", 200)
    result = run("explain")

    assert result.exit_code == 0
    for text in ("[federation]", "[[organisation]]", "prox_mu", "number >= 0 and < 1", "[mean, standard deviation]"):
        assert text in result.stdout


def test_explain_shows_one_key() -> None:
    result = run("explain", "training.rounds")

    assert "rounds" in result.stdout
    assert "batch_size" not in result.stdout


def test_explain_answers_a_program_with_one_document() -> None:
    (section,) = json.loads(run("explain", "training.lr", "--json").stdout)["sections"]

    assert section["keys"] == [
        {
            "key": "lr",
            "meaning": "learning rate of an organisation's steps",
            "allowed": "number > 0",
            "unit": "",
            "default": "required",
        }
    ]


def test_explain_prints_the_page_as_it_is() -> None:
    assert as_page() + "\n" == run("explain", "--markdown").stdout


@pytest.mark.parametrize("arguments", [["nothing"], ["training", "--markdown"], ["--markdown", "--json"]])
def test_explain_refuses_what_it_cannot_explain(arguments: list[str]) -> None:
    assert isinstance(run("explain", *arguments).exception, UsageError)
