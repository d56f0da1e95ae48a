"""Settlement: what answers, statement and checks cost for each organisation and round, and how exact opened values are.

    python bench/settlement.py [--json] [--quick]

A whole federation runs some rounds in this process, with every message. All times are CPU seconds, the least of a few
repetitions, with no signature remembered from before. `answer` and `statement` are a member's, `bases` and `clearing`
the server's (inner products with the spooled uploads; answers, statement and reactions). Recomputing directions is
measured apart, and without the gradient: that is the training library's work. The opened numbers are compared with the
plain inner products (bit for bit), and the values with those in floating point.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.contestants.timing import cpu_s
from fedgap import settling
from fedgap.crypto import is_signed_statement, seeded
from fedgap.ids import FederationId, OrgId
from fedgap.rounds import MemoryJournal, run_round
from fedgap.secagg import clearing
from fedgap.secagg.certificates import Listing
from fedgap.secagg.clearing import Clearing
from fedgap.secagg.desk import Desk
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.encoding import Contribution, Encoding, encode
from fedgap.secagg.evaluation import Evaluation, Row
from fedgap.secagg.inspection import check_recomputed
from fedgap.secagg.local import LocalCohort, MemoryVault, Settled, Trainer, local_federation
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Voice
from fedgap.secagg.opening import centred, plain_credits
from fedgap.secagg.participant import Participant
from fedgap.secagg.revealing import begin_clearing, make_reveal
from fedgap.secagg.settlement import Reveal, agenda_of, seal_settlement
from fedgap.secagg.settler import Settler
from fedgap.secagg.transcript import Plan, state_digest
from fedgap.secagg.wire import pack

Array = np.ndarray[tuple[int], np.dtype[np.float64]]
COSINES = (0.4, 0.2, 0.1, 0.05)
"""How much the members' updates lean towards the directions; the others of ten share them."""


class Run:
    """A federation of n that ran some rounds and is closed, one step before its settlement."""

    def __init__(self, n: int, d: int, rounds: int) -> None:
        self.n, self.d, self.rounds = n, d, rounds
        self.evaluation = Evaluation(source="public", rounds=rounds)
        self.orgs = [OrgId(f"org-{k:04d}") for k in range(n)]
        encoding = Encoding(parameters=d, clip_low=0.01, clip_start=1.0, clip_high=100.0, seed=1)
        settled = Settled(evaluation=self.evaluation)
        weights = dict.fromkeys(self.orgs, 1)
        self.federation = local_federation(FederationId("bench"), weights, encoding, seed=1, settled=settled)
        self.manifest, self.journal = self.federation.manifest, MemoryJournal(keep_uploads=True)
        origin = self.manifest.digest
        self.settler = Settler(evaluation=self.evaluation, assessor=self, origin=origin)
        self.vaults = [MemoryVault() for _ in range(n)]
        self.members = {seat: self._member(seat) for seat in range(n)}
        self.desk = Desk(
            self.federation.server, self.evaluation, self.journal, rand=seeded("bench-salts"), origin=origin
        )
        self.cohort = LocalCohort(self.members)
        outcome = None
        for round_ in range(1, rounds + 1):
            state = state_digest(np.zeros(1, np.float32), np.zeros(0), clip=1.0, applied=round_)
            plan = Plan(
                manifest=origin, round=round_, attempt=1, state=state, clip=1.0, training=self.manifest.training
            )
            opened = run_round(
                self.federation.server, self.cohort, self.journal, plan, previous=outcome, attempts=1, desk=self.desk
            )
            outcome = opened.outcome
            self.desk.propose(round_, [self.direction(round_)])
        assert outcome is not None  # noqa: S101 - there is at least one round
        settling.close(self.desk, self.cohort, outcome)

    def _member(self, seat: int) -> Participant:
        me = Me(self.manifest, seat, self.federation.identities[seat])
        trainer = Trainer(partial(self._contribution, seat))
        rand = seeded("bench-member", seat)
        return Participant(me, self.vaults[seat], trainer, rand=rand, simulation=True, settler=self.settler)

    def _contribution(self, seat: int, plan: Plan) -> Contribution:
        update = self.update(plan.round, seat).astype(np.float32)
        return Contribution(update=update, statistics=np.zeros(0, np.float32), metrics={})

    def direction(self, round_: int) -> Array:
        """The unrounded direction of a round."""
        return np.random.default_rng([round_, 1]).normal(size=self.d)

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """What a member recomputes; here it is looked up."""
        del rows
        return [self.direction(listing.plan.round)]

    def update(self, round_: int, seat: int) -> Array:
        """An update just below the norm bound that leans towards the direction of its round."""
        along, across = self.direction(round_), np.random.default_rng([round_, 2, seat]).normal(size=self.d)
        along = along / np.linalg.norm(along)
        across = across - (across @ along) * along
        across = across / np.linalg.norm(across)
        cosine = COSINES[seat % len(COSINES)]
        mixed: Array = 0.99 * (cosine * along + (1 - cosine**2) ** 0.5 * across)
        return mixed

    def reveal(self) -> Reveal:
        """What is shown of the only period."""
        rounds = range(1, self.rounds + 1)
        draft = make_reveal(
            self.desk.tenure,
            1,
            rounds,
            {round_: self.desk.proposals(round_) for round_ in rounds},
            {round_: self.desk.dossier(round_).listing for round_ in rounds},
            rows=(),
            witness=None,
        )
        agenda = agenda_of(draft)
        voices = tuple(
            Voice(seat=seat, signature=key.sign("endorsement", agenda.context, seat, agenda.listed))
            for seat, key in enumerate(self.federation.identities)
        )
        return replace(draft, voices=voices[: self.manifest.tau])

    def clearing(self, reveal: Reveal) -> Clearing:
        """The server's inner products."""
        return begin_clearing(reveal, dossier=self.desk.dossier, spooled=self.journal.uploaded)

    def plain(self) -> dict[int, list[int]]:
        """The same numbers without messages."""
        return plain_credits(self._plain())

    def _plain(self) -> Iterator[tuple[list[Any], Mapping[int, Any]]]:
        for round_ in range(1, self.rounds + 1):
            plan = replace(self.desk.dossier(round_).listing.plan)
            vectors = {
                seat: encode(
                    self.manifest.encoding,
                    self._contribution(seat, plan),
                    clip=1.0,
                    share=1.0,
                    round_=round_,
                    org=org,
                    members=self.n,
                )
                for seat, org in enumerate(self.orgs)
            }
            yield [self.desk.proposals(round_)[0].direction], vectors


