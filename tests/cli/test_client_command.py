"""`fedgap client` without a server: what it refuses, what it says, what people decide."""

import io
import json
import sys
import time
from pathlib import Path

import pytest

from fedgap.cli.client_events import sentence
from fedgap.flower.egress import EgressLog
from fedgap.flower.enrolment import Invite, write_invite
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.ids import FederationId, OrgId
from tests.cli.command import Run

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
DIGEST = "ab" * 32


@pytest.fixture
def joined(tmp_path: Path) -> SiteFolder:
    """A site that joined a federation whose server is away."""
    (tmp_path / "site.toml").write_text(SITE)
    folder = SiteFolder(tmp_path / "fedgap-site")
    organisations = [{"id": name} for name in ("ash", "birch", "cedar")]
    document = {
        "federation": {"id": "tiny", "task": "tabular-classification", "seed": 1},
        "task": {"label": "y"},
        "organisation": organisations,
        "training": {"rounds": 1, "lr": 0.1},
    }
    folder.keep(
        Membership(
            address="https://127.0.0.1:9",
            ca=None,
            federation="tiny",
            organisation="ash",
            document=document,
            plan=bytes(32).hex(),
            organisations=["ash", "birch", "cedar"],
            joined="2026-11-22T12:00:00+00:00",
        )
    )
    return folder


def code(err: str) -> str:
    """The code at the beginning of the last line."""
    return err.strip().splitlines()[-1].partition(":")[0]


@pytest.mark.parametrize("command", ["run", "check", "status", "leave"])
def test_without_a_site_toml_a_command_says_so(run: Run, command: str) -> None:
    ended = run("client", command, *(["--yes"] if command == "leave" else []))

    assert (ended.status, code(ended.err)) == (2, "config.unreadable")


@pytest.mark.parametrize("text", ["", "hello", "fedgap1.", "fedgap1.AAAA"])
def test_what_is_no_invitation_is_refused_before_anything_is_made(run: Run, tmp_path: Path, text: str) -> None:
    ended = run("client", "join", text, "--yes")

    assert (ended.status, code(ended.err)) == (2, "enrol.bad-invite")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def invitation() -> str:
    """A right invitation of a server that is away."""
    expires_s = int(time.time()) + 3600
    invite = Invite(
        address="https://127.0.0.1:9",
        ca=bytes(32),
        federation=FederationId("tiny"),
        organisation=OrgId("ash"),
        code=bytes(16),
        expires_s=expires_s,
    )
    return write_invite(invite)


@pytest.mark.parametrize("data", [(), ("--data", "nowhere.csv")])
def test_a_missing_file_is_noticed_before_keys_are_made(
    run: Run, tmp_path: Path, invitation: str, data: tuple[str, ...]
) -> None:
    ended = run("client", "join", invitation, *data, "--yes")

    assert (ended.status, code(ended.err)) == (2, "usage.wrong")
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_answers_the_answer_is_no(run: Run, joined: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ended = run("client", "leave")

    assert (ended.status, code(ended.err)) == (1, "client.not-approved")
    assert joined.membership().federation == "tiny"


def test_json_cannot_ask(run: Run) -> None:
    assert code(run("client", "join", "fedgap1.x", "--json").err) == "usage.wrong"


def test_a_check_goes_on_to_the_connection_when_the_data_are_missing(run: Run, joined: SiteFolder) -> None:
    ended = run("client", "check", "--json")

    found = {finding["name"]: finding for finding in json.loads(ended.out)["findings"]}
    assert ended.status == 1
    assert {name: finding["ok"] for name, finding in found.items()} == {
        "membership": True,
        "task": True,
        "data": False,
        "connection": False,
    }
    assert found["connection"]["error"]["code"] == "link.lost"
    assert not joined.egress.exists() or joined.egress.read_bytes() == b"", "a check sends nothing"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, "Correct `data` under [site] in site.toml"),
        ("a,b\n1,2\n", "which is its operator's to change"),
        ("a,y\n", "Write the file again"),
    ],
)
def test_a_check_says_what_is_wrong_with_the_data_in_words_of_site_toml(
    run: Run, joined: SiteFolder, tmp_path: Path, rows: str | None, words: str
) -> None:
    assert joined.path.exists()
    if rows is not None:
        (tmp_path / "rows.csv").write_text(rows)
    found = {finding["name"]: finding for finding in json.loads(run("client", "check", "--json").out)["findings"]}

    remedy = found["data"]["error"]["remedy"]
    assert words in remedy
    assert "organisation.data" not in remedy
    assert "config check" not in remedy


