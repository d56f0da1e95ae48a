"""The operator's book: codes work once, nothing is lost, two processes may write at the same time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fedgap.crypto import Identity, digest
from fedgap.flower.book import Book, KeyTakenError, UnknownOrganisationError
from fedgap.flower.enrolment import EnrolRequest, Invite, InviteExpiredError, InviteUsedError, sign_enrolment
from fedgap.ids import FederationId, OrgId
from fedgap.storage import DamagedFileError, StorageError

ASH, BIRCH = OrgId("ash"), OrgId("birch")
LATER_S = 1000


def request(org: OrgId = ASH, code: bytes = b"c" * 16, secret: bytes = b"k" * 32, node: str = "A") -> EnrolRequest:
    """What an organisation sends."""
    invite = Invite(
        address="https://a", ca=b"", federation=FederationId("f"), organisation=org, code=code, expires_s=LATER_S
    )
    return sign_enrolment(Identity(secret), invite, f"ecdsa-sha2-nistp384 {node * 120}")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A book in which ash is invited."""
    book = Book(tmp_path / "book.sqlite")
    book.invite(ASH, b"c" * 16, expires_s=LATER_S, confirm=False)
    return book


def test_a_code_works_once_and_the_same_request_may_be_repeated(book: Book) -> None:
    assert book.enrol(request(), now_s=1) == "approved"
    assert book.enrol(request(), now_s=LATER_S + 1) == "approved"
    with pytest.raises(InviteUsedError):
        book.enrol(request(secret=b"l" * 32, node="B"), now_s=1)
    (ash,) = book.organisations()
    assert ash.public == Identity(b"k" * 32).public


def test_codes_that_are_unknown_late_replaced_or_for_somebody_else_are_refused(book: Book) -> None:
    with pytest.raises(InviteUsedError):
        book.enrol(request(code=b"d" * 16), now_s=1)
    with pytest.raises(InviteUsedError):
        book.enrol(request(org=BIRCH), now_s=1)
    with pytest.raises(InviteExpiredError):
        book.enrol(request(), now_s=LATER_S)
    book.invite(ASH, b"e" * 16, expires_s=LATER_S, confirm=False)
    with pytest.raises(InviteUsedError):
        book.enrol(request(), now_s=1)
    assert book.enrol(request(code=b"e" * 16), now_s=1) == "approved"


def test_two_organisations_cannot_share_a_key(book: Book) -> None:
    book.enrol(request(), now_s=1)
    book.invite(BIRCH, b"b" * 16, expires_s=LATER_S, confirm=False)
    for same in ({"secret": b"k" * 32, "node": "B"}, {"secret": b"l" * 32, "node": "A"}):
        with pytest.raises(KeyTakenError):
            book.enrol(request(org=BIRCH, code=b"b" * 16, **same), now_s=1)  # type: ignore[arg-type]  # two kinds
    assert [one.standing for one in book.organisations()] == ["approved", "invited"]


def test_an_operator_who_wants_to_compare_fingerprints_approves_first(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.sqlite")
    book.invite(ASH, b"c" * 16, expires_s=LATER_S, confirm=True)
    with pytest.raises(UnknownOrganisationError):
        book.approve(ASH)
    assert book.enrol(request(), now_s=1) == "waiting"
    book.approve(ASH)
    assert book.organisations()[0].standing == "approved"
    book.revoke(ASH)
    with pytest.raises(UnknownOrganisationError):
        book.approve(ASH)
    with pytest.raises(UnknownOrganisationError):
        book.revoke(BIRCH)


def test_a_new_enrolment_forgets_what_the_old_keys_said(book: Book) -> None:
    book.enrol(request(), now_s=1)
    book.prepared(ASH, statistics=b"s")
    book.prepared(ASH, shape=b"h")
    assert book.organisations()[0].statistics == b"s"
    book.revoke(ASH)
    book.invite(ASH, b"n" * 16, expires_s=LATER_S, confirm=False)
    with pytest.raises(KeyTakenError):
        book.enrol(request(code=b"n" * 16), now_s=1)
    assert book.enrol(request(code=b"n" * 16, secret=b"l" * 32, node="B"), now_s=1) == "approved"
    assert book.organisations()[0].statistics is None


def test_only_valid_signatures_are_kept(book: Book) -> None:
    identity, manifest = Identity(b"k" * 32), digest("manifest")
    good = identity.sign("manifest", manifest)

    assert book.sign(manifest, identity.public, good)
    assert book.sign(manifest, identity.public, good)
    assert not book.sign(manifest, identity.public, bytes(64))
    assert not book.sign(digest("other"), identity.public, good)
    assert book.signatures(manifest) == [(identity.public, good)]


def test_a_copy_is_whole_and_private_and_the_code_is_not_in_the_file(book: Book, tmp_path: Path) -> None:
    book.keep("name", b"content")
    book.copy_to(tmp_path / "copy")

    assert Book(tmp_path / "copy").kept("name") == b"content"
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    assert b"c" * 16 not in (tmp_path / "copy").read_bytes()
    book.drop("name")
    assert book.kept("name") is None


def test_whoever_only_reads_waits_for_nobody(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers may ask for the manifest as often as they like: the server's rounds read the book too."""
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *place, **settings: real(*place, **settings | {"timeout": 0.0}))
    with closing(real(tmp_path / "book.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO kept VALUES ('half', x'00')")

        assert [one.org for one in book.organisations()] == [ASH]
        assert (book.kept("half"), book.signatures(bytes(32))) == (None, [])
        with pytest.raises(StorageError):
            book.keep("other", b"")


def test_something_else_is_not_taken_for_a_book(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"no database, but quite long " * 50)
    with pytest.raises(DamagedFileError):
        Book(tmp_path / "book")