def costs(n: int, d: int, *, rounds: int, repeats: int) -> dict[str, Any]:
    """CPU milliseconds for each organisation and round of the period."""
    run = Run(n, d, rounds)
    reveal = run.reveal()
    sealed = seal_settlement(run.federation.server.identity, reveal)
    member, origin = run.members[0], run.manifest.digest
    record, me = member._record, member._me  # noqa: SLF001 - one step is taken out of a member
    start = partial(run.settler.handle, me, record.account, run.vaults[0], sealed, reached=rounds)
    with patch("fedgap.secagg.settler.check_recomputed"):
        answer_s = cpu_s(partial(_afresh, start), repeats=repeats)
    check = partial(check_recomputed, run.manifest, run.evaluation, _Trusted(reveal), reveal)
    recompute_s = cpu_s(check, repeats=repeats)
    bases_s = cpu_s(partial(_afresh, partial(run.clearing, reveal)), repeats=repeats)
    state = run.clearing(reveal)
    replies = [(seat, one.handle(sealed) or b"") for seat, one in run.members.items()]
    answered = clearing.on_answers(run.desk.tenure, state, replies, origin=origin)
    _, said = clearing.state_it(run.desk.tenure, answered, final=False)
    stated = seal_settlement(run.federation.server.identity, said)
    account = member._record.account  # noqa: SLF001 - as above
    react = partial(run.settler.handle, me, account, run.vaults[0], stated, reached=rounds)
    statement_s = cpu_s(partial(_afresh, react), repeats=repeats)
    reactions = [(seat, one.handle(stated) or b"") for seat, one in run.members.items()]

    def clear() -> None:
        after = clearing.on_answers(run.desk.tenure, state, replies, origin=origin)
        clearing.state_it(run.desk.tenure, after, final=False)
        clearing.on_reactions(run.manifest, said, reactions, origin=origin)

    clearing_s = cpu_s(partial(_afresh, clear), repeats=repeats)
    opened = {bloc.seats[0]: list(bloc.values) for bloc in said.blocs}
    a_round = 1000 / rounds
    return {
        "n": n,
        "d": d,
        "rounds": rounds,
        "cpu_ms_per_organisation_and_round": {
            "answer": answer_s * a_round,
            "statement": statement_s * a_round,
            "bases": bases_s * a_round / n,
            "clearing": clearing_s * a_round / n,
            "recomputing apart, without the gradient": recompute_s * a_round,
        },
        "exact": opened == run.plain() and all(opened[seat][0] == centred(opened[seat][0]) for seat in opened),
        "bytes_down_a_round": len(sealed) / rounds,
        "bytes_up": len(replies[0][1]) + len(reactions[0][1]),
        "statement_bytes": len(pack(said)),
    }


