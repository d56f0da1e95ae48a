"""Which versions of the manifest are one tenure, and which keys count in it."""

from dataclasses import replace

import pytest

from fedgap.crypto import Identity
from fedgap.ids import OrgId
from fedgap.secagg.manifest import Manifest, Member
from fedgap.secagg.me import Me
from fedgap.secagg.periods import most_parts
from fedgap.secagg.tenures import Tenure, tenure_of, tenures
from tests.settling.settled_run import SettledRun

RUN = SettledRun(n=4, rounds=1)
FIRST = RUN.manifest


def key(name: str) -> Identity:
    """A key."""
    return Identity(name.encode().ljust(32, b"."))


def changed(manifest: Manifest, seat: int, **what: object) -> Manifest:
    """The next version, with something changed about one member."""
    members = list(manifest.members)
    members[seat] = replace(members[seat], **what)  # type: ignore[arg-type]  # fields of a member
    return replace(manifest, version=manifest.version + 1, members=tuple(members))


def without(manifest: Manifest, seat: int) -> Manifest:
    """The next version, in which a member has left."""
    members = (*manifest.members[:seat], *manifest.members[seat + 1 :])
    return replace(manifest, version=manifest.version + 1, members=members, f=0, tau=3)


@pytest.mark.parametrize(
    ("following", "ends"),
    [
        (changed(FIRST, 1, public=key("new").public), False),
        (changed(FIRST, 1, name="Another legal name"), False),
        (replace(FIRST, version=2, amended_by="all"), False),
        (changed(FIRST, 1, weight=12), True),
        (changed(FIRST, 3, id=OrgId("org-99")), True),
        (without(FIRST, 3), True),
        (replace(FIRST, version=2, f=0, tau=4), True),
        (replace(FIRST, version=2, openings=2), True),
        (replace(FIRST, version=2, training=bytes(32)), True),
    ],
)
def test_a_tenure_ends_with_anything_but_a_key_or_a_name(following: Manifest, ends: bool) -> None:  # noqa: FBT001 - a case
    found = tenures([FIRST, following])

    assert len(found) == (2 if ends else 1)
    assert found[0].name == FIRST.digest
    assert found[-1].manifest == following
    assert [one.first for one in found] == [1, 2][: len(found)]
    assert tenure_of(found, following.digest) is found[-1]
    assert tenure_of(found, bytes(32)) is None


def test_a_roster_that_comes_back_is_another_tenure() -> None:
    second = without(FIRST, 3)
    third = replace(FIRST, version=3)

    assert [tenure.name for tenure in tenures([FIRST, second, third])] == [FIRST.digest, second.digest, third.digest]


def test_a_signature_about_a_round_counts_with_every_key_since_and_none_before() -> None:
    second = changed(FIRST, 1, public=key("second").public)
    third = changed(without(second, 3), 1, public=key("third").public)
    old, new = tenures([FIRST, second, third])
    keys = [FIRST.members[1].public, key("second").public, key("third").public]

    assert old.keys(1, since=FIRST.digest) == set(keys)
    assert old.keys(1, since=second.digest) == set(keys[1:])
    assert new.keys(1, since=third.digest) == {keys[2]}
    assert old.keys(3, since=FIRST.digest) == {FIRST.members[3].public}
    assert old.manifest.members[1].public == keys[2]
    assert old.manifest.members[3] == FIRST.members[3]


def test_we_are_in_a_tenure_with_our_newest_key_at_the_seat_we_had() -> None:
    new = Member(id=OrgId("a-newcomer"), name="New", public=key("a").public, weight=10)
    second = replace(FIRST, version=2, members=(new, *FIRST.members), tau=4)
    old, now = tenures([FIRST, second])
    me = Me(second, 1, RUN.federation.identities[0])
    ours = old.as_one_of(me)

    assert ours is not None
    assert (ours.seat, ours.manifest) == (0, FIRST)
    assert now.as_one_of(me) == me
    assert old.as_one_of(Me(second, 0, key("a"))) is None


def test_a_key_that_somebody_else_had_before_changes_nothing_in_an_older_roster() -> None:
    """Two lines with one key are no manifest; the older roster then keeps the keys it had, and those alone count."""
    taken = FIRST.members[3].public
    second = changed(without(FIRST, 3), 1, public=taken)
    old, _ = tenures([FIRST, second])

    assert old.manifest == FIRST
    assert old.as_one_of(Me(second, 1, RUN.federation.identities[3])) is None


def test_a_federation_with_one_version_has_one_tenure() -> None:
    assert Tenure.of(FIRST).manifest is FIRST
    assert Tenure.of(FIRST).later == ()


@pytest.mark.parametrize(
    ("periods", "rosters", "most"), [(1, 1, 1), (1, 3, 3), (5, 1, 5), (4, 3, 5), (1, 9, 5), (5, 4, 5)]
)
def test_each_new_roster_takes_one_of_the_openings_that_are_left(periods: int, rosters: int, most: int) -> None:
    assert most == most_parts(rounds=50, parameters=1000, openings=1, periods=periods, rosters=rosters)
