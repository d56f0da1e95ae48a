"""The server's accounts of a run: after each round its entries and its directions, and periods when they are due.

    add      a sum that is on disk   -> ledger entries; directions, committed to; the utility of the model
    settle   a period that is due    -> costs claimed, numbers opened, values in the ledger; then uploads are erased

Everything can be called again after a crash, for any round, and gives the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from fedgap import settling
from fedgap.config import FederationConfig
from fedgap.contribution.direction import Utility
from fedgap.contribution.steps import elementwise_step
from fedgap.crypto import system
from fedgap.flower.charter import Founding
from fedgap.flower.course import Course
from fedgap.flower.measuring import utility_on
from fedgap.flower.opener import DeployedOpener, PatientCohort
from fedgap.flower.round_entries import events_of, round_entries
from fedgap.flower.server_ledger import Fact, ServerLedger
from fedgap.learning.rows import concatenate
from fedgap.learning.task import Task
from fedgap.records import UtilityObserved
from fedgap.secagg.desk import Desk
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.periods import Periods
from fedgap.secagg.plain import mean_of
from fedgap.secagg.server import Server
from fedgap.settling import NothingToSettleError
from fedgap.simulation.aggregate import Released
from fedgap.simulation.assessing import Assessor, Moved
from fedgap.simulation.books import UTILITY_UNITS
from fedgap.simulation.contribution import server_step
from fedgap.simulation.federate import server_rule
from fedgap.simulation.openings import Openings
from fedgap.simulation.period_facts import by_weight, settled_facts, window_closed
from fedgap.simulation.shards import Shards
from fedgap.storage import FolderJournal


@dataclass(slots=True, kw_only=True)
class Accounts:
    """What a server writes down of its run, and what it opens.

    Attributes:
        config: the federation's file.
        founding: what all manifests have in common.
        task: the installed one.
        shards: evaluation rows; None if nothing is measured, and then periods are settled by weight.
        ledger: written to.
        journal: keeps what settlement needs.
        versions: gives the manifests so far.
    """

    config: FederationConfig
    founding: Founding
    task: Task
    shards: Shards | None
    ledger: ServerLedger
    journal: FolderJournal
    log: Path
    versions: Callable[[], list[SignedManifest]]
    utilities: list[int] = field(default_factory=list)
    _openings: Openings | None = None
    _opener: DeployedOpener | None = None
    _utility: Utility | None = None

    def desk(self, server: Server) -> Desk | None:
        """Give the desk for rounds under a manifest; None if nothing is opened."""
        shards, manifest = self.shards, server.manifest
        if shards is None:
            return None
        if self._opener is None or self._opener.desk.manifest != manifest:
            desk = Desk(
                server,
                shards.evaluation,
                self.journal,
                rand=system,
                origin=self.ledger.origin,
                checkpoint=self.ledger.show,
                earlier=[one.manifest for one in self.versions() if one.manifest.digest != manifest.digest],
            )
            if self._opener is None:
                self._opener = DeployedOpener(desk=desk, shards=shards)
            else:
                desk.cosignatures = self._opener.desk.cosignatures
                self._opener.desk = desk
        return self._opener.desk

    def begin(self, server: Server, course: Course) -> None:
        """Take up the accounts before the first sum is added."""
        self.desk(server)
        if self.shards is None or self._opener is None:
            return
        on, seed = utility_on(self.task, self.founding.shape), self.config.federation.seed
        assessor = Assessor(manifest=server.manifest, utility_on=on, seed=seed, shards=self.shards)
        self._openings = Openings(opener=self._opener, shards=self.shards, assessor=assessor, seed=seed)
        self._utility = on(concatenate(list(self.shards.rows)))
        self._observe(0, course)

    def add(self, outcome: Outcome, before: Course, after: Course, manifest: Manifest) -> None:
        """Take in a round whose sum is on disk.

        Args:
            outcome: the sum.
            before: the course up to it.
            after: the course with it.
            manifest: the round ran under it.
        """
        round_, plan = after.applied, outcome.plan
        if round_ > self.ledger.released:
            self.ledger.take(self.versions(), until=manifest.digest)
            known: list[Fact] = [*self._directions(), *self._cosigned(manifest)]
            events = events_of(self.log, plan)
            self.ledger.add(*round_entries(manifest, outcome, events, state=after.digest, before=known))
        self._observe(round_, after)
        openings, opener = self._openings, self._opener
        if openings is None:
            self.journal.drop(plan.number, [survivor.seat for survivor in outcome.survivors])
        if openings is None or opener is None or opener.desk.periods.of(round_) in self.ledger.estimated:
            return
        opener.last = outcome
        total = np.frombuffer(outcome.total, dtype="<u4")
        seats = [survivor.seat for survivor in outcome.survivors]
        if opener.desk.proposals(round_) or not self.journal.has(f"settlement-dossier-{round_}"):
            return
        mean = mean_of(manifest, total, seats=seats, clip=before.clip).update
        step = elementwise_step(server_step(server_rule(self.config)), after.state.second)
        moved = Moved(before=before.state.model, after=after.state.model, step=step)
        openings.add(mean, Released(plan=plan, total=total, given={}, outcome=outcome), moved, None)
        openings.assessor.moved.clear()

    def due(self, rounds: int) -> list[int]:
        """Name the periods that are due after so many rounds and are not settled."""
        periods, last = self.periods, self.config.training.rounds
        return [
            period
            for period in range(1, periods.count + 1)
            if period not in self.ledger.estimated and rounds >= (periods.due(period) or last)
        ]

    @property
    def periods(self) -> Periods:
        """The run, cut."""
        return Periods(self.config.training.rounds, self.versions()[-1].manifest.periods)

    def ask_with(self, patient: Callable[[], PatientCohort]) -> None:
        """Let settlement ask members with this."""
        if self._opener is not None:
            self._opener.patient = patient

    def close(self) -> None:
        """Run the closing exchange, and write down what became certified in it."""
        if self._opener is None or not self.due(self.config.training.rounds):
            return
        self._opener.close()
        self.ledger.add(*self._directions(), *self._cosigned(self._opener.desk.manifest))

    def settle(self, period: int, claims: Callable[[int], list[Fact]]) -> None:
        """Settle a period, and erase what only its settlement needed.

        Args:
            period: which, from 1.
            claims: asks members what they spent in a period.
        """
        self.ledger.take(self.versions())
        self.ledger.add(*claims(period))
        self.ledger.add(*self._valued(period))
        if self._opener is not None:
            settling.discard(self._opener.desk, period)

    def _valued(self, period: int) -> list[Fact]:
        manifest, openings = self.versions()[-1].manifest, self._openings
        if openings is None:
            return list(by_weight(manifest, period, Fraction(0)))
        try:
            settled = openings.settle(period)
        except NothingToSettleError:
            return list(by_weight(manifest, period, self._gain(period)))
        if settled is None:
            return list(window_closed(manifest, period))
        return settled_facts(manifest, settled, openings.intervals_of(settled))

    def _gain(self, period: int) -> Fraction:
        rounds = self.periods.rounds_of(period)
        if not rounds or len(self.utilities) <= rounds[-1]:
            return Fraction(0)
        return Fraction(self.utilities[rounds[-1]] - self.utilities[rounds[0] - 1], UTILITY_UNITS)

    def _observe(self, round_: int, course: Course) -> None:
        """Measure the common model on all evaluation rows."""
        openings, shards = self._openings, self.shards
        if self._utility is None or openings is None or shards is None:
            return
        value = self._utility.value(course.state.model.astype(np.float64))
        if not np.isfinite(value):
            return
        openings.utilities.append(value)
        self.utilities.append(round(UTILITY_UNITS * value))
        if round_ > self.ledger.observed:
            evaluation = shards.evaluation.digest
            self.ledger.add(UtilityObserved(round=round_, utility=self.utilities[-1], evaluation=evaluation))

    def _directions(self) -> list[Fact]:
        return [] if self._opener is None else list(self.ledger.directions(self._opener.certified))

    def _cosigned(self, manifest: Manifest) -> list[Fact]:
        if self._opener is None:
            return []
        signatures: Mapping[int, bytes] = dict(self._opener.desk.cosignatures)
        self._opener.desk.cosignatures.clear()
        return list(self.ledger.cosignatures(manifest, dict(signatures)))
