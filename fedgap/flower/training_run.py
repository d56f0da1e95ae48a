"""The rounds of a deployed federation, from wherever the folder says they are to the last one.

    between rounds   newcomers, a manifest that is signed by now, a quorum that is connected
    a round          fedgap.rounds.run_round, or resume_round for one that waits for members to unmask
    after it         the sum on disk (the round is finished), the next model, the model file

The process may be killed at any instant: sums are whole or absent, an attempt that was under way is followed by one
with a higher number, and a round whose sum may be open already is resumed with the same bytes.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from fedgap import rounds, storage
from fedgap.config import FederationConfig, SecAgg, Settlement
from fedgap.crypto import Identity
from fedgap.flower import plainvalues
from fedgap.flower.accounts import Accounts
from fedgap.flower.board import Board, RoundLine
from fedgap.flower.charter import Founding, read_policy
from fedgap.flower.cohort import FlowerCohort
from fedgap.flower.column import room_in
from fedgap.flower.contract import ROUND_PURPOSES, SUMS
from fedgap.flower.course import Course, Standing, apply, begin, plan_next
from fedgap.flower.coursefile import shelve, unshelve
from fedgap.flower.first_model import first_model
from fedgap.flower.gathering import Gathering, MissingOrganisationsError, RosterChangedError
from fedgap.flower.policies import Policies
from fedgap.flower.roster import Roster
from fedgap.flower.server_ledger import ServerLedger
from fedgap.flower.settling_run import SettlingRun
from fedgap.flower.stopwatch import Stopwatch
from fedgap.flower.sums import Sums
from fedgap.flower.waits import Waits
from fedgap.flower.witness_desk import WitnessDesk
from fedgap.ids import OrgId
from fedgap.learning.parameters import file_parts
from fedgap.learning.plan import DivergedError
from fedgap.records import CostBounded, CostClaimed
from fedgap.secagg.desk import Desk
from fedgap.secagg.encoding import Mean
from fedgap.secagg.errors import RoundSuspendedError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.server import Server
from fedgap.secagg.stages import Opened
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import unpack
from fedgap.simulation.aggregate import LOSS
from fedgap.storage import FolderJournal

CLOSING_S = 30.0
"""How long the server waits, after the last round, for members that are away: they get the last sum."""


class NumberedJournal(FolderJournal):
    """A journal that tells which attempt begins, so that messages carry its number."""

    def __init__(self, folder: Path, began: Callable[[tuple[int, int]], None]) -> None:
        super().__init__(folder)
        self._began = began

    def open(self, plan: Plan) -> None:
        """Begin an attempt."""
        super().open(plan)
        self._began(plan.number)


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Runs the rounds.

    Attributes:
        identity: the server's signing key.
        gathering: waits for organisations.
        roster, board: the server's memory.
        sums: of the finished rounds.
        state: folder of the journal.
        model: where the model goes.
        ledger: where the ledger is.
        attempts: how often a round is tried.
        threads: for unmasking.
    """

    identity: Identity
    gathering: Gathering
    roster: Roster
    board: Board
    sums: Sums
    state: Path
    model: Path
    ledger: Path
    attempts: int
    threads: int = 1
    _exchanges: dict[str, float] = field(default_factory=dict)
    _current: FlowerCohort | None = None
    _accounts: Accounts | None = None
    _waits: Waits | None = None
    _knowing: tuple[int, ...] = ()

    def run(self) -> Course:
        """Run what is left of the planned rounds, and give everybody the last sum.

        Raises:
            MissingOrganisationsError, InterruptedRunError: run again, it goes on.
            QuorumLostError, ComplaintError: a round failed too often.
            UnusableSumError: the run stops (see `fedgap.rounds`).
            DivergedError: the model is not finite any more.
        """
        founding, signed = self.gathering.found()
        config = founding.config
        self.board.rounds_planned = config.training.rounds
        with (
            NumberedJournal(self.state / "journal", self._began) as journal,
            ServerLedger(
                self.ledger,
                self.identity,
                self.roster.versions(),
                journal,
                policy=read_policy(founding.policy),
            ) as ledger,
        ):
            self._recover(journal)
            self._waits = Waits.of(journal)
            self._accounts = accounts = self._opened_accounts(founding, ledger, journal)
            standing = self._start(founding, accounts)
            while standing.applied < config.training.rounds:
                self._settling(journal, accounts).between_rounds(standing.applied)
                if journal.held() is None:
                    signed = self.gathering.amend(founding) or signed
                    self._take_policy(ledger, signed.manifest, accounts, begun=max(standing.applied, journal.last[0]))
                with suppress(RosterChangedError):  # nothing was opened: again, under the version in force now
                    standing = self._round(journal, founding, signed.manifest, standing)
            settling = self._settling(journal, accounts)
            settling.finish()
            if accounts.shards is None:
                self.close(signed.manifest)
            else:
                settling.tell_the_end(min(self.gathering.wait_s, CLOSING_S))
        self.board.begin(f"done: {standing.applied} rounds")
        return unshelve(self.shelf, standing)

    @property
    def shelf(self) -> Path:
        """Where the model is while a round is under way: a server needs its memory for the sum then."""
        return self.state / "course.bin"

    def close(self, manifest: Manifest) -> None:
        """Give every member the last sum, from which it computes the last model; wait a little for absent ones."""
        if self.sums.count == 0:
            return
        missing = {member.id for member in manifest.members}
        end = time.monotonic() + min(self.gathering.wait_s, CLOSING_S)
        while missing:
            missing -= self._give_last_sum(manifest, missing)
            why = dict.fromkeys(map(str, missing), "has not got the last sum")
            try:
                if missing:
                    self.gathering.wait("giving everybody the last sum", why, end)
            except MissingOrganisationsError:
                return

    def _give_last_sum(self, manifest: Manifest, missing: set[OrgId]) -> set[OrgId]:
        """Send the last sum to those of the missing that are connected; name who has it now."""
        seats = {s: node for s, node in self._connected(manifest).items() if manifest.members[s].id in missing}
        if not seats:
            return set()
        cohort = self._cohort(manifest, seats)
        cohort.number = (self.sums.count, 0)
        answers = cohort.ask(SUMS, dict.fromkeys(seats, self.sums.packed(self.sums.count)))
        return {manifest.members[seat].id for seat, _ in answers}

    def _recover(self, journal: NumberedJournal) -> None:
        """Take over a sum that was released just before the process ended."""
        released = journal.released()
        if released is None:
            return
        if unpack(Outcome, released).plan.round == self.sums.count + 1:
            self.sums.add(released)

    def _opened_accounts(self, founding: Founding, ledger: ServerLedger, journal: NumberedJournal) -> Accounts:
        return Accounts(
            config=founding.config,
            founding=founding,
            task=self.gathering.task,
            shards=self.gathering.shards,
            ledger=ledger,
            journal=journal,
            log=self.state / "journal" / "events.log",
            versions=self.roster.versions,
            witness=WitnessDesk(folder=self.state / "witness", founding=founding, sums=self.sums),
        )

    def _settling(self, journal: NumberedJournal, accounts: Accounts) -> SettlingRun:
        config, manifest = accounts.config, self.roster.versions()[-1].manifest
        days = (config.settlement or Settlement()).close_days

        def cohort(roster: Manifest, number: int) -> FlowerCohort:
            made = self._cohort(roster, {})
            made.number = (number, 0)
            return made

        return SettlingRun(
            accounts=accounts,
            journal=journal,
            manifest=manifest,
            cohort=cohort,
            connected=self._connected,
            check_stopped=self.gathering.check_stopped,
            close_s=min(self.gathering.wait_s, days * 86400.0),
            reply_s=(config.secagg or SecAgg()).reply_timeout_s,
            bound=self._bound,
            say=self.board.begin,
        )

    def _take_policy(self, ledger: ServerLedger, manifest: Manifest, accounts: Accounts, *, begun: int) -> None:
        """Between two rounds: put a later version of the policy into force that the members have approved."""
        policies = Policies(self.roster.book)
        if policies.proposed() is not None:
            accounts.work_off()
            ledger.take(self.roster.versions())  # who approves may be new: the ledger must know its key
        if said := policies.take(ledger, manifest, first=accounts.periods.next(begun)):
            self.board.say(said)

    def _bound(self, claim: CostClaimed) -> CostBounded | None:
        """Bound a claim by how long the server waited for the organisation in the rounds of the period."""
        assert self._waits is not None  # noqa: S101 - `run` has opened them; tells mypy
        return self._waits.bound(claim, self.gathering.config())

    def _start(self, founding: Founding, accounts: Accounts) -> Standing:
        course = self._course(founding, accounts)
        self._write_model(founding, course)
        return shelve(self.shelf, course)

    def _course(self, founding: Founding, accounts: Accounts) -> Course:
        """Compute where the federation stands, from w_0 and the sums; write down what is not in the ledger."""
        manifests = [signed.manifest for signed in self.roster.versions()]
        self.board.begin("computing the model from the sums")
        vector = first_model(self.gathering.task, founding.shape, founding.config)
        start = begin(vector, manifests[0].encoding)
        accounts.begin(Server(manifests[-1], self.identity, self.threads), start)
        return self.sums.replay(start, manifests, founding.config, accounts.add)

    def _round(self, journal: NumberedJournal, founding: Founding, manifest: Manifest, course: Standing) -> Standing:
        """Take one round from its invitation to the model after it."""
        accounts = self._accounts
        assert accounts is not None  # noqa: S101 - `run` has opened them; tells mypy
        began, number = time.monotonic(), course.applied + 1
        accounts.watch.take()  # what was counted before the round
        cohort = self._cohort(manifest, {})
        server = Server(manifest, self.identity, self.threads)
        self._exchanges = {}
        self.board.begin(f"round {number} of {founding.config.training.rounds}")
        opened = self._opened(journal, server, cohort, course, accounts.desk(server))
        outcome, self._knowing = opened.outcome, opened.answered
        del opened
        plan, seats = outcome.plan, [survivor.seat for survivor in outcome.survivors]
        before = unshelve(self.shelf, course)
        after, mean = apply(before, outcome, manifest, founding.config, room=room_in(self.state))
        if not np.isfinite(after.state.model).all():
            raise DivergedError(
                f"The common model is not finite after round {number}.", remedy="Lower server.lr or training.lr."
            )
        self.sums.take_over(journal.outcome_file)
        accounts.put_off(outcome, before, after, manifest)
        del outcome, before  # as large as the model, and on disk
        self._write_model(founding, after)
        names = tuple(manifest.members[seat].id for seat in seats)
        spent = accounts.watch.take()
        self.board.finish(self._line(plan, names, mean, cohort, spent, seconds=time.monotonic() - began))
        return shelve(self.shelf, after)

    def _opened(
        self, journal: NumberedJournal, server: Server, cohort: FlowerCohort, course: Standing, desk: Desk | None
    ) -> Opened:
        """Run the round, or resume it until enough members have unmasked."""
        if journal.held() is None:
            number, attempt = journal.last
            first = attempt + 1 if number == course.applied + 1 else 1
            plan = plan_next(course, server.manifest, attempt=first)
            cohort.brings_sum = self._is_last_sum_under(server.manifest)
            previous = partial(self.sums.outcome, course.applied) if cohort.brings_sum else None
            knowing, self._knowing = self._knowing, ()  # after a restart nobody is known to know
            try:
                return rounds.run_round(
                    server,
                    cohort,
                    journal,
                    plan,
                    previous=previous,
                    attempts=self.attempts,
                    knowing=knowing,
                    desk=desk,
                )
            except RoundSuspendedError:
                self.board.begin(f"round {course.applied + 1} waits for members to unmask")
        cohort.number = journal.last
        end = time.monotonic() + self.gathering.wait_s
        while True:
            cohort.nodes = self._connected(server.manifest)
            try:
                return rounds.resume_round(server, cohort, journal, desk=desk)
            except RoundSuspendedError as error:
                missing = {"members": f"{error.needed - error.present} more must come back"}
            self.gathering.wait("waiting for members to unmask", missing, end)

    def _is_last_sum_under(self, manifest: Manifest) -> bool:
        """Tell whether members can check the last sum with this manifest; else it is sent to them one by one."""
        count = self.sums.count
        return count > 0 and self.sums.outcome(count).plan.manifest == manifest.digest

    def _connected(self, manifest: Manifest) -> Mapping[int, int]:
        nodes = self.gathering.nodes()
        return {seat: nodes[member.id] for seat, member in enumerate(manifest.members) if member.id in nodes}

    def _cohort(self, manifest: Manifest, seats: Mapping[int, int]) -> FlowerCohort:
        cohort = self.gathering.cohort(seats)
        cohort.ready = lambda: self.gathering.quorum(manifest)
        cohort.upload_bytes = 4 * manifest.encoding.words
        cohort.sum_of = self.sums.packed
        names = [member.id for member in manifest.members]

        def asking(purpose: str, seats: Collection[int]) -> None:
            if self._waits is not None and self._accounts is not None and purpose in ROUND_PURPOSES:
                period = self._accounts.periods.of(cohort.number[0])
                self._waits.begin(period, [names[seat] for seat in seats], cohort.stage_s)

        def heard(seat: int, purpose: str, what: str) -> None:
            self.board.hear(names[seat], f"{purpose}: {what}")
            if self._waits is not None:
                self._waits.heard(names[seat], what)

        def through(seat: int, purpose: str, done: int, total: int) -> None:
            self.board.tell(names[seat], f"{purpose}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

        cohort.asking, cohort.heard, cohort.through, cohort.took = asking, heard, through, self._took
        if self._accounts is not None:
            cohort.beside, cohort.delayed = self._accounts.beside, self._accounts.watch.was_late
        self._current = cohort
        return cohort

    def _took(self, purpose: str, seconds: float) -> None:
        if self._waits is not None:
            self._waits.end()
        self._exchanges[purpose] = self._exchanges.get(purpose, 0.0) + seconds

    def _began(self, number: tuple[int, int]) -> None:
        if self._current is not None:
            self._current.number = number
        self.board.begin(f"round {number[0]} of {self.board.rounds_planned}, attempt {number[1]}")

    def _line(
        self,
        plan: Plan,
        names: tuple[OrgId, ...],
        mean: Mean,
        cohort: FlowerCohort,
        accounting: Stopwatch,
        *,
        seconds: float,
    ) -> RoundLine:
        return RoundLine(
            round=plan.round,
            attempt=plan.attempt,
            organisations=names,
            loss=mean.metrics[LOSS.name],
            seconds=seconds,
            exchanges=dict(self._exchanges),
            calls=cohort.calls,
            bytes_up=cohort.up,
            bytes_down=cohort.down,
            accounting_s=accounting.seconds,
            accounting={"wall_s": accounting.wall, "cpu_s": accounting.cpu, "hidden_s": accounting.hidden},
        )

    def _write_model(self, founding: Founding, course: Course) -> None:
        config: FederationConfig = founding.config
        storage.make_folder(self.model.parent)
        about = {
            "task": config.federation.task,
            "federation": config.federation.id,
            "rounds": str(course.applied),
            "preprocessing": json.dumps(preprocessing(founding, self.gathering)),
        }
        storage.replace_in_parts(self.model, file_parts(course.state.model, about))


def preprocessing(founding: Founding, gathering: Gathering) -> object:
    """Say how a row becomes the model's inputs: kept with the model."""
    shared = plainvalues.read(founding.shared)
    return gathering.task.describe(shared, shared)
