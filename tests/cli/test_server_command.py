"""`fedgap server` as it is typed: answers, documents, exit statuses; and the files in server/ that people copy."""

import configparser
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedgap.cli import server
from fedgap.config import load_federation
from tests.cli.command import Run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "server" / "federation.example.toml"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Leave this process's own handlers of signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


def test_a_server_that_is_told_to_stop_while_it_loads_stops(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process of a container hears nothing without a handler, and is killed half a minute later."""
    home = tmp_path / "server"
    local = ("--host", "127.0.0.1", "--port", "0")
    assert run("server", "init", str(home), "--address", "https://federation.example", *local).status == 0
    load, heard = server._flower, list[int]()
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))

    def loading(folder: Path) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return load(folder)

    monkeypatch.setattr(server, "_flower", loading)
    found = run("server", "run", str(home), "--wait", "1", "--json")

    assert heard == []
    assert (json.loads(found.out)["error"]["code"], found.status) == ("run.interrupted", 3)


def test_the_example_federation_is_one() -> None:
    config = load_federation(EXAMPLE, deployed=True)

    assert len(config.organisations) == 5
    assert all(organisation.data is None for organisation in config.organisations)


def unit_of(path: str) -> dict[str, str]:
    """The service section of one of our units."""
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(ROOT / path)
    return dict(unit["Service"])


@pytest.mark.parametrize("path", ["server/fedgap-server.service", "clients/fedgap-client.service"])
def test_the_services_give_up_every_right_they_do_not_need(path: str) -> None:
    service = unit_of(path)

    assert {service[key] for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome")} == {"yes"}
    assert (service["ProtectSystem"], service["ProtectProc"]) == ("strict", "invisible")
    assert service["SystemCallFilter"] == "@system-service"


def test_the_server_is_started_again_when_it_was_stopped_or_waited_too_long() -> None:
    service = unit_of("server/fedgap-server.service")

    assert service["ExecStart"].startswith("/opt/fedgap/bin/fedgap server run /var/lib/fedgap-server/")
    assert "3" not in service["RestartPreventExitStatus"].split()


@pytest.mark.parametrize("path", ["server/Containerfile", "clients/Containerfile"])
def test_an_image_holds_the_package_and_nothing_else_of_a_checkout(path: str) -> None:
    """Neither keys nor data that lie in the folder from which it is built."""
    lines = (ROOT / path).read_text().splitlines()

    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied == [["pyproject.toml", "constraints.txt", "README.md", "LICENSE"], ["fedgap"]]
    assert lines.index("USER fedgap") > max(at for at, line in enumerate(lines) if line.startswith("RUN"))
