"""A run of a few rounds in one process, with directions of the test's choice, for the settlement tests beside."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedgap import settling
from fedgap.crypto import Identity, digest, seeded
from fedgap.ids import FederationId, OrgId
from fedgap.rounds import MemoryJournal, run_round
from fedgap.secagg.answering import make_answer
from fedgap.secagg.certificates import Listing
from fedgap.secagg.desk import Desk
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.encoding import Contribution, Encoding, encode
from fedgap.secagg.errors import RefusalError
from fedgap.secagg.evaluation import Evaluation, Row, Shard, rows_root
from fedgap.secagg.local import LocalFederation, MemoryVault, Settled, Trainer, local_federation
from fedgap.secagg.manifest import Manifest, Member
from fedgap.secagg.masking import Ring
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Outcome, Sealed, Voice
from fedgap.secagg.opening import plain_credits
from fedgap.secagg.participant import Participant
from fedgap.secagg.quorum import Quorum
from fedgap.secagg.revealing import make_reveal
from fedgap.secagg.settlement import Answer, Reveal, agenda_of, read_settlement
from fedgap.secagg.settlement import settling as settling_
from fedgap.secagg.settler import Settler
from fedgap.secagg.transcript import Plan
from fedgap.secagg.valuation import Settlement
from fedgap.secagg.wire import kind_of, pack, unpack

ROWS = tuple(Row(salt=bytes([k]) * 16, content=b"row %d" % k) for k in range(60))
COMMITTED = Shard(root=rows_root(ROWS), rows=len(ROWS))

Directions = Callable[[int], Sequence[Unrounded]]
Vectors = Callable[[int, int], np.ndarray[tuple[int], np.dtype[np.float32]]]


def normal_directions(d: int, openings: int = 1) -> Directions:
    """Directions that everybody can compute from the number of the round."""

    def directions(round_: int) -> Sequence[Unrounded]:
        return [np.random.default_rng([round_, slot]).normal(size=d) for slot in range(openings)]

    return directions


def normal_updates(d: int, norm: float = 0.8) -> Vectors:
    """Updates of each round and seat."""

    def update(round_: int, seat: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        drawn = np.random.default_rng([7, round_, seat]).normal(size=d)
        return (norm * drawn / np.linalg.norm(drawn)).astype(np.float32)

    return update


def leaning_updates(d: int, cosines: Sequence[float]) -> Vectors:
    """Updates that lean towards `normal_directions`, each seat as much as its cosine says."""
    drawn, directions = normal_updates(d, norm=1.0), normal_directions(d)

    def update(round_: int, seat: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        along = directions(round_)[0]
        along = along / np.linalg.norm(along)
        across = drawn(round_, seat).astype(np.float64)
        across -= (across @ along) * along
        across /= np.linalg.norm(across)
        mixed = cosines[seat] * along + (1 - cosines[seat] ** 2) ** 0.5 * across
        whole: np.ndarray[tuple[int], np.dtype[np.float32]] = (0.99 * mixed).astype(np.float32)
        return whole

    return update


@dataclass(frozen=True)
class Numbered:
    """An assessor that knows the directions by the number of the round."""

    known: Directions

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """Look them up."""
        del rows
        return self.known(listing.plan.round)


@dataclass
class SettledRun:
    """A federation and its server, over some rounds.

    `gone` names, for each round, the seats that the server cannot reach in it from the given exchange on.
    """

    n: int = 4
    d: int = 200
    rounds: int = 3
    periods: int = 1
    openings: int = 1
    weights: Sequence[int] = ()
    source: str = "committed"
    witness: bytes | None = None
    directions: Directions | None = None
    updates: Vectors | None = None
    gone: Mapping[tuple[int, int], str] = field(default_factory=dict)
    shards: tuple[Shard, ...] | None = None
    change: Callable[[str, int, bytes], bytes | None] = lambda kind, seat, reply: reply  # noqa: ARG005 - the default
    journal: MemoryJournal = field(default_factory=lambda: MemoryJournal(keep_uploads=True))

    def __post_init__(self) -> None:
        self.known = self.directions or normal_directions(self.d, self.openings)
        self.update = self.updates or normal_updates(self.d)
        shards = ((COMMITTED,) if self.source == "committed" else ()) if self.shards is None else self.shards
        self.evaluation = Evaluation(source=self.source, rounds=self.rounds, shards=shards, witness=self.witness)
        orgs = [OrgId(f"org-{k:02d}") for k in range(self.n)]
        weights = self.weights or [10 + k for k in range(self.n)]
        self.federation: LocalFederation = local_federation(
            FederationId("test"),
            dict(zip(orgs, weights, strict=True)),
            Encoding(parameters=self.d, statistics=2, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=5),
            seed=1,
            settled=Settled(evaluation=self.evaluation, periods=self.periods, openings=self.openings),
        )
        self.manifest, self.server = self.federation.manifest, self.federation.server
        self.settler = Settler(evaluation=self.evaluation, assessor=Numbered(self.known), origin=self.manifest.digest)
        self.vaults = [MemoryVault() for _ in range(self.n)]
        self.identities = list(self.federation.identities)
        self.members = [self.member(seat) for seat in range(self.n)]
        self.earlier: tuple[Manifest, ...] = ()
        self.desk = self.new_desk()
        self.outcomes: list[Outcome] = []
        self.refusals: list[tuple[int, RefusalError]] = []
        self.now = self.previous_version = 0

    def new_desk(self) -> Desk:
        """Start the server's desk (again) from the archive."""
        rand = seeded("salts")
        origin = self.federation.manifest.digest
        return Desk(self.server, self.evaluation, self.journal, rand=rand, origin=origin, earlier=self.earlier)

    def member(self, seat: int) -> Participant:
        """Start the member at this seat (again) from its vault."""
        me = Me(self.manifest, seat, self.identities[seat])
        trainer = Trainer(lambda plan: self.contribution(plan.round, seat))
        rand = seeded("member", seat)
        return Participant(me, self.vaults[seat], trainer, rand=rand, simulation=True, settler=self.settler)

    def amend(self, *members: Member, identities: Sequence[Identity], vaults: Sequence[MemoryVault] = ()) -> None:
        """Put the next version into force, with these members; vaults are the ones before unless others are given."""
        self.earlier = (*self.earlier, self.manifest)
        quorum = Quorum.of(len(members))
        self.manifest = replace(
            self.manifest, version=self.manifest.version + 1, members=members, f=quorum.f, tau=quorum.tau
        )
        self.server = replace(self.server, manifest=self.manifest)
        self.settler = replace(self.settler, earlier=self.earlier)
        self.identities, self.n = list(identities), len(members)
        self.vaults = list(vaults) or self.vaults
        self.members = [self.member(seat) for seat in range(self.n)]
        self.desk, self.previous_version = self.new_desk(), len(self.outcomes)
        for member in self.members if self.outcomes else ():
            member.learn(self.outcomes[-1])

    def contribution(self, round_: int, seat: int) -> Contribution:
        """What a member trains."""
        return Contribution(update=self.update(round_, seat), statistics=np.ones(2, np.float32), metrics={})

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask everybody that can be reached; refusals are noted."""
        for seat, request in requests.items():
            kind = kind_of(unpack(Sealed, request).body).split("/")[2].replace("recalled", "invite")
            if self._is_gone(seat, kind):
                continue
            try:
                reply = self.members[seat].handle(request)
            except RefusalError as error:
                self.refusals.append((seat, error))
                continue
            if reply is not None and (sent := self.change(kind, seat, reply)) is not None:
                yield seat, sent

    def _is_gone(self, seat: int, kind: str) -> bool:
        """Tell whether a member is away from this exchange on, in this round."""
        stages = ["invite", "adverts", "relay", "survivors", "certificate"]
        since = self.gone.get((self.now, seat))
        return since is not None and (kind not in stages or stages.index(kind) >= stages.index(since))

    def plan(self, round_: int) -> Plan:
        """The plan of a round's first attempt."""
        return Plan(
            manifest=self.manifest.digest,
            round=round_,
            attempt=1,
            state=digest("state", round_),
            clip=1.0,
            training=self.manifest.training,
        )

    def run(self, until: int | None = None) -> "SettledRun":
        """Run the rounds, each with its directions."""
        knowing: tuple[int, ...] = ()
        for round_ in range(self.now + 1, (until or self.rounds) + 1):
            self.now = round_
            previous = self.outcomes[-1] if len(self.outcomes) > self.previous_version else None
            opened = run_round(
                self.server,
                self,
                self.journal,
                self.plan(round_),
                previous=previous,
                attempts=1,
                knowing=knowing,
                desk=self.desk,
            )
            knowing = opened.answered
            self.outcomes.append(opened.outcome)
            self.desk.propose(round_, self.known(round_))
        return self

    def close(self) -> frozenset[int]:
        """Run the closing exchange; from now on `gone` is looked up for round 0."""
        self.now = 0
        return settling.close(self.desk, self, self.outcomes[-1])

    def settle(self, period: int = 1, *, final: bool = True, rows: Sequence[Row] = ROWS) -> Settlement:
        """Settle a period."""
        shown = rows if self.source == "committed" else ()
        return settling.settle(self.desk, self, period, rows=shown, final=final)

    def whole(self) -> Settlement:
        """Run, close and settle."""
        self.run().close()
        return self.settle()

    def reveal(self, period: int = 1) -> Reveal:
        """What the server showed."""
        message = read_settlement(self.manifest.server, self.journal.get(f"settlement-reveal-{period}"))
        assert isinstance(message, Reveal)
        return message

    def shown(self, period: int = 1) -> Reveal:
        """What an honest server would show; nothing is sent."""
        rounds_ = self.desk.periods.rounds_of(period)
        proposals = {round_: self.desk.proposals(round_) for round_ in rounds_}
        listings = {round_: self.desk.dossier(round_).listing for round_ in rounds_}
        rows = ROWS if self.source == "committed" else ()
        draft = make_reveal(self.desk.tenure, period, rounds_, proposals, listings, rows=rows, witness=None)
        return self.endorsed(draft)

    def endorsed(self, reveal: Reveal) -> Reveal:
        """A reveal whose list every member endorsed, whatever it is."""
        agenda = agenda_of(reveal)
        voices = tuple(
            Voice(seat=seat, signature=identity.sign("endorsement", agenda.context, seat, agenda.listed))
            for seat, identity in enumerate(self.identities)
        )
        return replace(reveal, voices=voices)

    def lied(self, reply: bytes, seat: int, shifts: Mapping[int, int]) -> bytes:
        """A member's answer with some numbers shifted, signed by it all the same."""
        answer = unpack(Answer, reply)
        reports = tuple(
            replace(report, values=tuple((value + shifts.get(report.peer, 0)) % 2**32 for value in report.values))
            for report in answer.reports
        )
        me = Me(self.manifest, seat, self.identities[seat])
        context = settling_(self.desk.tenure.name, answer.period)
        return pack(make_answer(me, context, answer.period, answer.listed, reports, origin=self.settler.origin))

    def vector(self, round_: int, seat: int) -> Ring:
        """A member's encoded update, under the version that the round ran under, or would."""
        ran = {outcome.plan.round: outcome.plan.manifest for outcome in self.outcomes}
        known = {manifest.digest: manifest for manifest in self.earlier}
        manifest = known.get(ran.get(round_, b""), self.manifest)
        return encode(
            manifest.encoding,
            self.contribution(round_, seat),
            clip=1.0,
            share=manifest.share(seat),
            round_=round_,
            org=manifest.members[seat].id,
            members=len(manifest.members),
        )

    def expected(self, rounds_: Iterable[int] | None = None) -> dict[int, list[int]]:
        """The counts that settlement must open, from the plain vectors."""
        plain = []
        for round_ in rounds_ or range(1, self.rounds + 1):
            seats = {survivor.seat for survivor in self.outcomes[round_ - 1].survivors}
            found = [proposal.direction for proposal in self.desk.proposals(round_)]
            plain.append((found, {seat: self.vector(round_, seat) for seat in seats}))
        return plain_credits(plain)


def counts(settlement: Settlement) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The opened counts of each bloc."""
    return {bloc.seats: bloc.values for bloc in settlement.statement.blocs}
