"""Invitations and what an organisation says when it joins."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgap.crypto import Identity
from fedgap.flower import enrolment
from fedgap.flower.enrolment import (
    BadInviteError,
    EnrolRequest,
    Invite,
    InviteExpiredError,
    WrongFingerprintError,
    read_invite,
    sign_enrolment,
    write_invite,
)
from fedgap.ids import FederationId, OrgId

NODE = "ecdsa-sha2-nistp384 " + "A" * 120
CA = hashlib.sha256(b"the CA").digest()
INVITE = Invite(
    address="https://server.example:443",
    ca=CA,
    federation=FederationId("clinics"),
    organisation=OrgId("ash"),
    code=b"c" * 16,
    expires_s=2_000_000_000,
)
NOW_S = 1_900_000_000.0


def test_an_invitation_survives_a_mail_program() -> None:
    text = write_invite(INVITE)
    wrapped = "\n".join(text[at : at + 60] + " " for at in range(0, len(text), 60))

    assert read_invite(wrapped, now_s=NOW_S) == INVITE


@given(st.data())
def test_an_invitation_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    text = write_invite(INVITE)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: not c.isspace() and c != text[at]))

    with pytest.raises(BadInviteError):
        read_invite(text[:at] + other + text[at + 1 :], now_s=NOW_S)


@given(st.text())
def test_no_text_is_taken_for_an_invitation(text: str) -> None:
    for line in (text, "fedgap1." + text, write_invite(INVITE)[:-1]):
        with pytest.raises(BadInviteError):
            read_invite(line, now_s=NOW_S)


def test_an_old_invitation_and_a_plain_http_address_are_refused() -> None:
    with pytest.raises(InviteExpiredError):
        read_invite(write_invite(INVITE), now_s=INVITE.expires_s)
    plain = Invite(
        address="http://server.example",
        ca=CA,
        federation=INVITE.federation,
        organisation=INVITE.organisation,
        code=INVITE.code,
        expires_s=INVITE.expires_s,
    )
    with pytest.raises(BadInviteError):
        read_invite(write_invite(plain), now_s=NOW_S)


def test_another_ca_than_the_one_named_is_refused() -> None:
    enrolment.check_ca(INVITE, b"the CA")
    with pytest.raises(WrongFingerprintError):
        enrolment.check_ca(INVITE, b"another CA")


def test_who_enrols_shows_that_it_has_the_key_and_means_this_federation() -> None:
    request = sign_enrolment(Identity(b"k" * 32), INVITE, NODE)

    assert enrolment.is_enrolment(request, INVITE.federation)
    assert not enrolment.is_enrolment(request, FederationId("other"))
    for change in (
        {"public": Identity(b"l" * 32).public.hex()},
        {"organisation": "birch"},
        {"code": "00" * 16},
        {"node_public": NODE + "A"},
    ):
        assert not enrolment.is_enrolment(request.model_copy(update=change), INVITE.federation)


def test_a_request_with_anything_unexpected_in_it_is_refused() -> None:
    good = sign_enrolment(Identity(b"k" * 32), INVITE, NODE).model_dump()

    assert EnrolRequest.model_validate(good).organisation == "ash"
    for change in (
        {"organisation": "../etc"},
        {"node_public": "ssh-ed25519 " + "A" * 100},
        {"node_public": NODE + "\n" + NODE},
        {"public": "00"},
        {"code": None},
        {"more": 1},
    ):
        with pytest.raises(ValidationError):
            EnrolRequest.model_validate(good | change)


def test_the_spoken_fingerprint_is_eight_groups_and_changes_with_every_key() -> None:
    words = enrolment.spoken(OrgId("ash"), b"k" * 32, NODE)

    assert [len(group) for group in words.split(" ")] == [5] * 8
    assert words.replace(" ", "").isdigit()
    others = {
        enrolment.spoken(OrgId("birch"), b"k" * 32, NODE),
        enrolment.spoken(OrgId("ash"), b"l" * 32, NODE),
        enrolment.spoken(OrgId("ash"), b"k" * 32, NODE + "A"),
    }
    assert words not in others
    assert len(others) == 3


def test_codes_are_not_shown() -> None:
    assert "cccc" not in repr(INVITE)
    assert (b"c" * 16).hex() not in repr(sign_enrolment(Identity(b"k" * 32), INVITE, NODE))
