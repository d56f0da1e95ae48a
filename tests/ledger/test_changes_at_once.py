"""A member leaves and a policy changes between the same two periods: whose approvals count, and until when."""

from pathlib import Path

import pytest

from fedgap.crypto import digest
from fedgap.ledger import BadEntryError, Trust
from fedgap.ledger.reading import verify_file
from fedgap.ledger.store import Ledger
from fedgap.records import PolicyApproved, PolicySigned
from tests import second_verifier
from tests.ledger.changes import NEW, changed_at_once
from tests.ledger.tale import POLICY, Tale


@pytest.mark.parametrize("leaves_first", [True, False], ids=["roster first", "policy first"])
def test_either_may_come_first(tmp_path: Path, *, leaves_first: bool) -> None:
    tale, path = Tale(n=5, rounds=2, periods=2), tmp_path / "l.sqlite"
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        for fact in changed_at_once(tale, leaves_first=leaves_first):
            tale.head = ledger.append(fact)
    found = verify_file(path, Trust())

    assert (found.fault, found.version, len(found.members)) == (None, 2, 4)
    assert second_verifier.check(path) is None


def test_who_has_left_does_not_approve_and_who_has_joined_does(tmp_path: Path) -> None:
    """Three of five approve, one of whom leaves: two of the four that remain are too few, a third of them is enough."""
    tale = Tale(n=5, periods=2)
    approved = [
        tale.by(PolicyApproved(version=2, policy=digest("policy", NEW), from_period=2, organisation=org))
        for org in tale.orgs
    ]
    signed = PolicySigned(version=2, policy=NEW, from_period=2)
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(PolicySigned(version=1, policy=POLICY, from_period=1), *approved[2:])
        everybody = list(tale.keys.values())
        tale.orgs = tale.orgs[:-1]
        ledger.append(tale.signed(tale.version(2, f=1, tau=3), *everybody))
        with pytest.raises(BadEntryError, match="2 members approved a policy before; 3 must"):
            ledger.append(signed)
        ledger.append(approved[0], signed)
    assert verify_file(tmp_path / "l.sqlite", Trust()).fault is None
    assert second_verifier.check(tmp_path / "l.sqlite") is None
