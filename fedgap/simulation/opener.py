"""Two ways to the same opened values: with every message of settlement, and from the same integers without any.

    Messages   commit with exchange 1, closing exchange, reveal, answers, statement, confirmations
    Plain      the inner products that these open, taken directly

Both give a `Settlement` whose values are the same exact fractions. What a round was worth to one organisation stays in
here, and only until its period is settled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fedgap import settling
from fedgap.crypto import Identity, digest, seeded
from fedgap.records import DirectionCommitted
from fedgap.secagg.desk import Desk
from fedgap.secagg.directions import Unrounded, unit
from fedgap.secagg.evaluation import periods_of
from fedgap.secagg.local import LocalFederation
from fedgap.secagg.messages import EVERYBODY
from fedgap.secagg.opening import centred, product
from fedgap.secagg.overlap import opened_together
from fedgap.secagg.periods import Periods
from fedgap.secagg.plain import plain_vectors
from fedgap.secagg.proposals import Prepared, prepare
from fedgap.secagg.settlement import AFTER_WINDOW, UNUSABLE, Bloc, LeftOut, Statement
from fedgap.secagg.settler import Settler
from fedgap.secagg.valuation import Settlement, Weighed, direction_records, valued
from fedgap.simulation.aggregate import MaskedSum, Released, RingSum
from fedgap.simulation.assessing import Assessor
from fedgap.simulation.ledger_of import Witnessing
from fedgap.simulation.shards import Shards


class Opener(Protocol):
    """Opens the periods of one federation; a deployed one too (`fedgap.flower.opener`)."""

    def propose(self, released: Released, directions: Sequence[Unrounded]) -> None:
        """Commit to the directions of the round that just ended."""
        ...

    def close(self) -> None:
        """End the run: nobody trains any more, and rows may be shown."""
        ...

    def committed(self) -> list[DirectionCommitted]:
        """Records of the directions that were certified since the last call."""
        ...

    def settle(self, period: int, *, last: int) -> Settlement:
        """Open a period; rounds after `last` do not count.

        Raises:
            NothingToSettleError: no round of it has a direction.
        """
        ...


class Messages:
    """Everything a deployed server and its members send each other, in one process.

    Args:
        federation: with its keys.
        shards: evaluation rows.
        assessor: the members' recomputation; what it needs of the rounds is added as they end.
        show: gives the ledger's checkpoint that members co-sign; counted as `shown`.
        seed: of the study.
        witness: signs directions, if the source is `witness`.
    """

    def __init__(
        self,
        federation: LocalFederation,
        shards: Shards,
        assessor: Assessor,
        show: Callable[[], bytes],
        *,
        seed: int,
        witness: Identity | None,
    ) -> None:
        manifest = federation.manifest
        settlers = [
            Settler(
                evaluation=shards.evaluation,
                assessor=assessor,
                origin=manifest.digest,
                cosign=Witnessing(member.id, identity, manifest.server),
            )
            for member, identity in zip(manifest.members, federation.identities, strict=True)
        ]
        self.adding: MaskedSum = MaskedSum(federation, seed, settlers)
        self.desk = Desk(
            federation.server,
            shards.evaluation,
            self.adding.journal,
            rand=seeded("direction-salts", seed, manifest.federation),
            origin=manifest.digest,
            checkpoint=show,
        )
        self.adding.desk = self.desk
        assessor.total_of, assessor.is_asked = self._total_of, True
        self._shards, self._witness, self._pending = shards, witness, list[int]()

    def _total_of(self, round_: int) -> bytes:
        return self.desk.dossier(round_).total

    def propose(self, released: Released, directions: Sequence[Unrounded]) -> None:
        """Commit to the directions of the round that just ended."""
        if self.desk.propose(released.plan.round, directions):
            self._pending.append(released.plan.round)

    def close(self) -> None:
        """Run the closing exchange."""
        assert self.adding.previous is not None  # noqa: S101 - a federation has rounds; tells mypy
        self.desk.cosignatures.clear()
        settling.close(self.desk, self.adding.cohort, self.adding.previous)

    def committed(self) -> list[DirectionCommitted]:
        """Records of the directions that were certified since the last call."""
        records = []
        for round_ in list(self._pending):
            found = direction_records(self.desk.manifest, self.desk.proposals(round_))
            if found:
                self._pending.remove(round_)
                records += found
        return records

    def settle(self, period: int, *, last: int) -> Settlement:
        """Run the settlement of a period."""
        witness = None
        if self._witness is not None:
            identity = self._witness

            def witness(name: bytes, said: bytes) -> bytes:
                return identity.sign("witnessed", name, EVERYBODY, said)

        rows = self._shards.shown_in(period)
        settled = settling.settle(self.desk, self.adding.cohort, period, rows=rows, witness=witness, last=last)
        settling.discard(self.desk, period)
        return settled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """A round without messages: its directions, and everybody's inner products with them."""

    prepared: list[Prepared]
    seats: frozenset[int]
    counts: dict[int, list[int]]
    totals: tuple[int, ...]

    @property
    def usable(self) -> bool:
        return bool(self.prepared) and all(ready.usable for ready in self.prepared)


