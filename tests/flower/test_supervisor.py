"""The watcher: starts the worker again when it dies, gives up when that is hopeless, hands on what it says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedgap.cli.client_events import sentence
from fedgap.errors import FedgapError
from fedgap.flower import supervisor
from fedgap.flower.membership import Membership, NotJoinedError, SiteFolder
from fedgap.flower.supervisor import DyingClientError, Supervisor
from fedgap.storage import InUseError

SITE = """
[site]
organisation = "ash"
server = "https://127.0.0.1:9"
data = "rows.csv"
[limits]
tasks = ["tabular-classification"]
rounds = 1
minimum_cohort = 3
"""

WORKER = """
import json, os, sys
from pathlib import Path
site, pipe = sys.argv[1:3]
passphrase = json.loads(sys.stdin.readline())
tries = Path(site).with_name("tries")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
os.write(int(pipe), json.dumps({"event": "hello", "passphrase": passphrase}).encode() + b"\\n")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site that has joined."""
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    membership = Membership(
        address="https://127.0.0.1:9",
        ca=None,
        federation="tiny",
        organisation="ash",
        document={},
        plan=bytes(32).hex(),
        organisations=["ash"],
        joined="today",
    )
    SiteFolder(tmp_path / "fedgap-site").keep(membership)
    return path


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Events so far; no time passes between two starts."""
    monkeypatch.setattr(supervisor, "RESTART_S", (0.0,))
    return []


def watch(site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, ending: str) -> Supervisor:
    """A watcher over a worker that says hello and then ends like this."""
    worker = site.with_name("worker.py")
    worker.write_text(WORKER + ending)
    real = subprocess.Popen

    def popen(command: list[str], **more: Any) -> Any:  # noqa: ANN401 - of subprocess
        assert command[1:4] == ["-P", "-m", "fedgap.flower.child"]
        return real([sys.executable, str(worker), *command[4:]], **more)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return Supervisor(site=site, passphrase="word", tell=events.append)  # noqa: S106 - not a secret


def test_a_worker_that_dies_is_started_again_and_its_words_are_handed_on(
    site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = "if len(tries.read_text()) < 3: os.kill(os.getpid(), 9)\n"
    watch(site, events, monkeypatch, ending).run()

    assert [event["event"] for event in events] == ["hello", "restarting"] * 2 + ["hello"]
    assert {event["passphrase"] for event in events if event["event"] == "hello"} == {"word"}
    folder = SiteFolder(site.with_name("fedgap-site"))
    assert folder.read_status()["state"] == "stopped"
    assert folder.log.read_text().count('"hello"') == 3
    assert "word" not in folder.log.read_text().replace('"passphrase": "word"', "")


def test_a_worker_that_always_dies_at_once_is_given_up(
    site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DyingClientError):
        watch(site, events, monkeypatch, "sys.exit(9)\n").run()

    assert [event["event"] for event in events].count("hello") == supervisor.MOST_QUICK_DEATHS + 1


def test_an_error_that_a_person_must_see_to_ends_it_with_that_error(
    site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"event": "failed", "code": "task.not-found", "cause": "No task.", "remedy": "Install it.", "status": 2}
    ending = f"os.write(int(pipe), json.dumps({failed!r}).encode() + b'\\n'); sys.exit(2)\n"
    with pytest.raises(FedgapError) as error:
        watch(site, events, monkeypatch, ending).run()

    assert (error.value.code, error.value.cause, error.value.exit_status) == ("task.not-found", "No task.", 2)


def test_a_site_whose_federation_has_ended_says_so_and_starts_nothing(
    site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SiteFolder(site.with_name("fedgap-site"))
    watch(site, events, monkeypatch, f"open({str(folder.ended)!r}, 'w').close()\n").run()
    assert folder.read_status()["state"] == "ended"
    events.clear()
    watch(site, events, monkeypatch, "").run()

    assert events == [{"event": "ended"}]
    assert "nothing more is asked" in sentence(events[0])


def test_only_one_client_works_with_a_folder(site: Path, events: list[dict[str, Any]]) -> None:
    folder = SiteFolder(site.with_name("fedgap-site"))
    with folder.alone(), pytest.raises(InUseError):
        Supervisor(site=site, passphrase=None, tell=events.append).run()


def test_a_site_that_left_or_never_joined_does_not_run(site: Path, events: list[dict[str, Any]]) -> None:
    folder = SiteFolder(site.with_name("fedgap-site"))
    folder.keep(folder.membership().model_copy(update={"left": "today"}))
    with pytest.raises(NotJoinedError, match="left"):
        Supervisor(site=site, passphrase=None, tell=events.append).run()
    (folder.path / "membership.json").unlink()
    with pytest.raises(NotJoinedError):
        Supervisor(site=site, passphrase=None, tell=events.append).run()


def test_the_log_does_not_grow_for_ever(
    site: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MOST_LOG_BYTES", 10)
    log = SiteFolder(site.with_name("fedgap-site")).log
    log.write_text("old " * 10)
    watch(site, events, monkeypatch, "").run()

    assert "old" not in log.read_text()
    assert "old" in log.with_suffix(".log.1").read_text()
