"""Which manifests a site goes along with by itself, which wait for a person, and which it never signs."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto import Identity
from fedgap.crypto.codec import pack
from fedgap.errors import UsageError
from fedgap.flower.resident import Resident
from fedgap.flower.standing import approve_manifest
from fedgap.ids import OrgId
from fedgap.secagg.manifest import Approval, Manifest, SignedManifest, approve
from tests.flower.sites import Village, village
from tests.simulation import tiny

ASH = OrgId("ash")
FOUR = {name: tiny.csv(20, seed) for seed, name in enumerate(("ash", "birch", "cedar", "dogwood"))}


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Village]:
    """Four sites that have told statistics and shapes, of which three found the federation."""
    with ExitStack() as stack:
        made = village(tmp_path, stack, files=FOUR)
        made.prepare()
        yield made


def forget(site: Resident, org: str) -> None:
    """Make a site whose person never saw this organisation."""
    membership = site.folder.membership()
    left = [one for one in membership.organisations if one != org]
    site.folder.keep(membership.model_copy(update={"organisations": left}))


def waiting(made: Village, org: OrgId) -> list[str]:
    """Codes of what a site waits for."""
    return [event["code"] for event in made.events[org] if event["event"] == "waiting"]


def amended(made: Village) -> tuple[Manifest, Manifest]:
    """Three found the federation; a fourth is proposed in the next version."""
    first = made.manifest(orgs=made.orgs[:3])
    made.show(proposed=SignedManifest(manifest=first))
    for org in made.orgs[:3]:
        made.sites[org].look_for_manifest()
    made.show(current=made.signed(first))
    for org in made.orgs[:3]:
        made.sites[org].look_for_manifest()
    made.book.signed.clear()
    return first, made.manifest(version=2)


def test_the_first_manifest_is_signed_if_a_person_saw_everybody_in_it(four: Village) -> None:
    four.show(proposed=SignedManifest(manifest=four.manifest()))
    forget(four.sites[ASH], "dogwood")
    for site in four.sites.values():
        site.look_for_manifest()

    assert four.book.signed.keys() == {"birch", "cedar", "dogwood"}
    assert waiting(four, ASH) == ["client.needs-approval"]


def test_a_person_can_approve_by_digest_while_the_client_runs(four: Village, tmp_path: Path) -> None:
    manifest = four.manifest()
    four.show(proposed=SignedManifest(manifest=manifest))
    site = four.sites[ASH]
    forget(site, "dogwood")
    site.look_for_manifest()
    path = tmp_path / "site.toml"
    place = 'organisation = "ash"\nserver = "https://fed.example.org"\ndata = "ash.csv"\n'
    place += f'folder = "{site.folder.path.name}"\n'
    limits = 'tasks = ["tabular-classification"]\nrounds = 2\nminimum_cohort = 3\n'
    path.write_text(f"[site]\n{place}[limits]\n{limits}")

    for wrong in ("", "12", "z" * 64):
        with pytest.raises(UsageError):
            approve_manifest(path, wrong)
    approve_manifest(path, manifest.digest.hex().upper())
    site.look_for_manifest()

    assert ASH in four.book.signed


def test_a_newcomer_that_a_person_saw_when_joining_is_welcome(four: Village) -> None:
    _, second = amended(four)
    four.show(proposed=SignedManifest(manifest=second))
    four.sites[ASH].look_for_manifest()

    assert ASH in four.book.signed


@pytest.mark.parametrize(("setting", "signs"), [("ask", False), ("within-limits", True)])
def test_a_stranger_is_signed_only_where_the_site_says_so(four: Village, setting: str, *, signs: bool) -> None:
    _, second = amended(four)
    forget(four.sites[ASH], "dogwood")
    site = four.open(ASH, roster_changes=setting)
    four.show(proposed=SignedManifest(manifest=second))
    site.look_for_manifest()

    assert (ASH in four.book.signed) is signs
    assert waiting(four, ASH) == ([] if signs else ["client.needs-approval"])


def test_a_version_in_force_without_the_signatures_it_needs_is_not_taken_up(four: Village) -> None:
    first, second = amended(four)
    four.show(current=SignedManifest(manifest=second, approvals=(approve(second, Identity(bytes(32))),)))
    site = four.sites[ASH]
    site.look_for_manifest()

    assert waiting(four, ASH) == ["secagg.bad-manifest"]
    assert [signed.manifest for signed in site.folder.manifests()] == [first]


def test_a_version_that_leaves_one_out_is_not_signed(four: Village) -> None:
    _, second = amended(four)
    four.show(proposed=SignedManifest(manifest=replace(second, version=3)))
    four.sites[ASH].look_for_manifest()

    assert four.book.signed == {}
    assert waiting(four, ASH) == ["secagg.bad-manifest"]


@pytest.mark.parametrize(
    "change",
    [
        {"f": 0},
        {"tau": 4},
        {"training": bytes(32)},
        {"model": bytes(32)},
        {"start": bytes(32)},
        {"policy": bytes(32)},
        {"periods": 9},
        {"simulation": True},
        {"amended_by": "all"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_does_not_follow_from_the_plan_is_never_signed(four: Village, change: dict[str, Any]) -> None:
    manifest = replace(four.manifest(), **change)
    membership = four.sites[ASH].folder.membership()
    four.sites[ASH].folder.keep(membership.model_copy(update={"manifests": [manifest.digest.hex()]}))
    four.show(proposed=SignedManifest(manifest=manifest))
    four.sites[ASH].look_for_manifest()

    assert four.book.signed == {}
    assert waiting(four, ASH) == ["flower.bad-charter"]


def test_another_server_key_is_never_signed(four: Village) -> None:
    manifest = four.manifest()
    membership = four.sites[ASH].folder.membership()
    four.sites[ASH].folder.keep(membership.model_copy(update={"server": bytes(32).hex()}))
    four.show(proposed=SignedManifest(manifest=manifest))
    four.sites[ASH].look_for_manifest()

    assert four.book.signed == {}
    assert waiting(four, ASH) == ["client.other-server"]


def test_what_waits_is_said_once(four: Village) -> None:
    forget(four.sites[ASH], "dogwood")
    four.show(proposed=SignedManifest(manifest=four.manifest()))
    for _ in range(3):
        four.sites[ASH].look_for_manifest()

    assert waiting(four, ASH) == ["client.needs-approval"]


def test_a_new_key_is_vouched_for_by_the_one_before_and_waits_until_it_is_in_force(four: Village) -> None:
    first, _ = amended(four)
    folder = four.sites[ASH].folder
    before, after = folder.keys(None)[0], folder.make_keys(None, which="keys-next")[0]
    folder.take_next_keys()
    second = four.manifest(version=2, orgs=four.orgs[:3])
    four.book.handed.clear()
    four.show(proposed=SignedManifest(manifest=second))
    four.open(ASH).look_for_manifest()

    keys = {before.public, after.public}
    approvals = [Approval(public=key, signature=sig) for _, sig in four.book.handed for key in keys]
    assert SignedManifest(manifest=second, approvals=tuple(approvals)).approved_by(keys) == keys
    assert waiting(four, ASH) == ["client.key-not-in-force"]
    assert four.ask(ASH, "invite", b"").code == "client.no-manifest"
    assert first.members[0].public == before.public


def test_a_version_with_the_key_before_is_taken_up_as_history_and_never_signed(four: Village) -> None:
    """A version signed by all came into force while a site changed its keys: it holds, and the next one can follow."""
    first, second = amended(four)
    folder = four.sites[ASH].folder
    four.show(proposed=SignedManifest(manifest=second))
    for org in four.orgs:
        four.sites[org].look_for_manifest()
    folder.make_keys(None, which="keys-next")
    folder.take_next_keys()
    site = four.open(ASH)
    four.book.handed.clear()
    four.show(proposed=SignedManifest(manifest=replace(second, members=second.members[:3])))
    site.look_for_manifest()
    assert four.book.handed == []
    four.show(current=four.signed(second))
    site.look_for_manifest()

    assert [signed.manifest for signed in folder.manifests()] == [first, second]
    assert set(waiting(four, ASH)) == {"flower.bad-charter", "client.key-not-in-force"}
    assert not site.is_member


def test_whoever_lost_all_keys_joins_again_from_an_empty_folder(four: Village) -> None:
    """The versions with the lost key are another one's; the first with the new key is ours."""
    first, second = amended(four)
    lost = four.sites[ASH].folder.path
    four.show(proposed=SignedManifest(manifest=second))
    for org in four.orgs:
        four.sites[org].look_for_manifest()
    four.show(current=four.signed(second))
    for org in four.orgs[1:]:
        four.sites[org].look_for_manifest()
    shared = (lost / "shared.bin").read_bytes()
    four.sites.pop(ASH).close()
    shutil.rmtree(lost)
    site = four.open(ASH)
    site.workplace.shared = shared
    third = four.manifest(version=3)
    four.book.signed.clear()
    earlier = [signed for signed in four.sites[four.orgs[1]].folder.manifests() if signed.manifest == first]
    proposal = four.book.reply.model_copy(update={"earlier": (pack(earlier[0]).hex(),)})
    assert third.members[0].public == site.identity.public != second.members[0].public
    four.book.reply = proposal.model_copy(update={"proposed": pack(SignedManifest(manifest=third)).hex()})
    for org in four.orgs:
        four.sites[org].look_for_manifest()

    assert four.book.signed.keys() == {ASH}
    assert [waiting(four, org) for org in four.orgs[1:]] == [["client.needs-approval"]] * 3
    assert [signed.manifest for signed in site.folder.manifests(ours=False)] == [first, second]


def test_keys_that_never_came_into_force_are_dropped_and_the_ones_that_vouch_stay(four: Village) -> None:
    folder = four.sites[ASH].folder
    first = folder.keys(None)[0]
    for keep_before in (False, True):
        following = folder.make_keys(None, which="keys-next")[0]
        folder.take_next_keys(keep_before=keep_before)
        assert (folder.keys(None)[0], folder.earlier_identity(None)) == (following, first)


def test_a_change_of_keys_that_was_interrupted_is_finished(four: Village) -> None:
    folder = four.sites[ASH].folder
    now, following = folder.keys(None)[0], folder.make_keys(None, which="keys-next")[0]
    (folder.path / "keys").rename(folder.path / "keys-before")

    assert folder.keys(None)[0] == following
    assert folder.earlier_identity(None) == now
