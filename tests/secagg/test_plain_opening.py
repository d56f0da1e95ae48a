"""`--protocol sum` gives the values that settlement opens, to the last bit, without a message."""

import numpy as np
import pytest

from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.plain_opening import PlainOpening
from tests.settling.settled_run import SettledRun

SPIKE = np.eye(1, 200)[0]


@pytest.mark.parametrize(
    "run",
    [
        SettledRun(n=4, rounds=3, openings=2),
        SettledRun(n=6, rounds=3, gone={(1, 0): "invite", (2, 3): "relay"}),
        SettledRun(n=7, rounds=3, gone={(1, 0): "invite", (1, 1): "invite", (2, 5): "invite", (2, 6): "invite"}),
        SettledRun(n=3, rounds=3, directions=lambda k: [SPIKE if k == 2 else np.ones(200)]),
        SettledRun(n=3, rounds=3, directions=lambda k: [np.zeros(200) if k == 1 else np.ones(200)]),
    ],
)
def test_plain_values_are_the_opened_ones(run: SettledRun) -> None:
    settlement = run.whole()
    plain = PlainOpening(run.manifest, run.evaluation)
    for round_, outcome in enumerate(run.outcomes, 1):
        vectors = {survivor.seat: run.vector(round_, survivor.seat) for survivor in outcome.survivors}
        plain.add(round_, vectors, run.known(round_), clip=1.0)
    found = plain.values(1)

    assert [one.values for one in found] == [one.values for one in settlement.valued]
    assert [one.standing for one in found] == [one.standing for one in settlement.valued]
    assert [one.weight for one in found] == [one.weight for one in settlement.valued]


def test_a_period_without_a_direction_has_no_values() -> None:
    run = SettledRun(n=3, rounds=1)
    plain = PlainOpening(run.manifest, run.evaluation)
    plain.add(1, {seat: run.vector(1, seat) for seat in range(3)}, [np.zeros(200)], clip=1.0)
    with pytest.raises(BadMessageError):
        plain.values(1)
