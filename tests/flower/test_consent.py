"""A later policy at a site: a person decides, a signature is over exactly what was read, and no silence is consent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto import Identity
from fedgap.errors import FedgapError
from fedgap.flower.approvals import NeedsApprovalError
from fedgap.flower.consent import Consent
from fedgap.flower.desk import Desk
from fedgap.flower.enrolment import ApproveRequest, ManifestReply, PolicyNotice
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.policies import PolicyVersion
from fedgap.ids import OrgId
from fedgap.records import is_record_signed, write_record
from fedgap.secagg.periods import Periods
from tests.funding.cases import policy

ORIGIN, KEY, ASH = b"o" * 32, Identity(b"a" * 32), OrgId("ash")
TEXT = '[policy]\ncurrency = "EUR"\n[[period]]\nbudget = "1000.00"\n[[period]]\nbudget = "1000.00"\n'
SECOND = PolicyVersion(version=2, policy=policy(budgets=(100_000, 5)).data, from_period=2)


class Tray(Desk):
    """A desk without a network that keeps what is handed in."""

    def __init__(self) -> None:
        self.handed: list[ApproveRequest] = []

    def approve(self, request: ApproveRequest) -> None:
        """Keep it."""
        self.handed.append(request)


@pytest.fixture
def consent(tmp_path: Path) -> Consent:
    """A site in a run of 20 rounds and two periods."""
    folder = SiteFolder(tmp_path)
    membership: dict[str, Any] = {"address": "https://a", "ca": None, "federation": "f", "organisation": "ash"}
    membership |= {"document": {}, "plan": "0" * 64, "organisations": [], "joined": "today"}
    folder.keep(Membership(**membership))
    return Consent(folder=folder, org=ASH, identity=KEY, origin=ORIGIN, periods=Periods(20, 2))


def approve(consent: Consent, version: PolicyVersion = SECOND) -> None:
    """What `fedgap client approve` does."""
    membership = consent.folder.membership()
    consent.folder.keep(membership.model_copy(update={"manifests": [version.name(ORIGIN).hex()]}))


def look(
    consent: Consent, *versions: PolicyVersion, in_force: bool = False, applied: int = 3, approved: tuple[str, ...] = ()
) -> tuple[list[FedgapError], list[ApproveRequest]]:
    """Let the site look at these; give what waits, and what it handed in."""
    tray = Tray()
    policies = tuple(
        PolicyNotice(
            version=one.version,
            policy=one.policy.hex(),
            from_period=one.from_period,
            in_force=in_force,
            approved=approved,
        )
        for one in versions
    )
    reply = ManifestReply(current=None, proposed=None, shape=None, federation={}, policy=TEXT, policies=policies)
    return consent.look(reply, tray, applied=applied), tray.handed


def test_a_person_is_told_what_changes_and_only_then_it_is_signed_for_the_ledger(consent: Consent) -> None:
    (waits,), handed = look(consent, SECOND)
    assert isinstance(waits, NeedsApprovalError)
    assert "budget of period 2: 1,000.00 EUR, now 0.05 EUR" in waits.cause
    assert SECOND.name(ORIGIN).hex() in waits.remedy
    assert handed == []
    consent.check(20)  # it is not in force: rounds go on

    approve(consent)
    waiting, (request,) = look(consent, SECOND)
    assert waiting == []
    assert request.manifest == SECOND.name(ORIGIN).hex()
    record = write_record(SECOND.approved(ASH))
    assert is_record_signed(KEY.public, bytes.fromhex(request.signature), record, origin=ORIGIN)
    assert look(consent, SECOND, approved=(KEY.public.hex(),)) == ([], [])


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, policy=policy(budgets=(100_000, 6)).data),
        replace(SECOND, version=3),
        replace(SECOND, from_period=1),
        replace(SECOND, policy=policy(budgets=(1, 5)).data),
        replace(SECOND, policy=policy(currency="CHF").data),
        replace(SECOND, policy=b"\x00"),
    ],
)
def test_another_version_than_the_approved_one_is_not_signed(consent: Consent, other: PolicyVersion) -> None:
    approve(consent)
    waiting, handed = look(consent, other)

    assert len(waiting) == 1
    assert handed == []


def test_a_period_that_has_begun_cannot_be_changed_even_with_a_persons_approval(consent: Consent) -> None:
    approve(consent)
    assert look(consent, SECOND, applied=11)[0][0].code == "funding.late-policy"
    assert look(consent, SECOND, applied=10)[0] == []


def test_the_site_stays_away_from_the_periods_of_a_policy_in_force_that_nobody_here_approved(consent: Consent) -> None:
    look(consent, SECOND, in_force=True)
    consent.check(10)
    with pytest.raises(NeedsApprovalError):
        consent.check(11)

    approve(consent)
    assert look(consent, SECOND, in_force=True, applied=15) == ([], [])
    consent.check(20)


def test_an_unreadable_policy_in_force_keeps_the_site_away_too(consent: Consent) -> None:
    look(consent, replace(SECOND, policy=b"\x00"), in_force=True)

    with pytest.raises(FedgapError):
        consent.check(11)
