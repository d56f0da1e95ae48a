"""The rules between records: each broken one is refused with its reason, by the writer and by the verifier alike."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.crypto import Identity, digest
from fedgap.ids import OrgId
from fedgap.ledger import BadEntryError, Checkpoint, LedgerError, Signed, Trust
from fedgap.ledger.reading import verify_file
from fedgap.ledger.store import Ledger
from fedgap.ledger.story import _RULES, Story
from fedgap.records import (
    KINDS,
    AggregateReleased,
    CheckpointCosigned,
    CreditConfirmed,
    DirectionCommitted,
    ManifestSigned,
    MemberChanged,
    OpeningAnswered,
    PolicySigned,
    Record,
    RosterAgreed,
    RoundOpened,
    UtilityObserved,
)
from tests import second_verifier
from tests.ledger.tale import POLICY, Tale

Facts = list[Record | Signed]
Change = Callable[[Tale, Facts], Iterable[Record | Signed]]


def kind_of(fact: Record | Signed) -> str:
    """Class of a record, signed or not."""
    return type(fact.record if isinstance(fact, Signed) else fact).__name__


def other(kind: str, **changes: Any) -> Change:  # noqa: ANN401 - fields of any record
    """Change fields of the first record of a kind; whoever signs it signs the changed one."""

    def change(tale: Tale, facts: Facts) -> Facts:
        at = next(at for at, fact in enumerate(facts) if kind_of(fact) == kind)
        fact = facts[at]
        if isinstance(fact, Signed):
            org = OrgId(fact.record.organisation)  # type: ignore[union-attr]  # these kinds name one
            facts[at] = tale.by(replace(fact.record, **changes), org)
        else:
            facts[at] = replace(fact, **changes)
        return facts

    return change


def twice(kind: str) -> Change:
    """Say the first record of a kind again at once."""

    def change(tale: Tale, facts: Facts) -> Facts:
        del tale
        at = next(at for at, fact in enumerate(facts) if kind_of(fact) == kind)
        return [*facts[: at + 1], facts[at], *facts[at + 1 :]]

    return change


def without(kind: str) -> Change:
    """Leave out every record of a kind."""
    return lambda tale, facts: [fact for fact in facts if kind_of(fact) != kind]  # noqa: ARG005 - one signature for all


def _voices_of_another_round(tale: Tale, facts: Facts) -> Facts:
    at, *_ = (at for at, fact in enumerate(facts) if isinstance(fact, AggregateReleased))
    released = facts[at]
    assert isinstance(released, AggregateReleased)
    strange = tale.released(9, sid=digest("sid", 9), t2=digest("t2", 9))
    return [*facts[:at], replace(released, voices=strange.voices), *facts[at + 1 :]]


def _tried_again_after_its_sum(tale: Tale, facts: Facts) -> Facts:
    del tale
    opened = next(fact for fact in facts if isinstance(fact, RoundOpened))
    at = next(at for at, fact in enumerate(facts) if isinstance(fact, AggregateReleased))
    return [*facts[: at + 1], replace(opened, attempt=2), *facts[at + 1 :]]


def _answer_about_itself(tale: Tale, facts: Facts) -> Facts:
    at = next(at for at, fact in enumerate(facts) if kind_of(fact) == "OpeningAnswered")
    record = getattr(facts[at], "record", None)
    assert isinstance(record, OpeningAnswered)
    answers = tuple(replace(answer, peer=record.organisation) for answer in record.answers[:1])
    return [*facts[:at], tale.by(replace(record, answers=answers)), *facts[at + 1 :]]


def _signed_by_another(kind: str) -> Change:
    def change(tale: Tale, facts: Facts) -> Facts:
        at = next(at for at, fact in enumerate(facts) if kind_of(fact) == kind)
        fact = facts[at]
        assert isinstance(fact, Signed)
        names = fact.record.organisation  # type: ignore[union-attr]  # these kinds name one
        facts[at] = tale.by(fact.record, next(org for org in tale.orgs if org != names))
        return facts

    return change


BROKEN: dict[str, tuple[str, Change]] = {
    "a policy the manifest does not name": ("bad-policy", other("PolicySigned", policy=b"another")),
    "a policy with a gap in its versions": ("bad-policy", other("PolicySigned", version=2)),
    "a first policy for later": ("bad-policy", other("PolicySigned", from_period=2)),
    "a policy that changes nothing": ("bad-policy", lambda tale, facts: [*facts, _again(2)]),  # noqa: ARG005
    "a policy for a period that was written about": ("bad-policy", lambda tale, facts: [*facts, _policy(1)]),  # noqa: ARG005
    "a policy that nobody approved": ("bad-policy", lambda tale, facts: [*facts, _policy(9)]),  # noqa: ARG005
    "an approved policy before the first": ("bad-policy", lambda tale, facts: [*tale.amendment(), *facts]),
    "an approved policy for a period that was written about": (
        "bad-policy",
        lambda tale, facts: [*facts, *tale.amendment(first=1)],
    ),
    "an approval signed by another member": (
        "wrong-author",
        lambda tale, facts: _signed_by_another("PolicyApproved")(tale, [facts[0], *tale.amendment(), *facts[1:]]),
    ),
    "a policy after the first round": ("bad-policy", lambda tale, facts: [*facts[1:5], facts[0]]),  # noqa: ARG005
    "a round under another manifest": ("wrong-manifest", other("RoundOpened", manifest=bytes(32))),
    "a cohort with a stranger": ("wrong-members", other("RoundOpened", cohort=(OrgId("who"),))),
    "a cohort out of order": ("wrong-members", other("RoundOpened", cohort=(OrgId("org-1"), OrgId("org-0")))),
    "a member twice": ("wrong-members", other("RoundOpened", cohort=(OrgId("org-0"), OrgId("org-0")))),
    "a roster of another attempt": ("out-of-order", other("RosterAgreed", attempt=2)),
    "a roster before its round": ("out-of-order", without("RoundOpened")),
    "a sum of another round": ("out-of-order", other("AggregateReleased", round=2)),
    "a sum without a roster": ("out-of-order", without("RosterAgreed")),
    "another agreement": ("wrong-agreement", other("AggregateReleased", agreed=bytes(32))),
    "another list of survivors": ("wrong-agreement", other("AggregateReleased", survivors=())),
    "too few voices": ("too-few-voices", other("AggregateReleased", voices=())),
    "voices of another round": ("bad-voice", _voices_of_another_round),
    "a direction of a round without a sum": ("out-of-order", other("DirectionCommitted", round=2)),
    "a utility of a round without a sum": ("out-of-order", other("UtilityObserved", round=1)),
    "an answer signed by another member": ("wrong-author", _signed_by_another("OpeningAnswered")),
    "an answer about itself": ("stranger", _answer_about_itself),
    "an opening the manifest does not have": ("too-many-openings", other("OpeningAnswered", opening=2)),
    "a value of a stranger": ("stranger", other("ContributionEstimated", organisation=OrgId("who"))),
    "a value vouched for by a stranger": ("stranger", other("ContributionEstimated", vouched_by=(OrgId("who"),))),
    "a confirmed statement that is not there": ("unknown-statement", other("CreditConfirmed", statement=bytes(32))),
    "an objection to one that is not there": ("unknown-statement", other("CreditObjected", period=2)),
    "a cost of a stranger": ("stranger", other("CostBounded", organisation=OrgId("who"))),
    "a bound given twice": ("repeated", twice("CostBounded")),
    "a settlement under another policy": ("unknown-policy", other("FundingSettled", policy=bytes(32))),
    "a period settled twice": ("out-of-order", twice("FundingSettled")),
    "a round opened twice": ("out-of-order", twice("RoundOpened")),
    "another attempt at a round that has its sum": ("out-of-order", _tried_again_after_its_sum),
    "a roster agreed on twice": ("repeated", twice("RosterAgreed")),
    "a sum released twice": ("repeated", twice("AggregateReleased")),
    "a direction twice": ("out-of-order", twice("DirectionCommitted")),
    "a utility twice": ("out-of-order", twice("UtilityObserved")),
    "an answer twice": ("repeated", twice("OpeningAnswered")),
    "an objection twice": ("repeated", twice("CreditObjected")),
    "another first manifest": ("bad-manifest", lambda tale, facts: [tale.signed(tale.manifest), *facts]),
    "a change nobody signed": ("wrong-manifest", lambda tale, facts: [_change(tale), *facts]),
}


def _policy(first: int) -> PolicySigned:
    return PolicySigned(version=2, policy=b"another rule", from_period=first)


def _again(first: int) -> PolicySigned:
    return PolicySigned(version=2, policy=POLICY, from_period=first)


def _change(tale: Tale) -> MemberChanged:
    return MemberChanged(organisation=tale.orgs[0], version=2, change="key", manifest=bytes(32))


def write(tale: Tale, path: Path, facts: Iterable[Record | Signed]) -> int:
    """Write facts until one is refused; tell how many were written."""
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        for fact in facts:
            tale.head = ledger.append(fact)
        return ledger.size


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_refused(name: str, tmp_path: Path) -> None:
    fault, change = BROKEN[name]
    tale = Tale()
    facts = list(change(tale, list(tale.story())))

    with pytest.raises(BadEntryError) as caught:
        write(tale, tmp_path / "l.sqlite", facts)

    assert fault == caught.value.fault


def test_the_first_record_is_a_manifest_of_the_server_that_all_members_approved(tmp_path: Path) -> None:
    tale = Tale()
    for founding in (
        tale.signed(tale.manifest, *list(tale.keys.values())[1:]),
        tale.signed(tale.version(2)),
        ManifestSigned(manifest=b"none", approvals=()),
    ):
        with pytest.raises(BadEntryError):
            Ledger(tmp_path / "l.sqlite", tale.server, founding=founding)
    with pytest.raises(BadEntryError, match="key that is not the server's"):
        Ledger(tmp_path / "l.sqlite", Identity(b"other" + bytes(27)), founding=tale.signed(tale.manifest))


def test_a_member_changes_its_key_and_goes_on_with_the_new_one(tmp_path: Path) -> None:
    tale = Tale(rounds=1)
    old_key = tale.keys[tale.orgs[-1]]
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        for fact in tale.story():
            tale.head = ledger.append(fact)
        head = ledger.append(*tale.changed(2))
        late = CheckpointCosigned(organisation=tale.orgs[-1], size=head.size, root=head.root)
        with pytest.raises(BadEntryError, match="may not make"):
            ledger.append(Signed.by(old_key, late, origin=ledger.origin))
        ledger.append(tale.by(late))
        for fact in tale.round(2):
            ledger.append(fact)
        with pytest.raises(BadEntryError, match="another manifest"):
            ledger.append(*(fact for fact in tale.round(3, tale.version(1)) if isinstance(fact, RoundOpened)))
        assert ledger.roster.version == 2


def test_a_sum_of_an_organisation_that_has_left_is_refused(tmp_path: Path) -> None:
    """A roster without it took effect between its upload and the sum: nobody can check the sum any more."""
    tale = Tale(n=4)
    facts = list(tale.story())
    at = next(at for at, fact in enumerate(facts) if isinstance(fact, AggregateReleased))
    tale.orgs = tale.orgs[1:]
    second = tale.signed(tale.version(2, f=0, tau=3))
    with pytest.raises(BadEntryError) as caught:
        write(tale, tmp_path / "l.sqlite", [*facts[:at], second, facts[at]])

    assert caught.value.fault == "wrong-members"


def test_the_server_may_change_its_key_with_the_members_approval(tmp_path: Path) -> None:
    tale = Tale(rounds=1)
    path = tmp_path / "l.sqlite"
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(PolicySigned(version=1, policy=POLICY, from_period=1))
        new = Identity(b"n" * 32)
        second = tale.version(2, server=new.public)
        with pytest.raises(BadEntryError):
            ledger.hand_over(tale.signed(second, tale.keys[tale.orgs[0]]), new)
        ledger.append(UtilityObserved(round=0, utility=1, evaluation=bytes(32)))
        ledger.hand_over(tale.signed(second), new)
        tale.manifest = second
        ledger.append(*tale.round(1))
    with pytest.raises(LedgerError):
        Ledger(path, tale.server)
    with Ledger(path, new) as ledger:
        ledger.append(*tale.round(2))
    assert verify_file(path, Trust()).fault is None


def test_a_version_with_another_key_of_the_server_is_signed_by_either_key() -> None:
    tale, new = Tale(), Identity(b"n" * 32)
    second = tale.signed(tale.version(2, server=new.public))
    for author, is_right in ((tale.server, True), (new, True), (tale.keys[tale.orgs[0]], False)):
        story = Story(lambda _: None)
        story.tell(tale.signed(tale.manifest), tale.server.public)
        with nullcontext() if is_right else pytest.raises(BadEntryError, match="not the server's"):
            story.tell(second, author.public)
        assert story.roster.version == 1 + is_right


def test_a_funder_with_a_key_of_its_own_signs_every_version_of_the_policy(tmp_path: Path) -> None:
    tale, funder = Tale(), Identity(b"f" * 32)
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        first = PolicySigned(version=1, policy=POLICY, from_period=1)
        ledger.append(Signed.by(funder, first, origin=ledger.origin))
        *approved, second = tale.amendment()
        assert isinstance(second, PolicySigned)
        ledger.append(*approved)
        with pytest.raises(BadEntryError, match="may not make"):
            ledger.append(second)
        ledger.append(Signed.by(funder, second, origin=ledger.origin))


def test_a_later_policy_needs_the_approval_of_a_quorum_to_exactly_what_is_signed(tmp_path: Path) -> None:
    tale = Tale(n=5)
    *approved, second = tale.amendment()
    assert isinstance(second, PolicySigned)
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(PolicySigned(version=1, policy=POLICY, from_period=1))
        ledger.append(*approved[: tale.manifest.tau - 1])
        for wanted in (second, replace(second, from_period=3), replace(second, policy=b"all for one")):
            with pytest.raises(BadEntryError, match="approved a policy before"):
                ledger.append(wanted)
        with pytest.raises(BadEntryError, match="already in the ledger"):
            ledger.append(approved[0])
        ledger.append(approved[tale.manifest.tau - 1])
        for other_one in (replace(second, from_period=3), replace(second, policy=b"all for one")):
            with pytest.raises(BadEntryError, match="0 members approved"):
                ledger.append(other_one)
        ledger.append(second)
        with pytest.raises(BadEntryError, match="does not follow"):
            ledger.append(approved[-1])  # too late
    assert verify_file(tmp_path / "l.sqlite", Trust()).fault is None
    assert second_verifier.check(tmp_path / "l.sqlite") is None


def test_in_a_simulation_nobody_need_approve_a_policy(tmp_path: Path) -> None:
    tale = Tale()
    tale.manifest = tale.version(1, simulation=True)
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(PolicySigned(version=1, policy=POLICY, from_period=1), _policy(2))
    assert second_verifier.check(tmp_path / "l.sqlite") is None


def test_a_simulation_may_leave_out_the_members_signatures_and_says_so(tmp_path: Path) -> None:
    tale = Tale(rounds=1)
    tale.manifest = tale.version(1, simulation=True)
    tale.origin = tale.manifest.digest
    facts = [
        replace(fact, voices=()) if isinstance(fact, AggregateReleased) else fact
        for fact in tale.story()
        if not isinstance(fact, RosterAgreed)
    ]
    write(tale, tmp_path / "l.sqlite", facts)
    found = verify_file(tmp_path / "l.sqlite", Trust())

    assert found.fault is None
    assert found.simulation
    assert found.unsigned_sums == 1


def test_a_co_signed_checkpoint_is_one_this_ledger_had(tmp_path: Path) -> None:
    tale = Tale()
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        head = ledger.append(PolicySigned(version=1, policy=POLICY, from_period=1))
        ledger.append(tale.by(head.cosigned(tale.orgs[0])))
        for size, root in ((0, head.root), (1, head.root), (9, head.root), (2, bytes(32))):
            wrong = Checkpoint(origin=head.origin, size=size, root=root, signature=head.signature)
            with pytest.raises(BadEntryError, match="co-signs a history"):
                ledger.append(tale.by(wrong.cosigned(tale.orgs[0])))
        assert ledger.size == 3
        later = ledger.append(tale.by(head.cosigned(tale.orgs[1])))
        ledger.append(tale.by(later.cosigned(tale.orgs[0])), tale.by(later.cosigned(tale.orgs[2])))
        ledger.append(tale.by(head.cosigned(tale.orgs[2])))
    found = verify_file(tmp_path / "l.sqlite", Trust()).cosigned
    assert found == {tale.orgs[0]: 4, tale.orgs[1]: 2, tale.orgs[2]: 4}


def test_a_record_for_another_federation_is_refused(tmp_path: Path) -> None:
    tale, elsewhere = Tale(), Tale(seed=1, n=4)
    said = CreditConfirmed(period=1, organisation=tale.orgs[0], statement=bytes(32))
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        assert elsewhere.keys[tale.orgs[0]].public == tale.keys[tale.orgs[0]].public
        with pytest.raises(BadEntryError, match="did not sign"):
            ledger.append(elsewhere.by(said))


def test_the_rules_know_every_kind_that_has_one() -> None:
    """Verdicts have none; manifests are checked before the table."""
    assert {cls.__name__ for cls in KINDS.values()} - {cls.__name__ for cls in _RULES} == {"ManifestSigned", "Verdict"}
    assert {OpeningAnswered, DirectionCommitted, UtilityObserved} <= set(_RULES)