class _Trusted:
    """Directions that cost nothing to look up."""

    def __init__(self, reveal: Reveal) -> None:
        numbers = [opened.listing.plan.round for opened in reveal.rounds]
        size = len(reveal.rounds[0].directions[0].entries) // 2
        self.known = {round_: [np.random.default_rng([round_, 1]).normal(size=size)] for round_ in numbers}

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """Give them."""
        del rows
        return self.known[listing.plan.round]


def _afresh(work: Any) -> object:  # noqa: ANN401 - a step
    """Do it with no signature remembered from before."""
    is_signed_statement.cache_clear()
    return work()


def error(n: int, d: int, *, rounds: int) -> dict[str, Any]:
    """The largest difference between an opened value and the one in floating point, as a part of the largest value."""
    run = Run(n, d, rounds)
    settlement = settling.settle(run.desk, run.cohort, 1)
    true = [
        sum(float(run.update(round_, seat) @ run.direction(round_)) / n for round_ in range(1, rounds + 1))
        for seat in range(n)
    ]
    opened = [float(one.value) for one in settlement.valued]
    largest = max(map(abs, true))
    total = sum((one.value for one in settlement.valued), Fraction(0))
    return {
        "n": n,
        "d": d,
        "rounds": rounds,
        "error_of_largest": max(abs(a - b) for a, b in zip(opened, true, strict=True)) / largest,
        "values_add_up": settlement.totals == (total,),
    }


def memory(n: int, d: int) -> float:
    """Peak memory of the server's inner products, in bytes for each parameter."""
    run = Run(n, d, 1)
    reveal = run.reveal()
    tracemalloc.start()
    run.clearing(reveal)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / d


def bar(name: str, value: float, bound: float, better: str) -> dict[str, Any]:
    """One row of `bars`."""
    holds = value >= bound if better == "higher" else value <= bound
    return {"name": name, "value": value, "bound": bound, "better": better, "holds": holds}


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure everything; `quick` leaves out the large cells."""
    cells = [costs(10, 10**5, rounds=3, repeats=3)]
    errors = [error(4, 100, rounds=50), error(4, 10**4, rounds=50)]
    peaks: dict[int, float] = {}
    if not quick:
        cells.append(costs(10, 10**6, rounds=5, repeats=3))
        errors.append(error(4, 10**6, rounds=10))
        peaks = {n: memory(n, 10**6) for n in (4, 8)}
    rows = []
    for cell in cells:
        where = f"n={cell['n']} d={cell['d']:.0e}"
        times = cell["cpu_ms_per_organisation_and_round"]
        if cell["d"] == 10**6:
            spent = sum(times[step] for step in ("answer", "statement", "bases", "clearing"))
            rows.append(bar(f"answers and statement: CPU ms per organisation and round, {where}", spent, 15, "lower"))
        rows.append(bar(f"opened numbers are the plain ones bit for bit, {where}", float(cell["exact"]), 1, "higher"))
    for one in errors:
        bound = 0.001 if one["d"] <= 100 else 0.005  # noqa: PLR2004 - the design's bars
        where = f"n={one['n']} d={one['d']:.0e} L={one['rounds']}"
        rows.append(bar(f"opened value: error of the largest, {where}", one["error_of_largest"], bound, "lower"))
        rows.append(bar(f"values add up exactly, {where}", float(one["values_add_up"]), 1, "higher"))
    if peaks:
        few, many = peaks.values()
        rows.append(bar("server memory: twice the organisations / half of them", many / few, 1.05, "lower"))
    return {
        "benchmark": "settlement",
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "contestants": ["fedgap"],
        "cells": cells,
        "errors": errors,
        "server_bytes_a_parameter": peaks,
        "bars": rows,
        "not_measured": [
            "the gradients that directions are recomputed from",
            "disks and networks: vaults and journal are in memory",
            *(["n=10 at d=1e6, memory: left out by --quick"] if quick else []),
        ],
    }


def main() -> None:
    """Print a table, or the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quick", action="store_true", help="leave out the large cells")
    chosen = parser.parse_args()
    result = measure(quick=chosen.quick)
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        for cell in result["cells"]:
            for step, spent in cell["cpu_ms_per_organisation_and_round"].items():
                print(f"       {spent:10.4g} ms        n={cell['n']} d={cell['d']:.0e} {step}")
        for row in result["bars"]:
            sign = ">=" if row["better"] == "higher" else "<="
            print(
                f"{'holds' if row['holds'] else 'FAILS'}  {row['value']:10.4g} {sign} {row['bound']:<8g} {row['name']}"
            )
    sys.exit(not all(row["holds"] for row in result["bars"]))


if __name__ == "__main__":
    main()
