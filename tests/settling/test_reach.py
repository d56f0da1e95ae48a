"""A number that no honest upload can give is seen to be one; the largest that one can give is not."""

import numpy as np
import pytest

from fedgap.secagg.reach import out_of_reach, upload_bound
from fedgap.secagg.settlement import Bloc
from tests.settling.settled_run import SettledRun, leaning_updates

D = 200


def flagged(run: SettledRun) -> list[int]:
    """Whose value carries the flag."""
    return [one.seat for one in run.settle().valued if "out-of-reach" in one.flags]


def test_uploads_at_the_norm_bound_that_point_where_they_earn_most_are_within_reach() -> None:
    run = SettledRun(n=4, d=D, weights=[10, 10, 10, 30], updates=leaning_updates(D, [1.0, 1.0, -1.0, 1.0]))
    run.run().close()

    assert flagged(run) == []


@pytest.mark.parametrize("seat", range(4))
def test_no_encoded_update_is_longer_than_its_bound(seat: int) -> None:
    run = SettledRun(n=4, d=D, weights=[1, 10, 20, 30], updates=leaning_updates(D, [1.0] * 4))
    vector = run.vector(1, seat)[:D].astype(np.int32).astype(np.int64)

    assert int((vector * vector).sum()) <= upload_bound(run.manifest, seat) ** 2


def test_a_number_beyond_the_reach_of_its_bloc_is_named_with_all_of_it() -> None:
    run = SettledRun(n=4, d=D).run()
    opened = run.shown().rounds
    (first,) = opened[0].directions
    norm = np.linalg.norm(np.frombuffer(first.entries, "<i2").astype(float))
    most = int(norm * upload_bound(run.manifest, 0))
    blocs = (
        Bloc(seats=(0,), values=(most // 2,)),
        Bloc(seats=(1, 2), values=(-(2**30),)),
        Bloc(seats=(3,), values=(0,)),
    )

    assert out_of_reach(run.manifest, opened[:1], blocs) == {1, 2}
    assert out_of_reach(run.manifest, (), (Bloc(seats=(3,), values=(1,)),)) == {3}


def test_a_lie_about_an_absent_peer_that_is_too_large_is_seen_at_both_ends() -> None:
    """The absent member can do nothing against it, so nobody is named; small lies are not seen."""
    for shift, expected in ((3 * 2**28, [0, 3]), (1000, [])):
        run = SettledRun(n=4, d=D)
        run.run().close()
        run.gone = {(0, 3): "agenda"}
        run.change = lambda kind, seat, reply, run=run, shift=shift: (  # type: ignore[misc]
            run.lied(reply, seat, {3: shift}) if (kind, seat) == ("reveal", 0) else reply
        )

        assert flagged(run) == expected
