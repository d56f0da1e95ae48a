"""What a site says it spent: from its own meter, the rounds of one period only, signed for one ledger."""

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import Identity
from fedgap.crypto.codec import pack
from fedgap.flower.claims import AskClaim, claim_of, read_claim, sign_claim
from fedgap.ids import OrgId
from fedgap.records import CostClaimed
from fedgap.secagg.manifest import Member

ASH, STRANGER = Identity(b"a" * 32), Identity(b"b" * 32)
ORIGIN = bytes(32)
MEMBER = Member(id=OrgId("ash"), name="Ash", public=ASH.public, weight=1)
SECOND = AskClaim(period=2, first=3, last=4)


def metering(folder: Path) -> Path:
    """Lines of five rounds, one of which a power cut left incomplete."""
    cost = {"cpu_seconds": 1.5, "gpu_seconds": None, "energy_joules": 2.25}
    lines = [
        json.dumps({"round": number, "phases": {"train": cost, "crypto": cost, "wait": cost}}) for number in range(1, 6)
    ]
    path = folder / "metering.jsonl"
    path.write_text("\n".join([*lines, '{"round": 4, "pha']))
    return path


def test_a_claim_counts_the_work_of_its_periods_rounds_and_no_waiting(tmp_path: Path) -> None:
    claim = claim_of(SECOND, OrgId("ash"), metering(tmp_path), rows=40)

    assert {one.what: one.amount for one in claim.metered} == {"cpu-ms": 6000, "joules": 9}
    assert claim.declared == ()


def test_rows_are_declared_once_and_what_nobody_measured_is_not_claimed(tmp_path: Path) -> None:
    claim = claim_of(AskClaim(period=1, first=1, last=2), OrgId("ash"), tmp_path / "none.jsonl", rows=40)

    assert claim.metered == ()
    assert [(one.what, one.amount) for one in claim.declared] == [("rows", 40)]


def test_a_claim_is_taken_from_its_member_for_its_period_and_this_ledger_only(tmp_path: Path) -> None:
    claim = claim_of(SECOND, OrgId("ash"), metering(tmp_path), rows=40)
    answer = sign_claim(claim, ASH, origin=ORIGIN)
    for_elm = sign_claim(replace(claim, organisation=OrgId("elm")), ASH, origin=ORIGIN)

    taken = read_claim(answer, MEMBER, SECOND, origin=ORIGIN)
    assert taken is not None
    assert (claim, ASH.public) == (taken.record, taken.author)
    for wrong in (
        read_claim(sign_claim(claim, STRANGER, origin=ORIGIN), MEMBER, SECOND, origin=ORIGIN),
        read_claim(answer, MEMBER, SECOND, origin=b"o" * 32),
        read_claim(answer, MEMBER, replace(SECOND, period=3), origin=ORIGIN),
        read_claim(for_elm, MEMBER, SECOND, origin=ORIGIN),
        read_claim(answer + b"\x00", MEMBER, SECOND, origin=ORIGIN),
        read_claim(pack(SECOND), MEMBER, SECOND, origin=ORIGIN),
    ):
        assert wrong is None


@given(answer=st.binary(max_size=200))
def test_whatever_a_member_sends_is_a_claim_or_nothing(answer: bytes) -> None:
    found = read_claim(answer, MEMBER, SECOND, origin=ORIGIN)

    assert found is None or isinstance(found.record, CostClaimed)
