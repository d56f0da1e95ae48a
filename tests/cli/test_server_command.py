"""`fedgap server` as it is typed: answers, documents, exit statuses; and the files in server/ that people copy."""

import configparser
import json
import re
from pathlib import Path

import pytest

from fedgap.config import load_federation
from tests.cli.command import Run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "server" / "federation.example.toml"


def made(run: Run, folder: Path) -> Path:
    """A server's folder with the example's federation."""
    home = folder / "server"
    home.mkdir()
    (home / "federation.toml").write_text(EXAMPLE.read_text())
    found = run("server", "init", str(home), "--address", "https://federation.example", "--json")
    assert found.status == 0, found.err
    document = json.loads(found.out)
    assert document["organisations"] == ["ash", "birch", "cedar", "dogwood", "elm"]
    assert re.fullmatch("[0-9a-f]{64}", document["ca"])
    return home


def test_init_invite_status_revoke_backup_restore(run: Run, tmp_path: Path) -> None:
    home = made(run, tmp_path)
    invited = json.loads(run("server", "invite", "ash", "--dir", str(home), "--json").out)
    assert invited["invite"].startswith("fedgap1.")
    assert run("server", "status", str(home)).out.count("not invited") == 4
    assert run("server", "backup", str(tmp_path / "copy"), "--dir", str(home)).status == 0
    assert run("server", "restore", str(tmp_path / "copy"), str(tmp_path / "new"), "--json").status == 0
    assert json.loads(run("server", "revoke", "ash", "--dir", str(home), "--json").out)["standing"] == "revoked"
    standing = json.loads(run("server", "status", str(tmp_path / "new"), "--json").out)["organisations"][0]["standing"]
    assert standing == "invited"


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (("init", "{home}"), "server.not-empty", 2),
        (("init", "{new}", "--address", "http://plain"), "config.invalid", 2),
        (("init", "{new}", "--certificate", "none"), "config.invalid", 2),
        (("run", "{new}"), "server.no-folder", 2),
        (("status", "{new}"), "server.no-folder", 2),
        (("invite", "zelkova", "--dir", "{home}"), "usage.wrong", 2),
        (("approve", "ash", "--dir", "{home}"), "server.unknown-organisation", 2),
        (("revoke", "ash", "--dir", "{home}"), "server.unknown-organisation", 2),
        (("restore", "{home}/server.toml", "{new}"), "server.bad-backup", 1),
    ],
)
def test_what_cannot_be_done_is_said_with_code_and_remedy(
    run: Run, tmp_path: Path, words: tuple[str, ...], code: str, status: int
) -> None:
    folder = tmp_path
    home = made(run, folder)
    found = run("server", *(word.format(home=home, new=folder / "new") for word in words), "--json")

    assert (json.loads(found.out)["error"]["code"], found.status) == (code, status)
    assert not (folder / "new" / "server.toml").exists()


def test_the_example_federation_is_one() -> None:
    config = load_federation(EXAMPLE, deployed=True)

    assert len(config.organisations) == 5
    assert all(organisation.data is None for organisation in config.organisations)


def test_the_service_gives_up_every_right_it_does_not_need() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(ROOT / "server" / "fedgap-server.service")
    service = dict(unit["Service"])

    assert {service[key] for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome")} == {"yes"}
    assert service["ProtectSystem"] == "strict"
    assert service["ExecStart"].startswith("/opt/fedgap/bin/fedgap server run /var/lib/fedgap-server/")
    assert "3" not in service["RestartPreventExitStatus"].split()