@dataclass(slots=True, kw_only=True)
class Plain:
    """The same integers, the same rounding, the same rule for what is left out; no key, mask or signature."""

    federation: LocalFederation
    shards: Shards
    adding: RingSum
    _rounds: dict[int, _Counted] = field(default_factory=dict, repr=False)

    def propose(self, released: Released, directions: Sequence[Unrounded]) -> None:
        """Round the directions and take the inner products."""
        manifest, plan = self.federation.manifest, released.plan
        rounds = self._periods.rounds_of(self._periods.of(plan.round))
        before = [self._rounds[r] for r in rounds if r in self._rounds and self._rounds[r].prepared]
        known = {member.id: seat for seat, member in enumerate(manifest.members)}
        seats = frozenset(known[org] for org in released.given)
        prepared = prepare(
            manifest,
            seats,
            directions,
            clip=plan.clip,
            round_=plan.round,
            length=self._periods.length,
            scale=before[0].prepared[0].scale if before else None,
        )
        vectors = plain_vectors(manifest, released.given.items(), clip=plan.clip, round_=plan.round)
        counts = {seat: [product(ready.entries, vector) for ready in prepared] for _, seat, vector in vectors}
        totals = tuple(centred(product(ready.entries, released.total)) for ready in prepared)
        self._rounds[plan.round] = _Counted(prepared=prepared, seats=seats, counts=counts, totals=totals)

    def close(self) -> None:
        """Nobody is asked."""

    def committed(self) -> list[DirectionCommitted]:
        """Nobody signed."""
        return []

    def settle(self, period: int, *, last: int) -> Settlement:
        """Add up what settlement would open."""
        manifest = self.federation.manifest
        rounds = self._periods.rounds_of(period)
        found = {r: self._rounds.pop(r) for r in rounds if r in self._rounds}
        directed = {r: one for r, one in found.items() if one.prepared}
        if not directed:
            raise settling.NothingToSettleError(f"No round of period {period} has a sum and a direction.")
        counted = {r: one for r, one in directed.items() if r <= last}
        usable = {r: one.seats for r, one in counted.items() if one.usable}
        together = opened_together(usable, f=manifest.f)
        opened = [counted[r] for r in together]
        weighed = [
            Weighed(round=r, seats=one.seats, totals=one.totals) for r, one in counted.items() if r not in together
        ]
        said = self._statement(period, opened)
        kept = min(ready.kept for one in directed.values() for ready in one.prepared)
        chooses = self.shards.evaluation.source == "server_chooses_directions"
        flags = {settling.SCALED_DOWN: kept < 1, settling.SERVER_CHOOSES: chooses}
        common = frozenset(flag for flag, is_so in flags.items() if is_so)
        scale = next(iter(directed.values())).prepared[0].scale
        values = valued(
            manifest,
            said,
            [one.seats for one in opened],
            weighed,
            unit=unit(manifest.encoding, scale),
            flags=dict.fromkeys(range(len(manifest.members)), common),
        )
        left = tuple(
            LeftOut(round=r, reason=UNUSABLE if r <= last else AFTER_WINDOW) for r in rounds if r not in counted
        )
        return Settlement(
            period=period, statement=said, valued=values, totals=(), left_out=left, reactions=(), kept=kept
        )

    def _statement(self, period: int, opened: Sequence[_Counted]) -> Statement:
        """State the sums, with nobody's word for them."""
        manifest = self.federation.manifest
        sums: dict[int, list[int]] = {}
        for one in opened:
            for seat, numbers in one.counts.items():
                into = sums.setdefault(seat, [0] * manifest.openings)
                for slot, number in enumerate(numbers):
                    into[slot] += number
        return Statement(
            manifest=manifest.digest,
            period=period,
            revision=1,
            final=True,
            listed=digest("unlisted", manifest.digest, period),
            answers=(),
            judged=(),
            bases=(),
            blocs=tuple(Bloc(seats=(seat,), values=tuple(map(centred, sums[seat]))) for seat in sorted(sums)),
        )

    @property
    def _periods(self) -> Periods:
        return periods_of(self.federation.manifest, self.shards.evaluation)
