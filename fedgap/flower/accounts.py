"""The server's accounts of a run: after each round its entries and its directions, and periods when they are due.

    add      a sum that is on disk   -> ledger entries; directions, committed to; the utility of the model
    put_off  the same, written while members train in the next round
    settle   a period that is due    -> costs claimed, numbers opened, values in the ledger; then uploads are erased

Everything can be called again after a crash, for any round, and gives the same.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from fedgap import settling
from fedgap.config import FederationConfig
from fedgap.contribution.direction import Utility
from fedgap.contribution.errors import UtilityError
from fedgap.contribution.openings import Divisible
from fedgap.contribution.steps import elementwise_step
from fedgap.crypto import system
from fedgap.flower.charter import Founding
from fedgap.flower.course import Course
from fedgap.flower.evaluating import Evaluating, Parts, evaluating
from fedgap.flower.measuring import utility_on
from fedgap.flower.opener import DeployedOpener, PatientCohort
from fedgap.flower.round_entries import events_of, round_entries
from fedgap.flower.server_ledger import Fact, ServerLedger
from fedgap.flower.stopwatch import Stopwatch
from fedgap.flower.timed_desk import TimedDesk
from fedgap.flower.witness_desk import WitnessDesk
from fedgap.learning.rows import concatenate
from fedgap.learning.task import Task
from fedgap.learning.threads import use_one_thread
from fedgap.ledger import Signed
from fedgap.records import UtilityObserved
from fedgap.secagg.desk import Desk, blob
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.periods import Periods
from fedgap.secagg.plain import mean_of
from fedgap.secagg.reaction import NOT_ANSWERED, record_of_reaction
from fedgap.secagg.revealing import Witness
from fedgap.secagg.server import Server
from fedgap.settling import NothingToSettleError
from fedgap.simulation.aggregate import Released
from fedgap.simulation.assessing import Array, Assessor, Moved
from fedgap.simulation.books import UTILITY_UNITS
from fedgap.simulation.contribution import server_step
from fedgap.simulation.federate import server_rule
from fedgap.simulation.openings import Openings
from fedgap.simulation.period_facts import by_weight, settled_facts, window_closed
from fedgap.simulation.shards import Shards
from fedgap.storage import FolderJournal

MOST_APART = 2**22
"""Up to so many parameters each opening has a model of its own, and they are computed side by side."""

MOST_PUT_OFF_S = 2.0
"""Accounts of a round that take longer are written between rounds: answers wait while they are written."""

LEAST_ROUNDS = 2
"""A period of fewer rounds may be settled before what was put off is certified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A round that is being evaluated and not written down yet.

    Attributes:
        after: the course with its sum.
        mean: its weighted mean update; None if its directions are known.
        work: None if nothing is measured.
        ends: ends the work.
    """

    outcome: Outcome
    after: Course
    manifest: Manifest
    mean: Array | None
    work: Evaluating | None
    ends: ExitStack


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
        witness: where a witness's signatures come in.
        watch: counts what the accounts cost.
    """

    config: FederationConfig
    founding: Founding
    task: Task
    shards: Shards | None
    ledger: ServerLedger
    journal: FolderJournal
    log: Path
    versions: Callable[[], list[SignedManifest]]
    witness: WitnessDesk | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)
    utilities: list[int] = field(default_factory=list)
    _openings: Openings | None = None
    _opener: DeployedOpener | None = None
    _utility: Utility | None = None
    _ends: tuple[Sequence[Divisible], bytes, list[float]] = ((), b"", [])
    _later: _Begun | None = None
    _took_s: float = 0.0

    def desk(self, server: Server) -> Desk | None:
        """Give the desk for rounds under a manifest; None if nothing is opened."""
        shards, manifest = self.shards, server.manifest
        if shards is None:
            return None
        if self._opener is None or self._opener.desk.manifest != manifest:
            self.work_off()
            desk = TimedDesk(
                self.watch,
                server,
                shards.evaluation,
                self.journal,
                rand=system,
                origin=self.ledger.origin,
                checkpoint=self.ledger.show,
                earlier=[one.manifest for one in self.versions() if one.manifest.digest != manifest.digest],
            )
            if self._opener is None:
                self._opener = DeployedOpener(desk=desk, shards=shards, witness=self._signatures)
            else:
                desk.cosignatures = self._opener.desk.cosignatures
                self._opener.desk = desk
        return self._opener.desk

    def begin(self, server: Server, course: Course) -> None:
        """Take up the accounts before the first sum is added."""
        use_one_thread()
        self.desk(server)
        if self.shards is None or self._opener is None:
            return
        on, seed = utility_on(self.task, self.founding.shape), self.config.federation.seed
        assessor = Assessor(manifest=server.manifest, utility_on=on, seed=seed, shards=self.shards)
        apart = course.state.model.size <= MOST_APART
        self._openings = Openings(opener=self._opener, shards=self.shards, assessor=assessor, seed=seed, apart=apart)
        self._utility = on(concatenate(list(self.shards.rows)))
        self.ledger.add(*self._observed(0, self._utility.value(course.state.model.astype(np.float64))))

    def add(self, outcome: Outcome, before: Course, after: Course, manifest: Manifest) -> None:
        """Take in a round whose sum is on disk.

        Args:
            outcome: the sum.
            before: the course up to it.
            after: the course with it.
            manifest: the round ran under it.
        """
        self.work_off()
        self._finish(self._begun(outcome, before, after, manifest))

    def put_off(self, outcome: Outcome, before: Course, after: Course, manifest: Manifest) -> None:
        """As `add`, but evaluate from now on, and write while members train in the next round, if that is safe.

        It is, if it is soon done, so that no answer comes too late meanwhile; if models are small enough to be kept
        until then; and if periods are long enough for a commitment to be certified a round later. A killed server
        loses nothing: what was put off is made up for when the rounds are replayed.
        """
        self.work_off()
        openings, is_slow = self._openings, self._took_s > MOST_PUT_OFF_S
        begun = self._begun(outcome, before, after, manifest)
        if openings is None or not openings.apart or is_slow or self.periods.length < LEAST_ROUNDS:
            self._finish(begun)
        else:
            self._later = begun

    def beside(self) -> None:
        """Do what was put off while members train."""
        with self.watch.hides():
            self.work_off()

    def work_off(self) -> None:
        """Do what was put off."""
        later, self._later = self._later, None
        if later is not None:
            self._finish(later)

    def _begun(self, outcome: Outcome, before: Course, after: Course, manifest: Manifest) -> _Begun:
        """Begin to evaluate a round."""
        with self.watch.measures("directions"):
            mean, stack = None, ExitStack()
            if self._is_undirected(after.applied):
                total = np.frombuffer(outcome.total, dtype="<u4")
                seats = [survivor.seat for survivor in outcome.survivors]
                mean = mean_of(manifest, total, seats=seats, clip=before.clip).update
            work = stack.enter_context(self._evaluating(after.applied, before, after, mean))
            return _Begun(outcome=outcome, after=after, manifest=manifest, mean=mean, work=work, ends=stack)

    def _finish(self, begun: _Begun) -> None:
        """Write down what is known of a round, wait for the rest, and commit to its directions."""
        began = time.monotonic()
        with begun.ends, self.watch.measures("directions"):
            self._write(begun)
        self._took_s = time.monotonic() - began

    def _write(self, begun: _Begun) -> None:
        outcome, after, work, mean = begun.outcome, begun.after, begun.work, begun.mean
        with self.watch.measures("entries"):
            entries = self._entries(outcome, after, begun.manifest)
        entries += self._observed(after.applied, None if work is None else work.value())
        with self.watch.measures("entries"):
            self.ledger.add(*entries)
        if self._openings is None:
            self.journal.drop(outcome.plan.number, [survivor.seat for survivor in outcome.survivors])
        if work is not None and mean is not None:
            total = np.frombuffer(outcome.total, dtype="<u4")
            self._commit(mean, Released(plan=outcome.plan, total=total, given={}, outcome=outcome), work, after.digest)
        if self._opener is not None and not self._is_settled(after.applied):
            self._opener.last = outcome

    def _entries(self, outcome: Outcome, after: Course, manifest: Manifest) -> list[Fact]:
        """What the ledger does not say yet of a round."""
        if after.applied <= self.ledger.released:
            return []
        self.ledger.take(self.versions(), until=manifest.digest)
        known: list[Fact] = [*self._directions(), *self._cosigned(manifest)]
        events = events_of(self.log, outcome.plan)
        return round_entries(manifest, outcome, events, state=after.digest, before=known)

    @contextmanager
    def _evaluating(
        self, round_: int, before: Course, after: Course, mean: Array | None
    ) -> Iterator[Evaluating | None]:
        """Evaluate a round beside the block: the utility after it, and its directions if `mean` is given."""
        openings, utility = self._openings, self._utility
        if openings is None or utility is None:
            yield None
            return
        step = elementwise_step(server_step(server_rule(self.config)), after.state.second[:])
        moved = Moved(before=before.state.model, after=after.state.model, step=step)
        utilities, known = openings.parts_on(round_), self._ends
        starts = known[2] if known[0] is utilities and known[1] == before.digest else ()
        parts = Parts(utilities=utilities, apart=openings.apart, starts=starts)
        with evaluating(self.watch, utility, parts, moved, mean) as work:
            yield work

    def _commit(self, mean: Array, released: Released, work: Evaluating, state: bytes) -> None:
        """Commit to a round's directions; without any the round is left out, which the statement says."""
        assert self._openings is not None  # noqa: S101 - nothing is evaluated without; tells mypy
        try:
            found = work.directions()
        except UtilityError:
            return
        with self.watch.measures("commitments"):
            self._openings.add(mean, released, work.moved, found)
        self._ends = (self._openings.parts_on(released.plan.round), state, [one.end for one in found])

    def _is_settled(self, round_: int) -> bool:
        return self._opener is not None and self._opener.desk.periods.of(round_) in self.ledger.estimated

    def _is_undirected(self, round_: int) -> bool:
        """Tell whether a round's directions are still to be found."""
        if self._openings is None or self._opener is None or self._is_settled(round_):
            return False
        return self.journal.has(blob("dossier", round_)) and not self._opener.desk.is_directed(round_)

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

    def ask_with(self, patient: Callable[[Manifest], PatientCohort]) -> None:
        """Let settlement ask the members of a roster with this."""
        if self._opener is not None:
            self._opener.patient = patient

    def close(self) -> None:
        """Run the closing exchange, and write down what became certified in it."""
        self.work_off()
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
        self.work_off()
        self.ledger.take(self.versions())
        self.ledger.add(*claims(period))
        self.ledger.add(*self._valued(period))
        if self._opener is not None:
            settling.discard(self._opener.desk, period)
        if self.witness is not None:
            self.witness.clear(period)

    def waits_for_witness(self, period: int) -> Path | None:
        """Name the case that the witness has to sign before a period can be settled; None if nothing is missing."""
        self.work_off()
        opener, witness = self._opener, self.witness
        if opener is None or witness is None or opener.desk.evaluation.witness is None:
            return None
        wanted = witness.ask(opener.desk, tuple(self.versions()), period)
        return witness.case(period) if wanted and self._signatures(period) is None else None

    def _signatures(self, period: int) -> Witness | None:
        return (
            None if self._opener is None or self.witness is None else self.witness.signatures(self._opener.desk, period)
        )

    def tell_late(self) -> None:
        """Tell members that were away when a period was settled what became of it; write down what they say."""
        if self._opener is None:
            return
        for period in sorted(self.ledger.estimated):
            reactions = self._opener.tell(period)
            self.ledger.add(
                *(
                    Signed(
                        record=record_of_reaction(manifest, one.seat, period, one.statement, one.code),
                        author=manifest.members[one.seat].public,
                        signature=one.recorded,
                    )
                    for manifest, one in reactions
                    if one.code != NOT_ANSWERED  # it was away, which `vouched_by` says already
                )
            )

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
        assert self._opener is not None  # noqa: S101 - there are openings; tells mypy
        rosters = [(part, self._opener.roster_of(part)) for part in settled.parts]
        facts = [settled_facts(roster, part, openings.intervals_of(part)) for part, roster in rosters]
        return [fact for part in facts for fact in part]

    def _gain(self, period: int) -> Fraction:
        rounds = self.periods.rounds_of(period)
        if not rounds or len(self.utilities) <= rounds[-1]:
            return Fraction(0)
        return Fraction(self.utilities[rounds[-1]] - self.utilities[rounds[0] - 1], UTILITY_UNITS)

    def _observed(self, round_: int, value: float | None) -> list[Fact]:
        """Take in the utility of the common model on all evaluation rows; give what the ledger does not say yet."""
        openings, shards = self._openings, self.shards
        if openings is None or shards is None or value is None or not np.isfinite(value):
            return []
        openings.utilities.append(value)
        self.utilities.append(round(UTILITY_UNITS * value))
        if round_ <= self.ledger.observed:
            return []
        return [UtilityObserved(round=round_, utility=self.utilities[-1], evaluation=shards.evaluation.digest)]

    def _directions(self) -> list[Fact]:
        return [] if self._opener is None else list(self.ledger.directions(self._opener.certified))

    def _cosigned(self, manifest: Manifest) -> list[Fact]:
        if self._opener is None:
            return []
        signatures: Mapping[int, bytes] = dict(self._opener.desk.cosignatures)
        self._opener.desk.cosignatures.clear()
        return list(self.ledger.cosignatures(manifest, dict(signatures)))
