"""The manifest: contradictory or weak ones cannot be built, and only the right signatures put one in force."""

from dataclasses import replace

import pytest

from fedgap.crypto import Identity
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.local import local_federation
from fedgap.secagg.manifest import (
    Manifest,
    Member,
    SignedManifest,
    approve,
    capped,
    check_amendment,
    check_founding,
)
from fedgap.secagg.me import Me
from fedgap.secagg.server import Server
from fedgap.secagg.wire import pack, unpack

ENCODING = Encoding(parameters=3, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
FEDERATION = local_federation(
    FederationId("test"), {OrgId(name): 10 for name in ("a", "b", "c", "d", "e")}, ENCODING, seed=1
)
OLD, KEYS = FEDERATION.manifest, FEDERATION.identities
NEW_KEY = Identity(b"n" * 32)


def _signed(manifest: Manifest, *keys: Identity) -> SignedManifest:
    return SignedManifest(manifest=manifest, approvals=tuple(approve(manifest, key) for key in keys))


def _second(**changes: object) -> Manifest:
    return replace(OLD, version=2, **changes)  # type: ignore[arg-type]  # named fields of the manifest


def _with_new_key(seat: int) -> Manifest:
    members = list(OLD.members)
    members[seat] = replace(members[seat], public=NEW_KEY.public)
    return _second(members=tuple(members))


def test_a_manifest_and_its_signatures_round_trip() -> None:
    signed = _signed(OLD, *KEYS)
    assert unpack(SignedManifest, pack(signed)) == signed
    assert unpack(Manifest, pack(OLD)).digest == OLD.digest


def test_every_change_changes_the_digest() -> None:
    others = [replace(OLD, periods=2), replace(OLD, simulation=False), replace(OLD, tau=5), _with_new_key(0)]
    assert len({OLD.digest, *(other.digest for other in others)}) == 5


def test_a_first_version_needs_every_member() -> None:
    check_founding(_signed(OLD, *KEYS))
    for missing in (KEYS[1:], ()):
        with pytest.raises(BadManifestError, match="have not signed"):
            check_founding(_signed(OLD, *missing))


def test_a_signature_for_another_manifest_does_not_count() -> None:
    other = replace(OLD, periods=2)
    approvals = (*_signed(OLD, *KEYS[1:]).approvals, approve(other, KEYS[0]))
    with pytest.raises(BadManifestError):
        check_founding(SignedManifest(manifest=OLD, approvals=approvals))


def test_a_later_version_is_not_a_first_one() -> None:
    with pytest.raises(BadManifestError, match="version before"):
        check_founding(_signed(_second(), *KEYS))


def test_a_change_needs_the_quorum_of_the_old_roster() -> None:
    new = _second(periods=2)
    check_amendment(OLD, _signed(new, *KEYS[: OLD.tau]))
    with pytest.raises(BadManifestError, match="of the old roster"):
        check_amendment(OLD, _signed(new, *KEYS[: OLD.tau - 1]))


def test_a_manifest_may_ask_for_everybody() -> None:
    old = replace(OLD, amended_by="all")
    new = replace(old, version=2)
    check_amendment(old, _signed(new, *KEYS))
    with pytest.raises(BadManifestError, match="5 must"):
        check_amendment(old, _signed(new, *KEYS[:4]))


def test_a_new_member_must_have_signed() -> None:
    joined = Member(id=OrgId("f"), name="F", public=NEW_KEY.public, weight=10)
    new = _second(members=(*OLD.members, joined), tau=5)
    check_amendment(OLD, _signed(new, *KEYS, NEW_KEY))
    with pytest.raises(BadManifestError, match="new members"):
        check_amendment(OLD, _signed(new, *KEYS))


def test_a_new_key_needs_itself_and_the_quorum() -> None:
    """The old key among them, or, when it is lost, the others."""
    new = _with_new_key(0)
    check_amendment(OLD, _signed(new, *KEYS[1:], NEW_KEY))
    check_amendment(OLD, _signed(new, *KEYS[: OLD.tau], NEW_KEY))
    with pytest.raises(BadManifestError):
        check_amendment(OLD, _signed(new, *KEYS))
    with pytest.raises(BadManifestError):
        check_amendment(OLD, _signed(new, NEW_KEY, *KEYS[1 : OLD.tau]))


@pytest.mark.parametrize("version", [1, 3])
def test_versions_follow_one_another(version: int) -> None:
    with pytest.raises(BadManifestError, match="does not follow"):
        check_amendment(OLD, _signed(replace(OLD, version=version), *KEYS))


def test_another_federation_does_not_follow() -> None:
    with pytest.raises(BadManifestError, match="does not follow"):
        check_amendment(OLD, _signed(_second(federation=FederationId("other")), *KEYS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"members": OLD.members[::-1]}, "ordered by id"),
        ({"members": (OLD.members[0], *OLD.members)}, "ordered by id"),
        ({"members": (replace(OLD.members[0], id=OrgId("A")), *OLD.members[1:])}, "malformed"),
        ({"members": (replace(OLD.members[0], name="\x1b[2J All is well"), *OLD.members[1:])}, "cannot be shown"),
        ({"server": OLD.members[0].public}, "one key"),
        ({"members": tuple(replace(member, weight=0) for member in OLD.members)}, "weight"),
        ({"members": (replace(OLD.members[0], weight=-1), *OLD.members[1:])}, "negative"),
        ({"members": (replace(OLD.members[0], weight=31), *OLD.members[1:])}, "3 times the median"),
        ({"version": 0}, "version"),
        ({"tau": 3}, "quorum"),
        ({"amended_by": "server"}, "next version"),
        ({"encoding": replace(ENCODING, upload_bits=29, direction_bits=1)}, "wrap"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_not_built(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadManifestError, match=reason):
        replace(OLD, **change)  # type: ignore[arg-type]  # named fields of the manifest


def test_weights_are_capped_at_three_times_their_median() -> None:
    assert capped([1, 10, 100]) == [1, 10, 30]
    assert capped([10, 11, 200, 300]) == [10, 11, 200, 300]
    assert capped([1, 2, 3, 300]) == [1, 2, 3, 7]
    assert capped([]) == []
    once = capped([1, 10, 100])
    assert capped(once) == once


def test_shares_are_relative_to_the_largest_weight() -> None:
    federation = local_federation(FederationId("w"), {OrgId("a"): 5, OrgId("b"): 10, OrgId("c"): 10}, ENCODING, seed=1)
    assert [federation.manifest.share(seat) for seat in range(3)] == [0.5, 1.0, 1.0]


def test_a_member_is_found_by_its_id_and_others_are_named() -> None:
    assert OLD.seat_of(OrgId("c")) == 2
    with pytest.raises(BadManifestError, match="'z' is not in the roster"):
        OLD.seat_of(OrgId("z"))


def test_a_key_that_is_not_in_the_manifest_cannot_take_part() -> None:
    with pytest.raises(BadManifestError):
        Me(OLD, 0, KEYS[1])
    with pytest.raises(BadManifestError):
        Server(OLD, KEYS[0])
