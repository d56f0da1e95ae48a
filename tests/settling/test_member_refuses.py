"""What a member does not sign and does not open, because it cannot check it or because it is not what it should be."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fedgap.errors import UsageError
from fedgap.secagg.certificates import Listing
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.errors import BadServerMessageError, RefusalError
from fedgap.secagg.evaluation import Row
from fedgap.secagg.inspection import UnprovenDirectionError
from fedgap.secagg.settlement import Close, seal_settlement
from fedgap.secagg.wire import pack
from tests.settling.settled_run import Numbered, SettledRun, normal_directions
from tests.settling.test_server_asks_for_more import closed, refused_by_all


def test_a_member_that_cannot_recompute_opens_nothing() -> None:
    run = closed()
    run.settler = replace(run.settler, assessor=None)
    run.members = [run.member(seat) for seat in range(run.n)]

    refused_by_all(run, run.shown(), UnprovenDirectionError, provable=False)


@pytest.mark.parametrize("how", ["raises", "not-finite", "other-length"])
def test_a_member_whose_own_computation_fails_opens_nothing(how: str) -> None:
    run = closed()
    bad = np.full(run.d, np.inf) if how == "not-finite" else np.ones(run.d + 1)

    class Failing:
        """An assessor that cannot."""

        def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
            if how == "raises":
                raise UsageError("no rows are installed here")
            del listing, rows
            return [bad]

    run.settler = replace(run.settler, assessor=Failing())
    run.members = [run.member(seat) for seat in range(run.n)]
    for member in run.members:
        with pytest.raises(RefusalError):
            member.handle(seal_settlement(run.server.identity, run.shown()))


def test_a_malformed_offer_is_refused() -> None:
    run = SettledRun(rounds=1).run()
    close = Close(manifest=run.manifest.digest, outcome=run.outcomes[0], offers=(b"garbage",), checkpoint=b"")
    with pytest.raises(BadServerMessageError, match="malformed"):
        run.members[0].handle(seal_settlement(run.server.identity, close))


def test_directions_offered_for_nothing_are_not_signed() -> None:
    run = SettledRun(rounds=1).run()
    good = run.desk.proposals(1)[0].offer(None)
    listing = run.desk.dossier(1).listing
    foreign = replace(listing, plan=replace(listing.plan, manifest=bytes(32)))
    for bad in (replace(good, slot=2), replace(good, signature=bytes(64)), replace(good, listing=foreign)):
        close = Close(manifest=run.manifest.digest, outcome=run.outcomes[0], offers=(pack(bad),), checkpoint=b"")
        with pytest.raises(BadServerMessageError):
            run.members[0].handle(seal_settlement(run.server.identity, close))
        assert run.members[0]._record.account.slots == ()


def test_the_run_is_closed_with_its_last_round_only() -> None:
    run = SettledRun(rounds=2).run(until=1)
    close = Close(manifest=run.manifest.digest, outcome=run.outcomes[0], offers=(), checkpoint=b"")
    for member in run.members:
        with pytest.raises(BadServerMessageError, match="last"):
            member.handle(seal_settlement(run.server.identity, close))


def test_two_openings_of_unlike_halves_are_each_recomputed() -> None:
    run = closed(openings=2)
    other = normal_directions(run.d, 2)(99)
    run.settler = replace(run.settler, assessor=Numbered(lambda round_: [run.known(round_)[0], other[1]]))
    run.members = [run.member(seat) for seat in range(run.n)]
    for member in run.members:
        with pytest.raises(UnprovenDirectionError):
            member.handle(seal_settlement(run.server.identity, run.shown()))