def test_a_check_finds_what_the_limits_do_not_allow(run: Run, joined: SiteFolder, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,y\n" + "1,yes\n2,no\n" * 5)
    (tmp_path / "site.toml").write_text(SITE.replace("minimum_cohort = 3", "minimum_cohort = 4"))
    found = {finding["name"]: finding for finding in json.loads(run("client", "check", "--json").out)["findings"]}

    assert found["data"]["train_rows"] > 0
    assert found["disk"]["parameters"] == 4
    assert found["limits"]["error"]["code"] == "site.limit"
    assert joined.path.exists()


def test_the_status_sums_up_work_and_what_left(run: Run, joined: SiteFolder) -> None:
    with EgressLog(joined.egress, to="https://127.0.0.1:9") as log:
        log.note("relay", bytes(10))
        log.note("relay", bytes(5))
        log.note_polling(calls=7, size_bytes=70)
    line = {"phases": {"train": {"wall_seconds": 1.5, "cpu_seconds": 1.0, "bytes_up": 0, "bytes_down": 0}}}
    joined.metering.write_text(json.dumps(line) + "\nhalf a li\n" + json.dumps(line) + "\n")

    found = json.loads(run("client", "status", "--json").out)
    assert found["facts"]["federation"] == "tiny"
    assert [(one["purpose"], one["messages"], one["bytes"]) for one in found["left"]] == [
        ("relay", 2, 15),
        ("polling", 7, 70),
    ]
    assert [(one["phase"], one["wall_seconds"], one["gpu_seconds"]) for one in found["work"]] == [("train", 3.0, None)]
    shown = run("client", "status").out
    assert "tiny" in shown
    assert "gpu" not in shown, "a column that says nothing is left out"
    assert "None" not in shown


def test_an_approval_is_written_down_once(run: Run, joined: SiteFolder) -> None:
    for _ in range(2):
        assert run("client", "approve", DIGEST).status == 0
    assert run("client", "approve", "no digest").status == 2

    assert joined.membership().manifests == [DIGEST]


def test_who_left_stays_away(run: Run, joined: SiteFolder) -> None:
    assert code(run("client", "leave", "--json").err) == "client.not-approved"
    with joined.alone():
        assert code(run("client", "leave", "--yes").err) == "storage.in-use"
    assert json.loads(run("client", "leave", "--yes", "--json").out) == {"left": "tiny", "organisation": "ash"}

    for command in ("run", "status", "check"):
        ended = run("client", command)
        assert (ended.status, code(ended.err)) == (2, "client.not-joined")


def test_a_damaged_membership_is_no_crash(run: Run, joined: SiteFolder) -> None:
    (joined.path / "membership.json").write_text('{"address": 1')

    assert code(run("client", "status").err) == "storage.damaged"


@pytest.mark.parametrize("content", ["", "\n", "\xff"])
def test_a_passphrase_file_without_a_passphrase_is_refused(
    run: Run, joined: SiteFolder, tmp_path: Path, content: str
) -> None:
    (tmp_path / "word").write_bytes(content.encode("latin-1"))
    ended = run("client", "run", "--passphrase-file", tmp_path / "word")

    assert (ended.status, code(ended.err)) == (2, "usage.wrong")
    assert joined.path.exists()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event": "connected", "node": 1}, "Connected"),
        ({"event": "manifest", "version": 2, "members": ["Ash", "Birch"]}, "Ash, Birch"),
        ({"event": "answered", "status": "ok", "purpose": "relay", "round": 3, "bytes": 1234, "seconds": 0.5}, "1,234"),
        ({"event": "answered", "status": "ok", "purpose": "sums", "round": 3}, "Caught up"),
        ({"event": "answered", "status": "ok", "purpose": "statistics", "bytes": 99}, "99 bytes"),
        ({"event": "refused", "code": "site.hours", "cause": "It is noon.", "remedy": "Wait."}, "Refused: It is noon."),
        ({"event": "waiting", "code": "x", "cause": "Away.", "remedy": "Wait.", "seconds": 2.0}, "2 s"),
        ({"event": "waiting", "code": "x", "cause": "New roster.", "remedy": "Approve."}, "New roster. Approve."),
        ({"event": "restarting", "status": -9, "seconds": 1.0}, "starting it again"),
        ({"event": "done", "model": "m", "rounds": 3}, "All 3 rounds"),
        ({"event": "asked", "purpose": "relay"}, ""),
    ],
)
def test_what_happens_is_said_in_words(event: dict[str, object], words: str) -> None:
    assert words in sentence(event)
    assert bool(words) is bool(sentence(event))
