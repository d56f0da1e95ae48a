"""What `fedgap server init` leaves, and what of it is tried before anybody joins."""

import re
from pathlib import Path

import pytest

from fedgap.config.operator import load_operator
from fedgap.config.policy import load_policy
from tests.cli.command import Run


@pytest.mark.parametrize(
    ("options", "port"),
    [
        (["--address", "https://federation.example:9443"], 9443),
        (["--address", "https://federation.example"], 443),
        (["--address", "https://federation.example", "--port", "9000"], 9000),
        (["--address", "https://federation.example", "--certificate", "proxy", "--host", "127.0.0.1"], 8443),
        ([], 8443),
    ],
)
def test_a_server_listens_where_its_address_says_unless_told_otherwise(
    run: Run, tmp_path: Path, options: list[str], port: int
) -> None:
    assert run("server", "init", "home", *options).status == 0
    assert load_operator(tmp_path / "home" / "server.toml").port == port


def test_the_policy_that_is_left_becomes_a_policy_without_its_marks(run: Run, tmp_path: Path) -> None:
    run("server", "init", "home")
    path = tmp_path / "home" / "policy.toml"
    path.write_text(re.sub(r"(?m)^#(?! )", "", path.read_text()))

    assert load_policy(path).rule.currency == "EUR"
    assert run("funding", "check", path).status == 0


def test_a_policy_that_says_nothing_is_refused_before_the_server_listens(run: Run, tmp_path: Path) -> None:
    """Organisations would sign its digest, and nobody could be paid."""
    run("server", "init", "home")
    file = tmp_path / "home" / "federation.toml"
    file.write_text(file.read_text().replace("seed = 1", 'seed = 1\npolicy = "policy.toml"'))
    ended = run("server", "run", "home", "--wait", 0)

    assert ended.status == 2
    assert ended.err.startswith("config.invalid: The policy has 2 problems: policy.currency: It is missing.")
    assert "listening" not in ended.out + ended.err


def test_config_check_knows_a_servers_file(run: Run, tmp_path: Path) -> None:
    """It names no rows of anybody; a policy that cannot be used is told."""
    run("server", "init", "home")
    file = tmp_path / "home" / "federation.toml"
    right = run("config", "check", file)
    assert (right.status, right.out.splitlines()[-1]) == (0, "ok")
    assert not re.search("[0-9] rows", right.out)
    file.write_text(file.read_text().replace("seed = 1", 'seed = 1\npolicy = "policy.toml"'))
    wrong = run("config", "check", file)

    assert wrong.status == 2
    assert wrong.err.startswith("config.invalid: policy.toml has 2 problems: policy.currency")
