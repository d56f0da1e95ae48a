"""Later versions of the policy at the server: shown, signed by members, in the ledger once a quorum is there."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedgap.crypto import Identity
from fedgap.flower.book import Book
from fedgap.flower.enrolment import ApproveRequest
from fedgap.flower.office import BadRequestError, Office
from fedgap.flower.policies import Policies, PolicyVersion
from fedgap.flower.service import Service
from fedgap.ids import FederationId, OrgId
from fedgap.ledger import Signed
from fedgap.records import PolicyApproved, PolicySigned, Record, sign_record
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.local import local_federation
from fedgap.secagg.manifest import SignedManifest
from tests.funding.cases import policy

ENCODING = Encoding(parameters=3, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
NAMES = [OrgId(name) for name in ("a", "b", "c", "d")]
LOCAL = local_federation(FederationId("test"), dict.fromkeys(NAMES, 10), ENCODING, seed=1)
MANIFEST = LOCAL.manifest
FIRST = PolicySigned(version=1, policy=policy().data, from_period=1)
SECOND = PolicyVersion(version=2, policy=policy(budgets=(100_000, 7)).data, from_period=2)


@dataclass
class Written:
    """A ledger as far as policies go."""

    policies: list[PolicySigned] = field(default_factory=lambda: [FIRST])
    facts: list[Record | Signed] = field(default_factory=list)
    origin: bytes = MANIFEST.digest

    def add(self, *facts: Record | Signed) -> None:
        """Append."""
        self.facts += facts
        self.policies += [fact for fact in facts if isinstance(fact, PolicySigned)]


@pytest.fixture
def policies(tmp_path: Path) -> Policies:
    """A server that shows the second version."""
    made = Policies(Book(tmp_path / "book.sqlite"))
    made.propose(SECOND)
    return made


def office(policies: Policies) -> Office:
    """The office of that server."""
    people = [SimpleNamespace(org=m.id, public=m.public, standing="approved") for m in MANIFEST.members]
    versions = [SignedManifest(manifest=MANIFEST)]
    roster = SimpleNamespace(versions=lambda: versions, proposed=lambda: None)
    book = policies.book
    service = SimpleNamespace(roster=roster, book=book, manifests=lambda: SimpleNamespace(current=None))
    service.signable = lambda org: Service.signable(service, org)  # type: ignore[arg-type]  # what it looks at is there
    book.organisations = lambda: people  # type: ignore[method-assign,assignment,return-value]  # enrolled elsewhere
    return Office(service)


def request(seat: int, version: PolicyVersion = SECOND, *, key: Identity | None = None) -> ApproveRequest:
    """What a member's client hands in."""
    org = MANIFEST.members[seat].id
    signature = sign_record(version.approved(org), key or LOCAL.identities[seat], origin=MANIFEST.digest)
    name = version.name(MANIFEST.digest)
    return ApproveRequest(organisation=org, manifest=name.hex(), signature=signature.hex())


def approve(policies: Policies, *seats: int) -> None:
    """Let these members approve, through the office."""
    for seat in seats:
        office(policies).approve(request(seat).model_dump_json().encode())


def test_it_waits_for_a_quorum_and_then_stands_behind_the_members_approvals(policies: Policies) -> None:
    ledger = Written()
    assert policies.take(ledger, MANIFEST, first=2) == ""
    approve(policies, 0, 2)
    assert policies.take(ledger, MANIFEST, first=2) == ""
    assert [(n.version, n.in_force, len(n.approved)) for n in policies.notices(origin=ledger.origin)] == [(2, False, 2)]
    approve(policies, 3)

    assert "applies from period 2" in policies.take(ledger, MANIFEST, first=2)
    *approved, signed = ledger.facts
    assert [one.record for one in approved if isinstance(one, Signed)] == [
        PolicyApproved(version=2, policy=SECOND.rule.digest, from_period=2, organisation=NAMES[seat])
        for seat in (0, 2, 3)
    ]
    assert (signed, policies.in_force(), policies.proposed()) == (SECOND.signed, (SECOND,), None)
    assert [n.in_force for n in policies.notices(origin=ledger.origin)] == [True]
    assert policies.take(ledger, MANIFEST, first=2) == ""


def test_whoever_is_no_member_or_signs_something_else_counts_nothing(policies: Policies) -> None:
    stranger = Identity(b"x" * 32)
    later = PolicyVersion(version=2, policy=SECOND.policy, from_period=3)
    tampered = request(1).model_copy(update={"signature": bytes(64).hex()})
    other_member = request(1).model_copy(update={"organisation": "a"})
    for wrong in (request(1, key=stranger), request(1, later), tampered, other_member):
        with pytest.raises(BadRequestError):
            office(policies).approve(wrong.model_dump_json().encode())
    renamed = request(1, later).model_copy(update={"manifest": SECOND.name(MANIFEST.digest).hex()})
    with pytest.raises(BadRequestError):
        office(policies).approve(renamed.model_dump_json().encode())

    assert policies.approvals(SECOND, MANIFEST, origin=MANIFEST.digest) == []


def test_signatures_that_came_into_the_book_otherwise_are_checked_again(policies: Policies) -> None:
    name = SECOND.name(MANIFEST.digest)
    for member in MANIFEST.members:
        with policies.book._open() as book:
            book.execute("INSERT INTO approval VALUES (?, ?, ?)", (name, member.public, bytes(64)))
    ledger = Written()

    assert policies.take(ledger, MANIFEST, first=2) == ""
    assert ledger.facts == []


def test_it_is_dropped_when_its_period_begins_without_a_quorum(policies: Policies) -> None:
    ledger = Written()
    approve(policies, 0, 1)

    assert "not approved before its period began" in policies.take(ledger, MANIFEST, first=3)
    assert (policies.proposed(), ledger.facts) == (None, [])


def test_a_server_killed_behind_the_ledger_tells_the_book_afterwards(policies: Policies) -> None:
    """The ledger is ahead of the book: nothing is written twice, and members are shown what is in force."""
    ledger = Written(policies=[FIRST, SECOND.signed])
    approve(policies, 0, 1, 2)

    assert policies.take(ledger, MANIFEST, first=2) == ""
    assert (policies.in_force(), policies.proposed(), ledger.facts) == ((SECOND,), None, [])


def test_another_version_of_the_same_number_is_dropped(policies: Policies) -> None:
    other = PolicySigned(version=2, policy=policy(budgets=(100_000, 9)).data, from_period=2)
    ledger = Written(policies=[FIRST, other])
    approve(policies, 0, 1, 2)

    assert "one of this number already" in policies.take(ledger, MANIFEST, first=2)
    assert ([one.policy for one in policies.in_force()], policies.proposed()) == ([other.policy], None)
