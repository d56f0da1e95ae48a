"""The roster that ledger and money read from a manifest is the one secure aggregation wrote."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fedgap.crypto import Identity, decode, encode
from fedgap.ids import FederationId, OrgId
from fedgap.records import BadRecordError, Roster
from fedgap.secagg.encoding import Encoding, Metric
from fedgap.secagg.local import LocalFederation, local_federation
from fedgap.secagg.manifest import Manifest, Member, SignedManifest, approve, check_amendment
from fedgap.secagg.wire import pack


def _federation() -> LocalFederation:
    encoding = Encoding(
        parameters=5, clip_low=0.5, clip_start=1.0, clip_high=2.0, metrics=(Metric(name="loss", bound=1.0),), seed=1
    )
    return local_federation(FederationId("fed"), {OrgId(f"org-{k}"): 5 + k for k in range(4)}, encoding, seed=1)


FEDERATION = _federation()
MANIFEST = FEDERATION.manifest
ROSTER = Roster.of(pack(MANIFEST))


def _pairs(manifest: Manifest, signers: Sequence[Identity]) -> list[tuple[bytes, bytes]]:
    return [(a.public, a.signature) for a in (approve(manifest, signer) for signer in signers)]


def _without_last(manifest: Manifest, **changes: object) -> Manifest:
    return replace(manifest, members=manifest.members[:-1], f=0, tau=3, **changes)  # type: ignore[arg-type]


def test_the_roster_says_what_the_manifest_says() -> None:
    members = [(m.id, m.name, m.public, m.weight) for m in ROSTER.members]

    assert [(m.id, m.name, m.public, m.weight) for m in MANIFEST.members] == members
    for name in ("digest", "federation", "version", "server", "f", "tau", "evaluation", "policy", "periods"):
        assert getattr(MANIFEST, name) == getattr(ROSTER, name)
    for name in ("confirm_exchanges", "openings", "amended_by", "simulation"):
        assert getattr(MANIFEST, name) == getattr(ROSTER, name)
    assert ROSTER.seat_of(OrgId("org-2")) == 2
    assert ROSTER.seat_of(OrgId("nobody")) is None
    assert ROSTER.member(OrgId("nobody")) is None


def test_a_first_version_needs_every_member() -> None:
    assert ROSTER.may_follow(None, _pairs(MANIFEST, FEDERATION.identities)) is None
    assert ROSTER.may_follow(None, _pairs(MANIFEST, FEDERATION.identities[1:])) is not None
    second = replace(MANIFEST, version=2)
    signed = _pairs(second, FEDERATION.identities)
    assert Roster.of(pack(second)).may_follow(None, signed) is not None


@pytest.mark.parametrize("signers", range(5))
def test_a_later_version_follows_as_secure_aggregation_says(signers: int) -> None:
    new_key = Identity(b"n" * 32)
    member = Member(id=OrgId("org-0"), name="org-0", public=new_key.public, weight=5)
    for changed, extra in (
        (replace(MANIFEST, version=2), []),
        (replace(MANIFEST, version=2, amended_by="all"), []),
        (replace(MANIFEST, version=2, members=(member, *MANIFEST.members[1:])), [new_key]),
        (replace(MANIFEST, version=2, members=(member, *MANIFEST.members[1:])), []),
        (replace(MANIFEST, version=3), []),
        (_without_last(MANIFEST, version=2), []),
    ):
        who = [*FEDERATION.identities[:signers], *extra]
        signed = SignedManifest(manifest=changed, approvals=tuple(approve(changed, one) for one in who))
        try:
            check_amendment(MANIFEST, signed)
            allowed = True
        except Exception:  # noqa: BLE001 - any refusal
            allowed = False
        assert allowed == (Roster.of(pack(changed)).may_follow(ROSTER, _pairs(changed, who)) is None)


def test_bytes_that_are_no_manifest_are_refused() -> None:
    value = decode(pack(MANIFEST))
    assert isinstance(value, tuple)
    broken = [
        b"",
        encode("x"),
        encode(value[:-1]),
        encode(("fedgap/1/other/1", *value[1:])),
        encode((value[0], "Not an id", *value[2:])),
        encode((*value[:3], (*value[3][::-1],), *value[4:])),
        encode((*value[:3], (), *value[4:])),
        encode((*value[:4], b"short", *value[5:])),
        encode((*value[:5], -1, *value[6:])),
    ]
    for data in broken:
        with pytest.raises(BadRecordError):
            Roster.of(data)
