"""What the operator's command proposes, and what it refuses before anybody is asked."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedgap.config import ConfigError
from fedgap.errors import FedgapError, UsageError
from fedgap.flower import policy_work
from fedgap.flower.home import Home
from fedgap.flower.policies import Policies
from fedgap.flower.policy_work import AlreadyProposedError, NotFoundedError
from fedgap.funding import NoPolicyError
from fedgap.funding.amendment import BadAmendmentError, LatePolicyError
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.wire import pack
from tests.cli.command import command
from tests.flower.serving import home_in
from tests.flower.test_consent import TEXT
from tests.flower.test_policies import MANIFEST

NEXT = TEXT.replace("1000.00", "500.00").replace("500.00", "1000.00", 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A federation of four with two periods, before its first round, and a new policy beside it."""
    home = home_in(tmp_path, training={"rounds": 20}, settlement={"periods": 2}, federation={"policy": "policy.toml"})
    (home.folder / "policy.toml").write_text(TEXT)
    (home.folder / "next.toml").write_text(NEXT)
    home.book().keep("manifest-1", pack(SignedManifest(manifest=replace(MANIFEST, periods=2))))
    return home


def propose(home: Home, text: str | None = None, *, from_period: int | None = None) -> policy_work.Proposal:
    """Propose what stands in next.toml."""
    if text is not None:
        (home.folder / "next.toml").write_text(text)
    return policy_work.propose(home, home.folder / "next.toml", from_period=from_period)


def test_a_proposal_says_what_changes_from_when_and_who_has_to_approve(home: Home) -> None:
    made = propose(home)

    assert (made.version, made.from_period, made.needed) == (2, 2, 3)
    assert made.changes == ("budget of period 2: 1,000.00 EUR, now 500.00 EUR",)
    assert made.unapproved == ("a", "b", "c", "d")
    assert policy_work.proposed(home) == made == propose(home)


def test_another_proposal_waits_until_the_first_is_taken_back(home: Home) -> None:
    first = propose(home)
    with pytest.raises(AlreadyProposedError):
        propose(home, NEXT.replace("500.00", "400.00"))
    assert policy_work.proposed(home) == first
    policy_work.withdraw(home)
    with pytest.raises(UsageError):
        policy_work.withdraw(home)
    assert propose(home).digest != first.digest


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ConfigError),
        (TEXT, BadAmendmentError),
        (NEXT.replace("EUR", "CHF"), BadAmendmentError),
        (NEXT + '[[period]]\nbudget = "1.00"\n', BadAmendmentError),
        (NEXT.replace("1000.00", "1.00"), BadAmendmentError),
    ],
)
def test_what_cannot_follow_is_refused_and_nothing_is_proposed(home: Home, text: str, error: type[FedgapError]) -> None:
    with pytest.raises(error):
        propose(home, text)
    assert policy_work.proposed(home) is None


def test_a_period_that_runs_or_is_over_is_not_touched(home: Home) -> None:
    for wrong in (0, 1, 3):
        with pytest.raises(LatePolicyError):
            propose(home, from_period=wrong)
    for number in range(1, 11):
        (home.state / "sums" / f"{number:06d}.bin").write_bytes(b"")
    with pytest.raises(LatePolicyError, match="have begun"):
        propose(home)
    assert policy_work.proposed(home) is None


def test_before_the_members_signed_the_first_or_without_one_there_is_none_to_change(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    (home.folder / "next.toml").write_text(NEXT)
    with pytest.raises(NotFoundedError):
        propose(home)
    home.book().keep("manifest-1", pack(SignedManifest(manifest=MANIFEST)))
    with pytest.raises(NoPolicyError):
        propose(home)
    assert Policies(home.book()).proposed() is None


def test_the_command_says_it_in_words(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = command(monkeypatch, capsys, tmp_path)
    ended = run("server", "policy", home.folder / "next.toml", "--dir", home.folder)
    assert ended.status == 0, ended.err
    assert "budget of period 2: 1,000.00 EUR, now 500.00 EUR" in ended.out
    assert "fedgap client approve " in ended.out
    assert "3 members must approve it" in run("server", "status", home.folder).out
    assert run("server", "policy", "--dir", home.folder).status == 2
    assert run("server", "policy", "--withdraw", "--dir", home.folder).status == 0
    assert "must approve" not in run("server", "status", home.folder).out
