"""Manifests at the server: proposed from the book, in force once signed by those who must."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto import Identity, digest
from fedgap.flower import plainvalues
from fedgap.flower.book import Book, Enrolled
from fedgap.flower.charter import CharterError, Founding, Line, check_manifest, found, members_of
from fedgap.flower.enrolment import Invite, sign_enrolment
from fedgap.flower.first_model import first_model
from fedgap.flower.preparation import Shape, Statistics, merged, own_shape, own_statistics
from fedgap.flower.roster import PROPOSED, Roster
from fedgap.ids import FederationId, OrgId
from fedgap.learning.rows import concatenate
from fedgap.learning.vector import initial
from fedgap.secagg.manifest import approve
from fedgap.secagg.wire import pack, unpack
from fedgap.simulation.sites import load_sites, open_task, split_sites
from tests.flower.serving import home_in
from tests.simulation.tiny import config as tiny_config

SERVER = Identity(b"s" * 32)
ROWS = {"ash": 12, "birch": 20, "cedar": 30, "doum": 500}
NAMES = list(ROWS)


def identity(org: str) -> Identity:
    """An organisation's key."""
    return Identity(org.ljust(32, ".").encode())


@pytest.fixture
def founding(tmp_path: Path) -> Founding:
    """What all manifests of the tiny federation have in common, with a fourth organisation in its file."""
    home = home_in(tmp_path / "home")
    home.federation.write_text(home.federation.read_text() + '[[organisation]]\nid = "doum"\n')
    config = home.config()
    shape = Shape(inputs=(3,), classes=True, largest=1)
    return found(config, open_task(config), plainvalues.write(None), shape, None, secret=bytes(32))[0]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Four organisations that have enrolled and told their rows."""
    book = Book(tmp_path / "book.sqlite")
    for org, rows in ROWS.items():
        code = org.ljust(16).encode()
        book.invite(OrgId(org), code, expires_s=10, confirm=False)
        invite = Invite(
            address="https://a", ca=b"", federation=FederationId("f"), organisation=OrgId(org), code=code, expires_s=10
        )
        letter = org[0].upper()
        book.enrol(sign_enrolment(identity(org), invite, f"ecdsa-sha2-nistp384 {letter * 120}"), now_s=1)
        book.prepared(OrgId(org), statistics=pack(Statistics(rows=rows, content=b"")), shape=b"shape")
    return book


def members(book: Book, *names: str) -> list[Enrolled]:
    """These organisations, as the book has them."""
    return [entry for entry in book.organisations() if entry.org in names]


def sign(roster: Roster, *names: str) -> None:
    """Let these sign what is proposed."""
    proposed = roster.proposed()
    assert proposed is not None
    for name in names:
        approval = approve(proposed.manifest, identity(name))
        assert roster.book.sign(proposed.manifest.digest, approval.public, approval.signature)


def test_the_first_version_needs_everybody_and_a_later_one_a_quorum_and_the_newcomer(
    book: Book, founding: Founding
) -> None:
    roster, config = Roster(book, SERVER.public), founding.config
    three, four = members(book, *NAMES[:3]), members(book, *NAMES)

    assert roster.update(founding, config, three) is None
    sign(roster, "ash", "birch")
    assert roster.update(founding, config, three) is None
    assert roster.unsigned() == ("cedar",)
    sign(roster, "cedar", "doum")
    first = roster.update(founding, config, three)
    assert first is not None
    assert (first.manifest.version, len(first.approvals), roster.proposed()) == (1, 4, None)
    assert roster.update(founding, config, three) == first

    assert roster.update(founding, config, four) == first
    sign(roster, "ash", "birch", "cedar")
    assert roster.update(founding, config, four) == first
    sign(roster, "doum")
    second = roster.update(founding, config, four)
    assert second is not None
    assert [member.id for member in second.manifest.members] == NAMES
    assert [signed.manifest.version for signed in Roster(book, SERVER.public).versions()] == [1, 2]


def test_an_organisation_between_two_keys_keeps_its_line_until_it_is_ready(book: Book, founding: Founding) -> None:
    roster, config = Roster(book, SERVER.public), founding.config
    roster.update(founding, config, members(book, *NAMES))
    sign(roster, *NAMES)
    first = roster.update(founding, config, members(book, *NAMES))

    assert roster.update(founding, config, members(book, *NAMES[:3]), between_keys=[OrgId("doum")]) == first
    assert roster.proposed() is None
    assert roster.update(founding, config, members(book, *NAMES[:3])) == first
    without = roster.proposed()
    assert without is not None
    assert [member.id for member in without.manifest.members] == NAMES[:3]


def test_weights_are_rows_capped_at_three_times_the_median(book: Book, founding: Founding) -> None:
    roster = Roster(book, SERVER.public)
    roster.update(founding, founding.config, members(book, *NAMES))
    proposed = roster.proposed()

    assert proposed is not None
    assert [member.weight for member in proposed.manifest.members] == [12, 20, 30, 75]


def test_two_are_no_federation_and_a_change_of_mind_replaces_the_proposal(book: Book, founding: Founding) -> None:
    roster, config = Roster(book, SERVER.public), founding.config
    assert roster.update(founding, config, members(book, "ash", "birch")) is None
    assert roster.proposed() is None
    for names in (NAMES[:3], NAMES[1:]):
        roster.update(founding, config, members(book, *names))
        proposed = roster.proposed()
        assert proposed is not None
        assert [member.id for member in proposed.manifest.members] == names
    roster.update(founding, config, members(book, "ash"))
    assert book.kept(PROPOSED) is None


def test_a_member_accepts_what_follows_from_the_settings_and_refuses_every_other_manifest(
    book: Book, founding: Founding
) -> None:
    roster = Roster(book, SERVER.public)
    roster.update(founding, founding.config, members(book, *NAMES))
    proposed = roster.proposed()
    assert proposed is not None
    manifest, own = proposed.manifest, Line(org=OrgId("ash"), name="ash", public=identity("ash").public, rows=12)
    check_manifest(manifest, founding, own)

    other = {name: digest("other") for name in ("model", "start", "training", "evaluation", "policy")}
    changes: list[dict[str, Any]] = [{name: value} for name, value in other.items()]
    changes += [{"f": 0}, {"periods": 7}, {"openings": 2}, {"amended_by": "all"}, {"simulation": True}]
    changes += [{"encoding": replace(manifest.encoding, clip_high=999.0)}, {"federation": FederationId("other")}]
    assert {name for change in changes for name in change} <= {field.name for field in fields(manifest)}
    for change in changes:
        with pytest.raises(CharterError):
            check_manifest(replace(manifest, **change), founding, own)
    for line in (replace(own, org=OrgId("zelkova")), replace(own, public=bytes(32)), replace(own, name="Ash Inc.")):
        with pytest.raises(CharterError):
            check_manifest(manifest, founding, line)


def test_w0_and_weights_are_those_of_a_simulation(tmp_path: Path) -> None:
    """Statistics and shapes told one by one give the model that a simulation starts from, bit for bit."""
    config = tiny_config(tmp_path)
    task = open_task(config)
    split = split_sites(config, task, load_sites(config, task), 0)
    told = {org: own_statistics(task, rows, org) for org, rows in split.train.items()}
    shared = merged(task, told)
    everybody = plainvalues.read(shared)
    rows = {org: task.prepare(split.train[org], everybody, task.statistics(split.train[org])) for org in split.train}
    shape = unpack(Shape, own_shape(rows[OrgId("cedar")]))
    start = first_model(task, shape, config)

    pooled = concatenate([split.training(org, "federated") for org in split.train])
    assert start.tobytes() == initial(task, pooled, config.federation.seed).tobytes()
    for org, own in rows.items():
        assert own.x.tobytes() == split.training(org, "federated").x.tobytes()
        assert str(tmp_path).encode() not in told[org]
    lines = [Line(org=org, name=org, public=bytes(32), rows=len(split.train[org])) for org in split.train]
    assert [member.id for member in members_of(config, lines)] == sorted(split.train)
