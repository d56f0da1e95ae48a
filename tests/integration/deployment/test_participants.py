"""Participants as real processes: two commands to take part, through a proxy, killed in every exchange."""

import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedgap.flower.egress import read_egress
from fedgap.flower.enrolment import read_invite, write_invite
from tests.integration.deployment.connect_proxy import ConnectProxy
from tests.integration.deployment.stage import Running, Stage, wait_until

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
EXCHANGES = ("invite", "adverts", "relay", "survivors", "certificate")

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    """A company's proxy."""
    proxy = ConnectProxy()
    yield proxy
    proxy.close()


def staged(folder: Path, rounds: int) -> Stage:
    """A server that waits for three organisations, all of which have joined."""
    stage = Stage(folder, rounds)
    stage.serve()
    for org in stage.orgs:
        joined = stage.join(org, stage.invite(org))
        assert joined.returncode == 0, joined.stderr
    return stage


def test_two_commands_through_a_proxy_give_the_simulated_model_and_a_whole_egress_log(
    tmp_path: Path, proxy: ConnectProxy
) -> None:
    stage, rounds = Stage(tmp_path, 2), 2
    try:
        server = stage.serve()
        for org in stage.orgs:
            joined = stage.join(org, stage.invite(org), HTTPS_PROXY=proxy.address)
            assert joined.returncode == 0, joined.stderr
        before = len(proxy.targets)
        assert set(proxy.targets) == {f"127.0.0.1:{stage.port}"}
        direct = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        ways = [{"HTTPS_PROXY": proxy.address}, {}, direct]
        clients = [stage.client(org, **way) for org, way in zip(stage.orgs, ways, strict=True)]
        assert [client.process.wait(120) for client in clients] == [0, 0, 0]
        assert server.process.wait(60) == 0
        assert len(proxy.targets) > before

        wanted = stage.simulated_sha256()
        assert any(wanted in line for line in server.lines)
        for org in stage.orgs:
            assert wanted == stage.status(org)["facts"]["model_sha256"]
            _check_egress(stage.folder / org / "fedgap-site", rounds)
        assert stage.reached <= LOOPBACK
    finally:
        stage.end()


def _check_egress(folder: Path, rounds: int) -> None:
    """Every message is in the log, and what the journal kept of the last attempt has the digests of the log."""
    lines = list(read_egress(folder / "egress.jsonl"))
    counted = Counter(str(line["purpose"]) for line in lines)
    assert counted.pop("polling") >= 1
    assert counted.pop("approve") >= 1
    expected = {"enrol": 1, "statistics": 1, "shape": 1, "claim": 1, "sums": 1} | dict.fromkeys(EXCHANGES, rounds)
    assert expected == dict(counted)
    logged = {line["sha256"] for line in lines if "sha256" in line}
    kept = list((folder / "journal").glob("*-reply.bin"))
    assert len(kept) == len(EXCHANGES)
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in kept} <= logged


def test_a_client_killed_in_every_exchange_comes_back_and_the_model_is_the_same(tmp_path: Path) -> None:
    """All three must take part in each sum, so what was asked of the dead one is asked again, with the same bytes."""
    stage = staged(tmp_path, len(EXCHANGES) + 1)
    try:
        clients = {org: stage.client(org) for org in stage.orgs}
        victim, left = clients["birch"], list(EXCHANGES)

        def kill_when_asked(line: str) -> None:
            event = json.loads(line)
            if left and event.get("event") == "asked" and event.get("purpose") == left[0] and event["round"] > 1:
                left.pop(0)
                os.kill(_child(victim), signal.SIGKILL)

        victim.on_line = kill_when_asked
        assert [client.process.wait(400) for client in clients.values()] == [0, 0, 0]
        assert left == []
        assert len(victim.events("restarting")) == len(EXCHANGES)
        wanted = stage.simulated_sha256()
        assert {org: stage.status(org)["facts"]["model_sha256"] for org in stage.orgs} == dict.fromkeys(
            stage.orgs, wanted
        )
    finally:
        stage.end()


def _child(client: Running) -> int:
    """The process that works for a client."""
    children = Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell the children of a process")
    return int(children.read_text().split()[0])


def test_invitations_that_are_used_expired_damaged_or_of_another_server_are_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    try:
        stage.serve()
        invite = stage.invite("ash")
        whole = read_invite(invite, now_s=time.time())

        def code(text: str, org: str = "ash") -> str:
            ended = stage.join(org, text)
            assert ended.returncode in {1, 2}
            return str(json.loads(ended.stdout)["error"]["code"])

        assert code(invite[:-1]) == "enrol.bad-invite"
        assert code(_changed(invite, expires_s=int(time.time()) - 1)) == "enrol.expired"
        assert code(_changed(invite, ca=bytes(32))) == "enrol.wrong-fingerprint"
        assert code(_changed(invite, code=bytes(16))) == "enrol.refused"
        assert not (tmp_path / "ash" / "fedgap-site" / "membership.json").exists()
        assert stage.join("ash", invite).returncode == 0
        assert stage.join("ash", invite).returncode == 0, "the same site may repeat the same command"
        assert code(invite, org="birch") == "enrol.refused", "another site has other keys"
        again = _changed(stage.invite("birch"), organisation=whole.organisation)
        assert code(again, org="cedar") == "enrol.refused", "an invitation is for one organisation"
    finally:
        stage.end()


def _changed(text: str, **fields: object) -> str:
    """Make the invitation that somebody would make who knows the format and not the server's secrets."""
    whole = read_invite(text, now_s=0)
    values = {name: getattr(whole, name) for name in type(whole).__slots__} | fields
    return write_invite(type(whole)(**values))


def test_a_second_client_with_the_same_folder_does_not_start(tmp_path: Path) -> None:
    stage = staged(tmp_path, 1)
    try:
        first = stage.client("ash")
        wait_until(lambda: first.events("connected"))
        second = stage.client("ash")

        assert second.process.wait(60) == 1
        assert any("storage.in-use" in line for line in second.lines)
        assert first.process.poll() is None
    finally:
        stage.end()
