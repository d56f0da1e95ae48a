"""A running server: what it shows, what it notices, what it refuses to change."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto import Identity
from fedgap.errors import InterruptedRunError
from fedgap.flower import plainvalues, service
from fedgap.flower.book import Enrolled
from fedgap.flower.charter import Line, found, write_manifest
from fedgap.flower.enrolment import Invite, sign_enrolment
from fedgap.flower.home import forms
from fedgap.flower.listener import Listener
from fedgap.flower.page import status
from fedgap.flower.preparation import Shape, Statistics
from fedgap.flower.roster import PROPOSED, SHAPE, SHARED
from fedgap.flower.service import ChangedPlanError, serve
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.wire import pack
from fedgap.simulation.sites import open_task
from tests.flower.serving import home_in, served
from tests.simulation.tiny import csv


def soon(holds: Callable[[], bool]) -> bool:
    """Tell whether something becomes true before long."""
    end = time.monotonic() + 120
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_an_organisation_may_be_added_while_it_runs_and_nothing_else_may_change(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    text = home.federation.read_text()
    with served(home) as server:
        for count, unfinished in enumerate(("", "[federation"), 1):
            home.federation.write_text(unfinished)
            assert soon(lambda count=count: sum("config.not-toml" in line for line in server.said) == count)  # type: ignore[misc]
            home.federation.write_text(text)
        home.federation.write_text(text + '[[organisation]]\nid = "doum"\n')
        assert soon(lambda: "doum (is not invited" in server.said[-1])
        home.federation.write_text(text.replace("lr = 0.1", "lr = 0.2"))
        assert soon(lambda: bool(server.ended))
    assert isinstance(server.ended[0], ChangedPlanError)


def test_the_first_manifest_waits_for_a_member_that_shows_new_keys_before_it_is_signed(tmp_path: Path) -> None:
    """Three others would be enough to found a federation; but nobody who is named in the file is left out."""
    home = home_in(tmp_path, files={name: csv(20, 1) for name in ("ash", "birch", "cedar", "doum")})
    book, shape = home.book(), pack(Shape(inputs=(3,), classes=True, largest=1))
    for number, (org, confirm) in enumerate((*((org, False) for org in forms(home.config())), (OrgId("cedar"), True))):
        code = bytes([number]) * 16
        book.invite(org, code, expires_s=2**40, confirm=confirm)
        invite = Invite(
            address="https://a", ca=b"", federation=FederationId("tiny"), organisation=org, code=code, expires_s=2**40
        )
        node = f"ecdsa-sha2-nistp384 {'ABCDE'[number] * 120}"
        book.enrol(sign_enrolment(Identity(bytes([number]) * 32), invite, node), now_s=1)
        if not confirm:
            book.prepared(org, statistics=pack(Statistics(rows=9, content=b"")), shape=shape)
    book.keep(SHARED, plainvalues.write(None))
    book.keep(SHAPE, shape)

    with served(home) as server:
        assert soon(lambda: "cedar (waits for fedgap server approve)" in server.said[-1])
    assert book.kept(PROPOSED) is None


def test_a_server_whose_listener_has_ended_says_so_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would wait for members that cannot reach it, and nobody would start it again."""
    made: list[Listener] = []

    class Kept(Listener):
        """A listener that the test has its hands on."""

        def __init__(self, *parts: Any, **settings: Any) -> None:  # noqa: ANN401 - the parent's
            super().__init__(*parts, **settings)
            made.append(self)

    monkeypatch.setattr(service, "Listener", Kept)
    with served(home_in(tmp_path)) as server:
        made[0]._server.should_exit = True
        assert soon(lambda: bool(server.ended))
    assert [error.code for error in server.ended] == ["server.port"]


def test_what_was_signed_is_not_changed_while_the_server_is_down(tmp_path: Path) -> None:
    """Neither the plan nor the money: the signed manifest holds the digests of both."""
    home = home_in(tmp_path)
    config = home.config()
    shape = Shape(inputs=(3,), classes=True, largest=1)
    founding, _ = found(config, open_task(config), plainvalues.write(None), shape, None, secret=bytes(32))
    lines = [Line(org=org, name=org, public=Identity(org.encode().ljust(32)).public, rows=9) for org in forms(config)]
    manifest = write_manifest(founding, lines, home.identity().public, version=1)
    home.book().keep("manifest-1", pack(SignedManifest(manifest=manifest)))

    text = home.federation.read_text()
    (home.folder / "policy.toml").write_text("# everything for one")
    for changed in (
        text.replace("lr = 0.1", "lr = 0.2"),
        text.replace("[federation]\n", '[federation]\npolicy = "policy.toml"\n'),
    ):
        assert changed != text
        home.federation.write_text(changed)
        with pytest.raises(ChangedPlanError):
            serve(home, say=lambda _: None, stopped=lambda: True, wait_s=1)
    home.federation.write_text(text)
    with pytest.raises(InterruptedRunError):
        serve(home, say=lambda _: None, stopped=lambda: True, wait_s=1)


def test_the_page_says_how_things_stand_and_cannot_be_broken_by_a_name(tmp_path: Path) -> None:
    config = home_in(tmp_path).config()
    board = {
        "phase": "round 2 of 2",
        "waiting_for": {"birch": "is not <connected>"},
        "heard": {"ash": {"what": "<script>alert(1)</script>", "at_s": time.time() - 5}},
        "rounds": [
            {
                "round": 1,
                "organisations": ["ash", "birch"],
                "loss": 0.5,
                "seconds": 7.25,
                "bytes_up": 12_345,
                "bytes_down": 3_000_000,
            }
        ],
    }
    book = [Enrolled(org=OrgId("ash"), standing="approved"), Enrolled(org=OrgId("birch"), standing="waiting")]
    page = status(config, board, book, connected={OrgId("ash")})

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for text in (
        "1 of 2",
        "1 of 3",
        "round 2 of 2",
        "joined, waits for approval",
        "not invited",
        "7.2 s",
        "12 kB",
        "3 MB",
    ):
        assert text in page, text
    assert "https://" not in page
    assert "http://" not in page
