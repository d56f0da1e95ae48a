"""The numbers of the protocol: the table of the design, and the two inequalities everything rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.quorum import Quorum


@pytest.mark.parametrize(
    ("n", "f", "tau", "u_min"), [(3, 0, 3, 3), (4, 1, 3, 3), (10, 3, 7, 7), (30, 9, 21, 21), (100, 33, 67, 67)]
)
def test_the_defaults_are_those_of_the_design(n: int, f: int, tau: int, u_min: int) -> None:
    quorum = Quorum.of(n)
    assert (quorum.f, quorum.tau, quorum.t, quorum.u_min) == (f, tau, tau, u_min)
    assert not quorum.weaker


@given(st.integers(3, 2**14))
def test_two_quorums_share_an_honest_member_and_a_sum_hides_each(n: int) -> None:
    quorum = Quorum.of(n)
    assert 2 * quorum.tau > n + quorum.f
    assert quorum.u_min - quorum.f >= 2


def test_three_may_forgive_one_silence_and_that_is_weaker() -> None:
    quorum = Quorum.of(3, tau=2)
    assert (quorum.t, quorum.u_min, quorum.weaker) == (2, 3, True)


def test_two_organisations_are_refused_with_the_reason() -> None:
    with pytest.raises(BadManifestError, match="reads the other's update"):
        Quorum.of(2)


@pytest.mark.parametrize(("f", "tau"), [(1, 2), (-1, 3), (3, 5), (0, 2)])
def test_a_quorum_that_does_not_protect_is_refused(f: int, tau: int) -> None:
    with pytest.raises(BadManifestError):
        Quorum.of(4, f=f, tau=tau)


@pytest.mark.parametrize(("t", "u_min"), [(6, 7), (7, 6), (7, 11)])
def test_shares_and_smallest_sum_cannot_be_chosen_freely(t: int, u_min: int) -> None:
    with pytest.raises(BadManifestError):
        Quorum(n=10, f=3, tau=7, t=t, u_min=u_min)


def test_more_members_than_seats_are_refused() -> None:
    with pytest.raises(BadManifestError, match="more than"):
        Quorum.of(2**14 + 1)
