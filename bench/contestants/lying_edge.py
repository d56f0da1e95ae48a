"""A client that lies about one edge at settlement, with every message of the protocol: who is named, and who is hurt.

The first rounds of a played run are uploaded under masks and opened along their own directions. The liar reports
another number for one of its edges than its masks give; its peer reports the true one.
"""

import numpy as np
from numpy.typing import NDArray

from bench.contestants.estimators import Played
from bench.contestants.scenarios import World
from fedgap.secagg.dispute import EdgeEvidence, verify_liar
from fedgap.secagg.wire import unpack
from tests.settling.settled_run import SettledRun, counts

Array = NDArray[np.float64]
ROUNDS = 3
SHIFT = 5_000_000
"""Of the number that is lied about: as large as an honest value usually is."""
WEIGHT_UNITS = 1000


def lying_edge(played: Played, world: World, liar: int) -> dict[str, float]:
    """Settle the first rounds twice, honestly and with the lie.

    Returns:
        named: 1 if the statement names the liar and nobody else, on evidence that anybody can check.
        others_apart: the largest difference of anybody else's opened count.
        liar_gain: what the liar's opened count grew by.
    """
    peer = 0 if liar else 1
    honest, run = _run(played, world), _run(played, world)
    run.change = lambda kind, seat, reply: (
        run.lied(reply, seat, {peer: SHIFT}) if (kind, seat) == ("reveal", liar) else reply
    )
    before, settled = counts(honest.whole()), run.whole()
    after = counts(settled)
    low, high = sorted((liar, peer))
    (judged,) = settled.statement.judged
    proof = unpack(EdgeEvidence, run.journal.get(f"settlement-evidence-1-{low}-{high}"))
    _, proven = verify_liar(run.desk.tenure, run.evaluation, proof)
    flagged = {seat for seat, one in enumerate(settled.valued) if "lied" in one.flags}
    apart = {seats: abs(after.get(seats, (2**32,))[0] - values[0]) for seats, values in before.items()}
    return {
        "named": float(judged.liars == (liar,) and proven == {liar} and flagged == {liar}),
        "others_apart": float(max(size for seats, size in apart.items() if seats != (liar,))),
        "liar_gain": float(after[(liar,)][0] - before[(liar,)][0]),
    }


def _run(played: Played, world: World) -> SettledRun:
    directions = played.directions(world.validation)
    largest = max(float(np.linalg.norm(r.updates, axis=1).max()) for r in played.rounds[:ROUNDS])
    weights = np.maximum(1, np.rint(WEIGHT_UNITS * played.rounds[0].weights)).astype(int).tolist()
    return SettledRun(
        n=len(weights),
        d=len(played.after[0]),
        rounds=ROUNDS,
        weights=weights,
        directions=lambda round_: [directions[round_ - 1].unrounded],
        updates=lambda round_, seat: (
            (played.rounds[round_ - 1].updates[seat] / largest).astype(np.float32) * np.float32(0.99)
        ),
    )
