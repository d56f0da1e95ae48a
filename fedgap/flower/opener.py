"""Opening a period of a deployed federation: the same messages as in a simulation, over Flower.

A member that is away is waited for, but not for ever: it gets the message when it comes back within the patience, and
is asked again as often as the manifest says. Then the period ends without it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fedgap import settling
from fedgap.flower.cohort import FlowerCohort
from fedgap.records import DirectionCommitted
from fedgap.secagg.desk import Desk
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.revealing import Witness
from fedgap.secagg.settlement import Reaction
from fedgap.secagg.together import together
from fedgap.secagg.valuation import Settlement, direction_records
from fedgap.settling import NothingToSettleError
from fedgap.simulation.aggregate import Released
from fedgap.simulation.shards import Shards

LOOK_S = 0.2


@dataclass(slots=True, kw_only=True)
class PatientCohort:
    """Members that may be away for a while (see `fedgap.secagg.local.Cohort`).

    Attributes:
        cohort: asks those who are connected.
        connected: nodes of the members that are connected now, by seat.
        patience_s: how long to wait for those that are not, in all; also while somebody answers too late.
        stopped: raises if the server is to stop.
        gone: seats of who left the federation since: nobody waits for them, and they are not asked.
    """

    cohort: FlowerCohort
    connected: Callable[[], Mapping[int, int]]
    patience_s: float
    check_stopped: Callable[[], None]
    gone: frozenset[int] = frozenset()
    _waited_s: float = 0.0

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask these seats, once they are connected or the patience is over."""
        asked = self._there(requests)
        if asked:
            self._wait_for(asked)
            yield from self.cohort.exchange(asked)

    def ask(self, purpose: str, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask these seats for something that is no message of the protocol."""
        asked = self._there(requests)
        if asked:
            self._wait_for(asked)
            yield from self.cohort.ask(purpose, asked)

    def _there(self, requests: Mapping[int, bytes]) -> dict[int, bytes]:
        return {seat: request for seat, request in requests.items() if seat not in self.gone}

    def _wait_for(self, seats: Mapping[int, bytes]) -> None:
        while True:
            self.check_stopped()
            self.cohort.nodes = self.connected()
            if seats.keys() <= self.cohort.nodes.keys() or self._waited_s >= self.patience_s:
                break
            time.sleep(LOOK_S)
            self._waited_s += LOOK_S


@dataclass(slots=True, kw_only=True)
class DeployedOpener:
    """The server's part (see `fedgap.simulation.opener.Opener`).

    Attributes:
        desk: under the manifest in force.
        shards: evaluation rows.
        patient: makes the cohort that is asked, for the roster with its seats.
        last: outcome of the last round.
        witness: gives the witness's signatures for a period, if the manifest names one.
    """

    desk: Desk
    shards: Shards
    patient: Callable[[Manifest], PatientCohort] | None = None
    last: Outcome | None = field(default=None, repr=False)
    witness: Callable[[int], Witness | None] = lambda period: None  # noqa: ARG005 - most federations have none

    def propose(self, released: Released, directions: Sequence[Unrounded]) -> None:
        """Commit to the directions of a round; only the first time counts."""
        self.desk.propose(released.plan.round, directions)

    def close(self) -> None:
        """Run the closing exchange."""
        assert self.last is not None  # noqa: S101 - set before; tells mypy
        settling.close(self.desk, self._cohort(self.desk), self.last)

    def committed(self) -> list[DirectionCommitted]:
        """Give the certified directions of all rounds of the periods that are not settled."""
        return [record for round_ in range(1, self.desk.evaluation.rounds + 1) for record in self.certified(round_)]

    def certified(self, round_: int) -> list[DirectionCommitted]:
        """Give the certified directions of a round; none once it is settled."""
        found = self.desk.proposals(round_)
        return direction_records(self.desk.tenure_of_round(round_).manifest, found) if found else []

    def settle(self, period: int, *, last: int) -> Settlement:
        """Run the settlement of a period, once for each roster that its rounds ran under.

        Raises:
            NothingToSettleError: no round of it has a direction.
        """
        rows, witness = self.shards.shown_in(period), self.witness(period)
        parts = []
        for desk in self.desk.parts(period):
            with suppress(NothingToSettleError):
                cohort = self._cohort(desk)
                parts.append(settling.settle(desk, cohort, period, rows=rows, witness=witness, last=last))
        if not parts:
            raise NothingToSettleError(f"No round of period {period} has a sum and a direction.")
        return together(parts)

    def roster_of(self, part: Settlement) -> Manifest:
        """The organisations whose part of a period this is, with their newest keys."""
        return next(one.manifest for one in self.desk.tenures if one.name == part.statement.manifest)

    def tell(self, period: int) -> list[tuple[Manifest, Reaction]]:
        """Tell members that were away what became of a period; give what they say, with the roster they are in."""
        return [
            (desk.manifest, reaction)
            for desk in self.desk.parts(period)
            for reaction in settling.tell(desk, self._cohort(desk), period)
        ]

    def _cohort(self, desk: Desk) -> PatientCohort:
        assert self.patient is not None  # noqa: S101 - set before; tells mypy
        return self.patient(desk.manifest)
