"""The end of a deployed run, and settlements on the way: which messages go out, to whom, and how long they may take.

    at a period's due round   claim -> settle
    after the last round      close -> claim -> settle, period by period -> ended

`ended` shows members the ledger as it is then; they keep and co-sign its checkpoint, and know that nothing more comes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedgap.crypto import decode, encode
from fedgap.crypto.codec import pack
from fedgap.flower.accounts import Accounts
from fedgap.flower.claims import AskClaim, read_claim
from fedgap.flower.cohort import FlowerCohort
from fedgap.flower.contract import CLAIM, ENDED
from fedgap.flower.opener import PatientCohort
from fedgap.flower.server_ledger import Fact
from fedgap.flower.witness_desk import MissingWitnessError
from fedgap.ids import OrgId
from fedgap.ledger import Signed
from fedgap.records import CostBounded, CostClaimed
from fedgap.secagg.manifest import Manifest
from fedgap.storage import FolderJournal

LOOK_S = 1.0
TOLD = "ended"
"""Under which name the journal keeps who was told that the run ended."""


@dataclass(slots=True, kw_only=True)
class SettlingRun:
    """Settlements of one run.

    Attributes:
        accounts: the server's.
        journal: its memory.
        manifest: in force.
        cohort: makes a cohort of a roster's seats that carries a round's number.
        connected: nodes of connected members of a roster, by seat.
        check_stopped: raises if the server is to stop.
        close_s: how long to wait, in all, for members that are away after the last round.
        reply_s: the same for a settlement between two rounds, which must not stall them.
        bound: gives what the server knows a claim cannot exceed.
        say: told what is done.
    """

    accounts: Accounts
    journal: FolderJournal
    manifest: Manifest
    cohort: Callable[[Manifest, int], FlowerCohort]
    connected: Callable[[Manifest], Mapping[int, int]]
    check_stopped: Callable[[], None]
    close_s: float
    reply_s: float
    bound: Callable[[CostClaimed], CostBounded | None]
    say: Callable[[str], None]

    def between_rounds(self, applied: int) -> None:
        """Settle what is due after so many rounds, unless it was the last; not what waits for a witness."""
        if applied < self.accounts.config.training.rounds:
            for period in self.accounts.due(applied):
                case = self.accounts.waits_for_witness(period)
                if case is None:
                    self._settle(period, applied, self.reply_s)
                else:
                    self.say(f"period {period} waits for the witness to sign {case}")

    def finish(self) -> None:
        """Close the run and settle what is left."""
        last = self.accounts.config.training.rounds
        if self.accounts.due(last):
            self.say("closing the run")
            self._prepare(last, self.close_s)
            self.accounts.close()
        for period in self.accounts.due(last):
            self._await_witness(period)
            self._settle(period, last, self.close_s)

    def _await_witness(self, period: int) -> None:
        """Wait until the witness has signed a period's directions.

        Raises:
            MissingWitnessError: it has not.
        """
        end = time.monotonic() + self.close_s
        while (case := self.accounts.waits_for_witness(period)) is not None:
            self.say(f"period {period} waits for the witness to sign {case}")
            self.check_stopped()
            if time.monotonic() > end:
                raise MissingWitnessError(f"{case} is not signed, or not by the witness of the plan.")
            time.sleep(LOOK_S)

    def tell_the_end(self, patience_s: float) -> None:
        """Show every member the whole ledger's checkpoint, and keep its co-signature; wait a little for absent ones."""
        told = self._told()
        seats = {seat: member.id for seat, member in enumerate(self.manifest.members) if member.id not in told}
        if not seats:
            return
        last = self.accounts.config.training.rounds
        cohort = self._patient(self.manifest, last, patience_s)
        self.accounts.ask_with(lambda one: cohort if one == self.manifest else self._patient(one, last, patience_s))
        self.accounts.tell_late()
        signatures = {}
        for seat, signature in cohort.ask(ENDED, dict.fromkeys(seats, self.accounts.ledger.show())):
            signatures[seat] = signature
            told.add(seats[seat])
        self.accounts.ledger.add(*self.accounts.ledger.cosignatures(self.manifest, signatures))
        self.journal.put(TOLD, encode(tuple(sorted(told))))

    def _settle(self, period: int, applied: int, patience_s: float) -> None:
        self.say(f"settling period {period} of {self.accounts.periods.count}")
        self._prepare(applied, patience_s)
        self.accounts.settle(period, lambda one: self._claims(one, applied, patience_s))

    def _prepare(self, applied: int, patience_s: float) -> None:
        self.accounts.ask_with(lambda manifest: self._patient(manifest, applied, patience_s))

    def _claims(self, period: int, applied: int, patience_s: float) -> list[Fact]:
        """Ask members for their costs and bound them; who does not answer has none in this period."""
        rounds, ledger = self.accounts.periods.rounds_of(period), self.accounts.ledger
        if not rounds:
            return []
        asked = AskClaim(period=period, first=rounds[0], last=rounds[-1])
        members = self.manifest.members
        missing = [seat for seat, member in enumerate(members) if (period, member.id) not in ledger.claimed]
        answers = self._patient(self.manifest, applied, patience_s).ask(CLAIM, dict.fromkeys(missing, pack(asked)))
        claims = [read_claim(answer, members[seat], asked, origin=ledger.origin) for seat, answer in sorted(answers)]
        return [fact for claim in claims if claim is not None for fact in self._bounded(claim)]

    def _bounded(self, claim: Signed) -> list[Fact]:
        """A claim, and the server's bound on it."""
        assert isinstance(claim.record, CostClaimed)  # noqa: S101 - `read_claim` reads nothing else; tells mypy
        bound = self.bound(claim.record)
        return [claim] if bound is None else [claim, bound]

    def _patient(self, manifest: Manifest, applied: int, patience_s: float) -> PatientCohort:
        """Whom to ask at the seats of a roster: in force, or one before it, whose members may have left since."""
        there = {member.id for member in self.manifest.members}
        return PatientCohort(
            cohort=self.cohort(manifest, applied + 1),
            connected=lambda: self.connected(manifest),
            patience_s=patience_s,
            check_stopped=self.check_stopped,
            gone=frozenset(seat for seat, member in enumerate(manifest.members) if member.id not in there),
        )

    def _told(self) -> set[OrgId]:
        if not self.journal.has(TOLD):
            return set()
        names = decode(self.journal.get(TOLD))
        return {OrgId(name) for name in names if isinstance(name, str)} if isinstance(names, tuple) else set()
