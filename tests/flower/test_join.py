"""What a person at a site is shown before approving, and what happens to a folder that belongs to a membership."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgap.cli.client import client_app
from fedgap.flower import desk_work
from fedgap.flower.book import KeyTakenError
from fedgap.flower.join import OtherMembershipError, begin_joining, end_joining
from fedgap.flower.membership import SiteFolder
from fedgap.flower.standing import end_membership
from fedgap.secagg.manifest import SignedManifest
from tests.flower.serving import Served, home_in, served
from tests.flower.sites import village

HIDE = "\x1b[8m"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose plan has a policy that it never looks at, and control characters where a text may stand."""
    home = home_in(tmp_path_factory.mktemp("join"))
    text = home.federation.read_text().replace("[federation]\n", '[federation]\npolicy = "policy.toml"\n')
    home.federation.write_text(text.replace('label = "y"', 'label = "y"\ndrop = ["\\u001b[8m"]'))
    (home.folder / "policy.toml").write_text(f"# everything goes to ash{HIDE}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedgap.flower.service.read_policy", lambda _: None)
        with served(home) as server:
            yield server


def rows(folder: Path) -> str:
    """A file that is there; what is in it matters later."""
    path = folder / "x.csv"
    path.write_text("a,b,y\n1,2,0\n")
    return str(path)


def invitation(server: Served, org: str) -> str:
    """A new invitation."""
    return desk_work.invite(server.home, org, confirm=False, now_s=time.time()).text


def test_the_funding_policy_is_shown_before_it_is_approved_and_nothing_hides_a_line(
    server: Served, tmp_path: Path
) -> None:
    words = ["join", invitation(server, "ash"), "--data", rows(tmp_path), "--site", str(tmp_path / "site.toml")]
    shown = CliRunner().invoke(client_app, words, input="n\n")

    assert "everything goes to ash" in shown.output
    assert "\x1b" not in shown.output
    assert not (tmp_path / "fedgap-site" / "membership.json").exists()


def test_who_left_and_was_revoked_joins_again_with_new_keys_only(server: Served, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    joining = begin_joining(invitation(server, "birch"), site, data=rows(tmp_path), passphrase=None, now_s=time.time())
    end_joining(joining, site, data=rows(tmp_path))
    end_membership(site)
    desk_work.revoke(server.home, "birch")

    again = invitation(server, "birch")
    with pytest.raises(KeyTakenError, match="refuses") as refused:
        begin_joining(again, site, data=rows(tmp_path), passphrase=None, now_s=time.time())
    assert "empty folder" in refused.value.remedy
    assert (
        begin_joining(
            again, tmp_path / "new" / "site.toml", data=rows(tmp_path), passphrase=None, now_s=time.time()
        ).status
        == "approved"
    )


def test_a_folder_with_the_journal_of_another_federation_is_not_used_again(server: Served, tmp_path: Path) -> None:
    """Its manifests would never fit the new ones, and its journal belongs to what may still have to be settled."""
    (tmp_path / "old").mkdir()
    with ExitStack() as stack:
        made = village(tmp_path / "old", stack, federation={"id": "other"})
        made.prepare()
        signed = SignedManifest(manifest=made.manifest())
    folder = SiteFolder(tmp_path / "fedgap-site")
    folder.keep_manifest(signed)

    with pytest.raises(OtherMembershipError):
        begin_joining(
            invitation(server, "cedar"), tmp_path / "site.toml", data=rows(tmp_path), passphrase=None, now_s=time.time()
        )
    assert not (folder.path / "keys").exists()
